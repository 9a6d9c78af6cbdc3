import type { ContactStore } from '../../core/card.ts'
import { pause } from '../../core/pause.ts'
import type { Clock, Log } from '../../core/ports.ts'

/** Telegram keeps a press for so long, and drops it then without a word. */
const PRESS_LIVES_MS = 150_000
/** How often it is written down that Telegram is heard. */
const EVERY_MS = 5_000

/**
 * Knows, across processes and restarts, for how long nobody listened to Telegram. After a silence in
 * which presses may be lost the open cards say so.
 */
export class Contact {
  readonly #contacts: ContactStore
  readonly #clock: Clock
  readonly #logger: Log
  readonly #deliver: () => void
  #writtenAt = Number.NEGATIVE_INFINITY

  constructor(parts: { contacts: ContactStore; clock: Clock; logger: Log; deliver(): void }) {
    this.#contacts = parts.contacts
    this.#clock = parts.clock
    this.#logger = parts.logger
    this.#deliver = parts.deliver
  }

  /** What Telegram had for this bot is handled. Never rejects. */
  async heard(botId: number): Promise<void> {
    if (this.#clock.now() - this.#writtenAt < EVERY_MS) return
    try {
      const away = await this.#contacts.touch('telegram', `telegram ${botId}`, PRESS_LIVES_MS)
      this.#writtenAt = this.#clock.now()
      if (!away) return
      this.#logger.warn(away, 'nobody listened to Telegram for a while: presses may be lost')
      this.#deliver()
    } catch (error) {
      this.#logger.warn({ err: error }, 'it was not written down that Telegram is heard')
    }
  }

  /** For a webhook: Telegram comes to us, and finds us as long as we are there. Never rejects. */
  async keep(botId: number, ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      await this.heard(botId)
      await pause(this.#clock, EVERY_MS, ended)
    }
  }
}

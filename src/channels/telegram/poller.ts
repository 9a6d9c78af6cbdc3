import type { Api } from 'grammy'
import type { Update } from 'grammy/types'
import { pause } from '../../core/pause.ts'
import type { Clock, Log } from '../../core/ports.ts'
import type { Attempts } from './attempts.ts'
import { isBadToken, isConflict, POLL_SECONDS, retryAfterMs, toSignal } from './bot-api.ts'
import type { Contact } from './contact.ts'
import type { TelegramState } from './state.ts'

/** Said in every call: what is left out of one call holds for the next (Bot API, getUpdates). */
export const ALLOWED_UPDATES = ['message', 'callback_query', 'my_chat_member'] as const

const LIMIT = 100
const MAX_PAUSE_MS = 10_000
/** Another poller is given this long to go away. */
const CONFLICT_MS = 3_000

/**
 * Long polling that confirms an update only after it was handled. (grammY's own loop confirms one
 * whose handler failed, and ends for good at a 409.)
 *
 * Calling with an offset confirms every update below it, so the offset moves past an update when it
 * is committed, or set aside.
 */
export class TelegramPoller {
  readonly #api: Api
  readonly #attempts: Attempts
  readonly #state: TelegramState
  readonly #contact: Contact
  readonly #clock: Clock
  readonly #logger: Log
  #offset = 0
  #failures = 0
  /** Whether the last poll was answered. Else the next one asks only for what is there, to know soon. */
  #isInTouch = false

  constructor(parts: {
    api: Api
    attempts: Attempts
    state: TelegramState
    contact: Contact
    clock: Clock
    logger: Log
  }) {
    this.#api = parts.api
    this.#attempts = parts.attempts
    this.#state = parts.state
    this.#contact = parts.contact
    this.#clock = parts.clock
    this.#logger = parts.logger
  }

  /**
   * Polls until `ended`, or the token is bad. Never rejects. Who comes after us begins where we are
   * confirmed to be; once our right to poll is `lost`, that is said no more.
   */
  async run(botId: number, ended: AbortSignal, lost: AbortSignal): Promise<void> {
    // Somebody else may have polled meanwhile, and after a week's silence ids begin anywhere.
    this.#offset = 0
    this.#isInTouch = false
    while (!ended.aborted && this.#state.failure === undefined) {
      await this.#poll(botId, ended)
    }
    const isOurs = !lost.aborted && this.#state.failure === undefined
    if (this.#offset > 0 && isOurs) await this.#confirm()
  }

  async #poll(botId: number, ended: AbortSignal): Promise<void> {
    try {
      const updates = await this.#api.getUpdates(
        {
          offset: this.#offset,
          limit: LIMIT,
          timeout: this.#isInTouch ? POLL_SECONDS : 0,
          allowed_updates: ALLOWED_UPDATES,
        },
        toSignal(ended),
      )
      this.#failures = 0
      this.#isInTouch = true
      for (const update of updates) await this.#handle(update, ended)
      if (!ended.aborted) await this.#contact.heard(botId)
    } catch (error) {
      this.#isInTouch = false
      if (!ended.aborted) await this.#recover(error, ended)
    }
  }

  /** Until it is handled, set aside, or we stop: then it comes again. */
  async #handle(update: Update, ended: AbortSignal): Promise<void> {
    for (let failures = 0; !ended.aborted; failures++) {
      if (await this.#attempts.handle(update)) {
        this.#offset = update.update_id + 1
        return
      }
      await pause(this.#clock, Math.min(250 * 2 ** failures, 2_000), ended)
    }
  }

  async #recover(error: unknown, ended: AbortSignal): Promise<void> {
    this.#state.heard(error)
    if (isBadToken(error)) {
      this.#logger.error({ err: error }, this.#state.status().text)
      return
    }
    this.#logger.warn({ err: error }, 'asking Telegram for updates failed')
    if (isConflict(error) && /webhook/.test(error.description)) {
      // What waits at Telegram is kept: dropping it would drop decisions.
      await this.#api.deleteWebhook({ drop_pending_updates: false }).catch(() => undefined)
    }
    const backoff = isConflict(error) ? CONFLICT_MS : 500 * 2 ** Math.min(this.#failures++, 5)
    const ms = Math.max(retryAfterMs(error), Math.min(backoff, MAX_PAUSE_MS))
    await pause(this.#clock, ms, ended)
  }

  /** Tells Telegram what was handled last, so that the next start does not get it again. */
  async #confirm(): Promise<void> {
    try {
      await this.#api.getUpdates({ offset: this.#offset, limit: 1, timeout: 0 })
    } catch (error) {
      // Handling an update twice changes nothing.
      this.#logger.debug({ err: error }, 'the last updates were not confirmed')
    }
  }
}

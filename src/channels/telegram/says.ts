import type { Api } from 'grammy'
import type { Message } from 'grammy/types'
import { pause } from '../../core/pause.ts'
import type { Clock, Log } from '../../core/ports.ts'
import { head } from '../render.ts'
import { retryAfterMs } from './bot-api.ts'
import type { Pace } from './pace.ts'

/** Bot API, answerCallbackQuery and sendMessage. */
const MAX_ANSWER = 200
const MAX_TEXT = 4_096
/** Beyond this many at once, what could be said is dropped: the cards tell it too. */
const MAX_IN_FLIGHT = 500
/** What can not be said for so long is not said: somebody asks for more than a chat may get. */
const MAX_WAIT_MS = 10_000

/**
 * Says things to people, after what they are about is committed. Nobody waits for it, and nothing is
 * undone when it fails: a press is answered within seconds or not at all.
 */
export class Says {
  readonly #api: Api
  readonly #logger: Log
  readonly #pace: Pace
  readonly #clock: Clock
  readonly #inFlight = new Set<Promise<void>>()
  readonly #stopping = new AbortController()
  #replies = 0
  /** Telegram takes no answers to presses until then. */
  #noAnswersUntil = 0

  constructor(parts: { api: Api; logger: Log; pace: Pace; clock: Clock }) {
    this.#api = parts.api
    this.#logger = parts.logger
    this.#pace = parts.pace
    this.#clock = parts.clock
  }

  /** A line that passes by. */
  answer(queryId: string, text: string): void {
    this.#answer(queryId, { text: head(text, MAX_ANSWER) })
  }

  /** A line that must be closed. */
  alert(queryId: string, text: string): void {
    this.#answer(queryId, { text: head(text, MAX_ANSWER), show_alert: true })
  }

  reply({ chat, message_id }: Message, text: string): void {
    const address = String(chat.id)
    const key = `reply ${++this.#replies}`
    this.#say(async () => {
      if (!(await this.#comesToTurn(address, key))) return
      try {
        await this.#api.sendMessage(chat.id, head(text, MAX_TEXT), {
          link_preview_options: { is_disabled: true },
          reply_parameters: { message_id, allow_sending_without_reply: true },
        })
      } catch (error) {
        const quietMs = retryAfterMs(error)
        if (quietMs > 0) this.#pace.quiet(address, quietMs)
        throw error
      }
    })
  }

  /** Resolves when everything that was to be said is said, or has failed. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#inFlight)
  }

  #answer(queryId: string, answer: { text: string; show_alert?: boolean }): void {
    if (this.#clock.now() < this.#noAnswersUntil) return
    this.#say(async () => {
      try {
        await this.#api.answerCallbackQuery(queryId, answer)
      } catch (error) {
        this.#noAnswersUntil = this.#clock.now() + retryAfterMs(error)
        throw error
      }
    })
  }

  /** False when that takes too long, or we stop. */
  async #comesToTurn(chat: string, key: string): Promise<boolean> {
    const until = this.#clock.now() + MAX_WAIT_MS
    for (;;) {
      const ms = this.#pace.turn(chat, { key, owner: 'reply', count: 1 })
      if (ms === 0) break
      if (!(await this.#wait(ms, until))) return false
    }
    const ms = this.#pace.place(1, MAX_WAIT_MS)
    return ms !== undefined && (ms === 0 || this.#wait(ms, until + MAX_WAIT_MS))
  }

  async #wait(ms: number, until: number): Promise<boolean> {
    if (this.#clock.now() + ms > until) return false
    await pause(this.#clock, ms, this.#stopping.signal)
    return !this.#stopping.signal.aborted
  }

  #say(call: () => Promise<unknown>): void {
    if (this.#inFlight.size >= MAX_IN_FLIGHT) return
    const said = call()
      .then(() => undefined)
      .catch((error: unknown) => {
        this.#logger.info({ err: error }, 'Telegram did not take an answer to a person')
      })
      .finally(() => this.#inFlight.delete(said))
    this.#inFlight.add(said)
  }
}

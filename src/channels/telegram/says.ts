import type { Api } from 'grammy'
import type { Message } from 'grammy/types'
import type { Log } from '../../core/ports.ts'
import { head } from '../render.ts'

/** Bot API, answerCallbackQuery and sendMessage. */
const MAX_ANSWER = 200
const MAX_TEXT = 4_096
/** Beyond this many at once, what could be said is dropped: the cards tell it too. */
const MAX_IN_FLIGHT = 500

/**
 * Says things to people, after what they are about is committed. Nobody waits for it, and nothing is
 * undone when it fails: a press is answered within seconds or not at all.
 */
export class Says {
  readonly #api: Api
  readonly #logger: Log
  readonly #inFlight = new Set<Promise<void>>()

  constructor(api: Api, logger: Log) {
    this.#api = api
    this.#logger = logger
  }

  /** A line that passes by. */
  answer(queryId: string, text: string): void {
    this.#say(() => this.#api.answerCallbackQuery(queryId, { text: head(text, MAX_ANSWER) }))
  }

  /** A line that must be closed. */
  alert(queryId: string, text: string): void {
    this.#say(() =>
      this.#api.answerCallbackQuery(queryId, { text: head(text, MAX_ANSWER), show_alert: true }),
    )
  }

  reply({ chat, message_id }: Message, text: string): void {
    this.#say(() =>
      this.#api.sendMessage(chat.id, head(text, MAX_TEXT), {
        link_preview_options: { is_disabled: true },
        reply_parameters: { message_id, allow_sending_without_reply: true },
      }),
    )
  }

  /** Resolves when everything that was to be said is said, or has failed. */
  async stop(): Promise<void> {
    await Promise.all(this.#inFlight)
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

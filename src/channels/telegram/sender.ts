import { pause } from '../../core/pause.ts'
import type { Clock } from '../../core/ports.ts'
import { NotYet } from '../../core/ports.ts'
import { retryAfterMs } from './bot-api.ts'
import type { Pace } from './pace.ts'

/** As long as a card that is claimed may wait for its place among all; its lease is 25 s. */
const MAX_WAIT_MS = 2_000
/** After the moment it is due again, so that it is. */
const WAKE_MARGIN_MS = 100
/** Beyond this many the sweep of what is owed finds them, seconds later. */
const MAX_WAKES = 1_000

/** What is to be sent: a card, its outcome. */
export interface Sending {
  readonly chat: string
  /** The same for every try. */
  readonly key: string
  readonly requestId: string
  readonly count: number
}

/** Sends cards in their turn. What can not go soon is given back. */
export class Sender {
  readonly #pace: Pace
  readonly #clock: Clock
  readonly #deliver: (requestId: string) => void
  #wakes = 0

  constructor(pace: Pace, clock: Clock, deliver: (requestId: string) => void) {
    this.#pace = pace
    this.#clock = clock
    this.#deliver = deliver
  }

  /** @throws {NotYet} */
  async send<Result>(sending: Sending, call: () => Promise<Result>): Promise<Result> {
    const { chat, key, count } = sending
    const ms = this.#pace.turn(chat, key, count)
    if (ms > 0) throw this.#notYet(sending, ms)
    const wait = this.#pace.place(count, MAX_WAIT_MS)
    if (wait === undefined) throw this.#notYet(sending, MAX_WAIT_MS)
    if (wait > 0) await pause(this.#clock, wait, new AbortController().signal)
    try {
      return await call()
    } catch (error) {
      const quietMs = retryAfterMs(error)
      if (quietMs > 0) this.#pace.quiet(chat, quietMs)
      throw error
    }
  }

  #notYet({ requestId }: Sending, ms: number): NotYet {
    if (this.#wakes < MAX_WAKES) {
      this.#wakes += 1
      this.#clock.after(ms + WAKE_MARGIN_MS, () => {
        this.#wakes -= 1
        this.#deliver(requestId)
      })
    }
    return new NotYet(ms)
  }
}

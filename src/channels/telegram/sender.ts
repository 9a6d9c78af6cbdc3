import type { RateStore } from '../../core/card.ts'
import { NotYet } from '../../core/card.ts'
import { pause } from '../../core/pause.ts'
import type { Clock } from '../../core/ports.ts'
import { retryAfterMs } from './bot-api.ts'
import type { Outgoing, Pace } from './pace.ts'

/** As long as a card that is claimed may wait for its place among all; its lease is 25 s. */
const MAX_WAIT_MS = 2_000
/** After the moment it is due again, so that it is. */
const WAKE_MARGIN_MS = 100
/** Beyond this many the sweep of what is owed finds them, seconds later. */
const MAX_WAKES = 1_000

/** What is to be sent: a card, its outcome. */
export interface Sending extends Outgoing {
  readonly chat: string
  readonly requestId: string
}

/**
 * Sends cards in their turn. What can not go soon is given back.
 *
 * This process keeps its lines; the database counts what all processes send.
 */
export class Sender {
  readonly #pace: Pace
  readonly #rates: RateStore | undefined
  readonly #bot: string
  readonly #clock: Clock
  readonly #deliver: (requestId: string) => void
  #wakes = 0

  constructor(parts: {
    pace: Pace
    /** Undefined when nobody else sends. */
    rates: RateStore | undefined
    botId: string
    clock: Clock
    deliver(requestId: string): void
  }) {
    this.#pace = parts.pace
    this.#rates = parts.rates
    this.#bot = `telegram ${parts.botId}`
    this.#clock = parts.clock
    this.#deliver = parts.deliver
  }

  /** @throws {NotYet} */
  async send<Result>(sending: Sending, call: () => Promise<Result>): Promise<Result> {
    const { chat, count } = sending
    const ms = this.#pace.turn(chat, sending)
    if (ms > 0) throw this.#notYet(sending, ms)
    const wait = this.#pace.place(count, MAX_WAIT_MS)
    if (wait === undefined) throw this.#notYet(sending, MAX_WAIT_MS)
    if (wait > 0) await this.#wait(wait)
    await this.#share(sending)
    try {
      return await call()
    } catch (error) {
      const quietMs = retryAfterMs(error)
      if (quietMs > 0) await this.#quiet(chat, quietMs)
      throw error
    }
  }

  /** Counts it among what the other processes send. @throws {NotYet} */
  async #share(sending: Sending): Promise<void> {
    const { chat, count } = sending
    if (!this.#rates) return
    const { overall } = this.#pace
    const ms = await this.#rates.take(`${this.#bot} ${chat}`, this.#pace.rateOf(chat), count)
    if (ms > 0) throw this.#notYet(sending, ms)
    const until = this.#clock.now() + MAX_WAIT_MS
    for (;;) {
      const wait = await this.#rates.take(this.#bot, overall, count)
      if (wait === 0) return
      if (this.#clock.now() + wait > until) throw this.#notYet(sending, wait)
      await this.#wait(wait)
    }
  }

  async #quiet(chat: string, ms: number): Promise<void> {
    const isAll = this.#pace.quiet(chat, ms)
    await this.#rates?.hold(`${this.#bot} ${chat}`, this.#pace.rateOf(chat), ms)
    if (isAll) await this.#rates?.hold(this.#bot, this.#pace.overall, ms)
  }

  #wait(ms: number): Promise<void> {
    return pause(this.#clock, ms, new AbortController().signal)
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

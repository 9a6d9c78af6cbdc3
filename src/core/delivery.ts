import {
  type Card,
  type CardWork,
  type Courier,
  DeliveryError,
  type DeliveryStore,
  NotYet,
  type Owed,
} from './card.ts'
import { isPassing } from './errors.ts'
import { type Event, isTerminal } from './event.ts'
import type { Hub } from './hub.ts'
import type { Clock, Log, Metrics } from './ports.ts'
import type { Principal } from './principal.ts'

/**
 * Longer than a courier may take, so that nobody else sends the card that is being sent; and with a
 * sweep less than the 30 s in which a card must follow a restart.
 */
const LEASE_MS = 25_000
/** What a crash or an outage left behind is found this soon. */
const SWEEP_MS = 3_000
/** Cards in the air at once, and taken by one sweep. */
const PARALLEL = 16
/** Between attempts to write down a card that was sent. The last one repeats. */
const RECORD_PAUSES_MS = [250, 500, 1_000, 2_000] as const
/** Delays after the first, second, … failure. The last one repeats. */
const BACKOFF_MS = [1_000, 2_000, 5_000, 10_000, 30_000] as const

/**
 * Brings cards to reviewers and keeps them true: at-least-once, from what the rows say is owed.
 *
 * The first attempt comes directly after commit. A sweep finds what a crash, an outage or a failed
 * attempt left.
 */
export class Deliveries {
  readonly #hub: Hub
  readonly #store: DeliveryStore
  readonly #couriers: readonly Courier[]
  readonly #clock: Clock
  readonly #logger: Log
  readonly #metrics: Metrics
  readonly #inFlight = new Set<Promise<void>>()
  /** Whose card is there and not written down yet. At most two claims: none succeeds in an outage. */
  readonly #unrecorded = new Set<string>()
  #cancelSweep: (() => void) | undefined
  #stopped = false

  constructor(parts: {
    hub: Hub
    store: DeliveryStore
    couriers: readonly Courier[]
    clock: Clock
    logger: Log
    metrics: Metrics
  }) {
    this.#hub = parts.hub
    this.#store = parts.store
    this.#couriers = parts.couriers
    this.#clock = parts.clock
    this.#logger = parts.logger
    this.#metrics = parts.metrics
  }

  start(): void {
    if (this.#couriers.length === 0) return
    this.#hub.onEvent((event) => {
      if (event.type !== 'request.created' && !isTerminal(event)) return
      // Beyond this many the sweep takes over: a burst waits instead of being held here.
      if (this.#inFlight.size < PARALLEL) this.#run(event.question.id)
    })
    this.#scheduleSweep(0)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelSweep?.()
    await Promise.all(this.#inFlight)
  }

  /** Does now what is due, of one request or of all. */
  wake(requestId?: string): void {
    if (!this.#stopped) this.#run(requestId)
  }

  /** @throws {LoopgateError} REQUEST_NOT_FOUND. */
  async list(principal: Principal, requestId: string): Promise<readonly CardWork[]> {
    const { question } = await this.#hub.get(principal, requestId)
    return this.#store.list(question.id)
  }

  #scheduleSweep(ms: number): void {
    if (this.#stopped) return
    this.#cancelSweep = this.#clock.after(ms, () => {
      this.#run(undefined, () => this.#scheduleSweep(SWEEP_MS))
    })
  }

  #run(requestId?: string, done?: () => void): void {
    if (this.#stopped) return
    const work = this.#work(requestId)
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#inFlight.delete(work)
        done?.()
      })
    this.#inFlight.add(work)
  }

  async #work(requestId?: string): Promise<void> {
    for (;;) {
      const owed = await this.#store.claim({
        channels: this.#couriers.map(({ channel }) => channel),
        leaseMs: LEASE_MS,
        limit: PARALLEL,
        requestId,
      })
      await Promise.all(owed.map((one) => this.#deliver(one)))
      if (owed.length < PARALLEL || this.#stopped) return
    }
  }

  async #deliver(owed: Owed): Promise<void> {
    const courier = this.#couriers.find(({ channel }) => channel === owed.channel)
    if (!courier) return
    try {
      if (owed.type === 'ask') await this.#ask(courier, owed)
      else if (owed.type === 'settle') await this.#settle(courier, owed)
      else await this.#rearm(courier, owed)
    } catch (error) {
      // When even this fails, the lease ends and the sweep finds it again.
      const known =
        error instanceof NotYet
          ? this.#store.postpone(owed, error.retryAfterMs)
          : this.#recover(owed, error)
      await known.catch((failure: unknown) => this.#failed(failure))
    }
  }

  #failed(error: unknown): void {
    this.#metrics.failed('delivery')
    this.#logger.warn({ err: error }, 'keeping track of cards failed')
  }

  async #ask(courier: Courier, owed: Owed & { type: 'ask' }): Promise<void> {
    const place = `${owed.channel} ${owed.request.question.id}`
    if (this.#unrecorded.has(place)) return
    const card = await courier.ask(owed)
    this.#metrics.delivered(owed.channel, 'delivered')
    const event = await this.#record(card, owed)
    if (event) this.#hub.publish([event])
    // Settled while its card was on the way: the card is owed an outcome already.
    else this.wake(owed.request.question.id)
  }

  /**
   * The card is there: no outage may make it a stranger, and nobody here sends a second one meanwhile.
   * Only a stop gives up, at the next attempt that fails.
   */
  async #record(card: Card, { request }: Owed): Promise<Event | undefined> {
    const place = `${card.channel} ${card.requestId}`
    this.#unrecorded.add(place)
    try {
      for (let attempt = 0; ; attempt += 1) {
        try {
          return await this.#store.delivered(card, request)
        } catch (error) {
          if (this.#stopped || !isPassing(error)) throw error
          this.#failed(error)
        }
        const pauseMs = RECORD_PAUSES_MS[Math.min(attempt, RECORD_PAUSES_MS.length - 1)] ?? 0
        await new Promise<void>((resolve) => this.#clock.after(pauseMs, resolve))
      }
    } finally {
      this.#unrecorded.delete(place)
    }
  }

  async #settle(courier: Courier, owed: Owed & { type: 'settle' }): Promise<void> {
    await courier.settle(owed)
    await this.#store.closed(owed.card)
  }

  async #rearm(courier: Courier, owed: Owed & { type: 'rearm' }): Promise<void> {
    await courier.rearm?.(owed)
    await this.#store.rearmed(owed)
    // Settled meanwhile, it owes its outcome.
    this.wake(owed.request.question.id)
  }

  async #recover(owed: Owed, error: unknown): Promise<void> {
    const lasting = error instanceof DeliveryError && error.retryAfterMs === undefined
    const text = error instanceof Error ? error.message : String(error)
    const requestId = owed.request.question.id
    this.#metrics.delivered(owed.channel, lasting ? 'failed' : 'retried')
    this.#logger.warn({ requestId, channel: owed.channel, attempt: owed.attempt, err: error }, text)
    if (!lasting) {
      const asked = error instanceof DeliveryError ? (error.retryAfterMs ?? 0) : 0
      const backoff = BACKOFF_MS[Math.min(owed.attempt, BACKOFF_MS.length) - 1] ?? 0
      await this.#store.retry(owed, Math.max(asked, backoff), text)
    } else await this.#giveUp(owed, text)
  }

  async #giveUp(owed: Owed, text: string): Promise<void> {
    if (owed.type === 'settle') return this.#store.closed(owed.card, text)
    if (owed.type === 'rearm') return this.#store.rearmed(owed, text)
    const event = await this.#store.undelivered(owed, text)
    if (event) this.#hub.publish([event])
  }
}

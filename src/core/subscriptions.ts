import type { Event } from './event.ts'
import type { Bus, Clock, EventLog, SessionKey } from './ports.ts'
import type { Subscription } from './subscription.ts'

/** How often the log is asked whether a reader missed something. A lost hint costs this long. */
const SWEEP_MS = 2_000
/** The same while the bus is down, when nothing else tells of other processes. */
const DEAF_SWEEP_MS = 200

/**
 * The subscriptions of this process, by session, and what wakes them: an event of this process, a
 * hint of another one, and a sweep that asks the log, in case a hint was lost.
 */
export class Subscriptions {
  readonly #log: EventLog
  readonly #clock: Clock
  readonly #bus: Bus | undefined
  readonly #failed: (error: unknown) => void
  readonly #topics = new Map<string, Set<Subscription>>()
  #cancelSweep: (() => void) | undefined
  #isSweeping = false
  #isSweepAsked = false
  #stopped = false

  constructor(parts: {
    log: EventLog
    clock: Clock
    bus: Bus | undefined
    failed: (error: unknown) => void
  }) {
    this.#log = parts.log
    this.#clock = parts.clock
    this.#bus = parts.bus
    this.#failed = parts.failed
  }

  start(): void {
    this.#bus?.listen({
      hinted: (session) => this.#wake(session),
      // What was hinted at before it listened again was not heard.
      changed: (isUp) => (isUp ? this.#sweepNow() : this.#schedule()),
    })
    this.#schedule()
  }

  stop(): void {
    this.#stopped = true
    this.#cancelSweep?.()
  }

  add(subscription: Subscription): void {
    const key = topic(subscription.target)
    const subscriptions = this.#topics.get(key) ?? new Set()
    subscriptions.add(subscription)
    this.#topics.set(key, subscriptions)
  }

  delete(subscription: Subscription): void {
    const key = topic(subscription.target)
    const subscriptions = this.#topics.get(key)
    subscriptions?.delete(subscription)
    if (subscriptions?.size === 0) this.#topics.delete(key)
  }

  push(event: Event): void {
    for (const subscription of this.#of(event.question)) subscription.push(event)
  }

  #wake(session: SessionKey): void {
    for (const subscription of this.#of(session)) subscription.wake()
  }

  /** A copy, because a subscription that ends leaves the topic meanwhile. */
  #of(session: SessionKey): Subscription[] {
    return [...(this.#topics.get(topic(session)) ?? [])]
  }

  #schedule(): void {
    this.#cancelSweep?.()
    if (this.#stopped) return
    const ms = this.#bus?.isUp === false ? DEAF_SWEEP_MS : SWEEP_MS
    this.#cancelSweep = this.#clock.after(ms, () => this.#sweepNow())
  }

  /** One that is under way may have asked before what this one is for: it is followed by another. */
  #sweepNow(): void {
    this.#cancelSweep?.()
    if (this.#isSweeping) this.#isSweepAsked = true
    if (this.#isSweeping || this.#stopped) return
    this.#isSweeping = true
    void this.#sweep()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#isSweeping = false
        const isAsked = this.#isSweepAsked
        this.#isSweepAsked = false
        if (isAsked) this.#sweepNow()
        else this.#schedule()
      })
  }

  /** Wakes the readers whose session's log goes beyond them. */
  async #sweep(): Promise<void> {
    const live = [...this.#topics.values()].flatMap((topic) => [...topic]).filter((s) => s.isLive)
    const lowest = new Map<string, { tenant: string; sessionId: string; seq: number }>()
    for (const { target, seq } of live) {
      const key = topic(target)
      if (seq < (lowest.get(key)?.seq ?? Number.POSITIVE_INFINITY)) {
        lowest.set(key, { tenant: target.tenant, sessionId: target.sessionId, seq })
      }
    }
    if (lowest.size === 0) return
    for (const session of await this.#log.ahead([...lowest.values()])) this.#wake(session)
  }
}

/** Tenants and session ids have no NUL, so two topics are never the same text. */
const topic = ({ tenant, sessionId }: SessionKey): string => `${tenant}\0${sessionId}`

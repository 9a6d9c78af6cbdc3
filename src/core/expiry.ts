import type { Hub } from './hub.ts'
import type { Clock, Log, Metrics, RequestStore } from './ports.ts'

/**
 * Requests of other processes, which do not tell us their deadlines, are looked for this often; and
 * a clock that jumped costs at most this long.
 */
const LONGEST_SLEEP_MS = 5_000
/** After a failure, and while a reading is still under way. */
const PAUSE_MS = 250
const BATCH = 100

/** Expires overdue requests: sleeps until the next deadline, wakes, issues the command. */
export class Expiry {
  readonly #hub: Hub
  readonly #requests: RequestStore
  readonly #clock: Clock
  readonly #logger: Log
  readonly #metrics: Metrics
  #cancel: (() => void) | undefined
  #wakeAt = Number.POSITIVE_INFINITY
  #running: Promise<void> | undefined
  #stopped = false

  constructor(parts: {
    hub: Hub
    requests: RequestStore
    clock: Clock
    logger: Log
    metrics: Metrics
  }) {
    this.#hub = parts.hub
    this.#requests = parts.requests
    this.#clock = parts.clock
    this.#logger = parts.logger
    this.#metrics = parts.metrics
  }

  start(): void {
    this.#hub.onEvent(({ type, question }) => {
      if (type !== 'request.created') return
      this.#sleep(question.expiresAt.getTime() - question.createdAt.getTime())
    })
    this.#sleep(0)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel?.()
    await this.#running
  }

  /** Wakes after `ms` at the latest. */
  #sleep(ms: number): void {
    const at = this.#clock.now() + Math.min(ms, LONGEST_SLEEP_MS)
    if (this.#stopped || at >= this.#wakeAt) return
    this.#cancel?.()
    this.#wakeAt = at
    this.#cancel = this.#clock.after(at - this.#clock.now(), () => this.#wake())
  }

  #wake(): void {
    this.#wakeAt = Number.POSITIVE_INFINITY
    if (this.#running !== undefined) {
      this.#sleep(PAUSE_MS)
      return
    }
    this.#running = this.#expireDue()
      .catch((error: unknown) => {
        this.#metrics.failed('expiry')
        this.#logger.warn({ err: error }, 'expiring requests failed')
        return PAUSE_MS
      })
      .then((ms) => {
        this.#running = undefined
        this.#sleep(ms)
      })
  }

  /** Returns how long nothing is due, in milliseconds. */
  async #expireDue(): Promise<number> {
    const next = await this.#requests.nextToExpire(BATCH)
    const due = next.filter(({ dueInMs }) => dueInMs <= 0)
    for (const { request } of due) await this.#hub.expire(request)
    if (due.length === next.length) return due.length < BATCH ? LONGEST_SLEEP_MS : 0
    return Math.max(next[due.length]?.dueInMs ?? 0, 1)
  }
}

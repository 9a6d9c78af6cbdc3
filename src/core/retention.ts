import type { Clock, EventPruning, Log, Metrics, SessionKey } from './ports.ts'

/** Events are kept for days: an hour more or less is nothing. */
const PERIOD_MS = 3_600_000
/** After a start, which has enough to do. */
const FIRST_MS = 60_000
/** Between two batches, so that nobody else waits long. */
const PAUSE_MS = 50
/** After a failure. */
const RETRY_MS = 60_000

/** Deletes events that were kept long enough, batch by batch. Any number of processes may do it. */
export class Retention {
  readonly #pruning: EventPruning
  readonly #days: number
  readonly #clock: Clock
  readonly #logger: Log
  readonly #metrics: Metrics
  #cancel: (() => void) | undefined
  #running: Promise<void> | undefined
  #stopped = false

  constructor(parts: {
    pruning: EventPruning
    days: number
    clock: Clock
    logger: Log
    metrics: Metrics
  }) {
    this.#pruning = parts.pruning
    this.#days = parts.days
    this.#clock = parts.clock
    this.#logger = parts.logger
    this.#metrics = parts.metrics
  }

  start(): void {
    this.#after(FIRST_MS, undefined)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel?.()
    await this.#running
  }

  #after(ms: number, from: SessionKey | undefined): void {
    if (this.#stopped) return
    this.#cancel = this.#clock.after(ms, () => {
      this.#running = this.#prune(from)
    })
  }

  /** Never rejects. */
  async #prune(from: SessionKey | undefined): Promise<void> {
    try {
      const { events, next } = await this.#pruning.prune(this.#days, from)
      if (events > 0) this.#logger.info({ events }, 'deleted events that were kept long enough')
      this.#after(next ? PAUSE_MS : PERIOD_MS, next)
    } catch (error) {
      this.#metrics.failed('retention')
      this.#logger.warn({ err: error }, 'deleting old events failed')
      this.#after(RETRY_MS, from)
    }
  }
}

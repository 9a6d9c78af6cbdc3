import type { Update } from 'grammy/types'
import { isPassing } from '../../core/errors.ts'
import type { Log, Metrics } from '../../core/ports.ts'

/** An update that our own code fails on so often is set aside: it would hold up all that follow. */
const MAX_FAILURES = 3
const MAX_KNOWN = 1_000

/**
 * Handles updates, and knows which ones to give up. An outage of the database is no failure of ours.
 * What is set aside is logged by its id and kind, and counted.
 */
export class Attempts {
  readonly #handle: (update: Update) => Promise<void>
  readonly #logger: Log
  readonly #metrics: Pick<Metrics, 'failed'>
  readonly #failures = new Map<number, number>()

  constructor(parts: {
    handle: (update: Update) => Promise<void>
    logger: Log
    metrics: Pick<Metrics, 'failed'>
  }) {
    this.#handle = parts.handle
    this.#logger = parts.logger
    this.#metrics = parts.metrics
  }

  /** True when the update may be confirmed. Never rejects. */
  async handle(update: Update): Promise<boolean> {
    const { update_id } = update
    try {
      await this.#handle(update)
      this.#failures.delete(update_id)
      return true
    } catch (error) {
      if (isPassing(error)) {
        this.#logger.warn(
          { update_id, err: error },
          'an update waits: it can not be handled right now',
        )
        return false
      }
      return this.#failed(update, error)
    }
  }

  #failed(update: Update, error: unknown): boolean {
    const { update_id: updateId } = update
    const failures = (this.#failures.get(updateId) ?? 0) + 1
    const isOver = failures >= MAX_FAILURES
    if (isOver) this.#failures.delete(updateId)
    else {
      if (this.#failures.size >= MAX_KNOWN) this.#failures.clear()
      this.#failures.set(updateId, failures)
    }
    if (isOver) this.#metrics.failed('update')
    // What it says is between people; what kind it is helps to find the fault.
    const kinds = Object.keys(update).filter((name) => name !== 'update_id')
    this.#logger.error(
      { update_id: updateId, kinds, failures, err: error },
      isOver ? 'an update was set aside' : 'an update could not be handled; trying again',
    )
    return isOver
  }
}

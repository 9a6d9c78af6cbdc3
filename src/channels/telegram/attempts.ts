import type { Update } from 'grammy/types'
import { isPassing } from '../../core/errors.ts'
import type { Log } from '../../core/ports.ts'

/** An update that our own code fails on so often is set aside: it would hold up all that follow. */
const MAX_FAILURES = 3
const MAX_KNOWN = 1_000

/** Handles updates, and knows which ones to give up. An outage of the database is no failure of ours. */
export class Attempts {
  readonly #handle: (update: Update) => Promise<void>
  readonly #logger: Log
  readonly #failures = new Map<number, number>()

  constructor(handle: (update: Update) => Promise<void>, logger: Log) {
    this.#handle = handle
    this.#logger = logger
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
        this.#logger.warn({ update_id, err: error }, 'an update waits for the database')
        return false
      }
      return this.#failed(update_id, error)
    }
  }

  #failed(updateId: number, error: unknown): boolean {
    const failures = (this.#failures.get(updateId) ?? 0) + 1
    const isOver = failures >= MAX_FAILURES
    if (isOver) this.#failures.delete(updateId)
    else {
      if (this.#failures.size >= MAX_KNOWN) this.#failures.clear()
      this.#failures.set(updateId, failures)
    }
    this.#logger.error(
      { update_id: updateId, failures, err: error },
      isOver ? 'an update was set aside' : 'an update could not be handled; trying again',
    )
    return isOver
  }
}

import { expect } from 'vitest'
import type { Clock } from '../../src/core/ports.ts'

interface Timer {
  readonly at: number
  readonly callback: () => void
}

/** Time that passes when the test says so. */
export class FakeClock implements Clock {
  #now = 0
  readonly #timers = new Set<Timer>()

  now(): number {
    return this.#now
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + Math.max(ms, 0), callback }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** How long until the next timer, undefined when nobody waits. */
  get next(): number | undefined {
    const [first] = this.#inOrder()
    return first && first.at - this.#now
  }

  /** How many wait. */
  get waiting(): number {
    return this.#timers.size
  }

  /** Calls whoever is due on the way, in order; also what they ask for meanwhile. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const [timer] = this.#inOrder()
      if (!timer || timer.at > end) break
      this.#timers.delete(timer)
      this.#now = Math.max(this.#now, timer.at)
      timer.callback()
    }
    this.#now = end
  }

  #inOrder(): Timer[] {
    return [...this.#timers].sort((a, b) => a.at - b.at)
  }
}

/** Knows who waits for how long. */
export class WatchedClock extends FakeClock {
  readonly waits: number[] = []

  override after(ms: number, callback: () => void): () => void {
    this.waits.push(ms)
    return super.after(ms, callback)
  }

  /** Resolves when somebody waits so long. */
  async isWaiting(seconds: number): Promise<void> {
    await expect
      .poll(() => this.waits, { timeout: 10_000, interval: 10 })
      .toContain(seconds * 1_000)
  }
}

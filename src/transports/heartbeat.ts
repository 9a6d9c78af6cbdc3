import type { Clock } from '../core/ports.ts'

const TICK_MS = 1_000

export interface Beating {
  /** The period has passed: show the other side that we are there. */
  beat(): void
  /** The grace after a beat has passed: who did not answer is gone. */
  expect?(): void
}

/**
 * One timer for all connections: a wheel of a slot a second, each connection in the slot of the
 * second it came in. A timer per connection costs memory and, for thousands, a core.
 */
export class Heartbeats {
  readonly #slots: readonly Set<Beating>[]
  readonly #graceSeconds: number
  readonly #clock: Clock
  #at = 0
  #cancel: (() => void) | undefined

  constructor(periodSeconds: number, graceSeconds: number, clock: Clock) {
    this.#slots = Array.from({ length: periodSeconds }, () => new Set())
    this.#graceSeconds = graceSeconds
    this.#clock = clock
  }

  /** Returns what takes the connection off again. */
  add(connection: Beating): () => void {
    const slot = this.#slots[this.#at]
    slot?.add(connection)
    this.#tick()
    return () => slot?.delete(connection)
  }

  stop(): void {
    this.#cancel?.()
  }

  /** Turns while there is anybody on it. */
  #tick(): void {
    this.#cancel ??= this.#clock.after(TICK_MS, () => {
      this.#cancel = undefined
      const { length } = this.#slots
      this.#at = (this.#at + 1) % length
      for (const connection of this.#slots[this.#at] ?? []) connection.beat()
      const answered = (this.#at + length - this.#graceSeconds) % length
      for (const connection of this.#slots[answered] ?? []) connection.expect?.()
      if (this.#slots.some(({ size }) => size > 0)) this.#tick()
    })
  }
}

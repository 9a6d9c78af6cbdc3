import type { ServerResponse } from 'node:http'
import type { Clock } from '../core/ports.ts'

/** A reader that has more than this waiting for it in the server is cut, and resumes later. */
const MAX_BYTES = 1024 * 1024
/** So is one that did not take what has waited this long. */
const MAX_AGE_MS = 5_000
const TICK_MS = 1_000

/** Replay waits for a reader with more than this in the air. */
export const FULL_BYTES = 64 * 1024

/** Resolves when the reader of a response has taken most of what was written, or is gone. */
export function drained(raw: ServerResponse): Promise<void> {
  if (raw.destroyed || raw.writableLength < FULL_BYTES) return Promise.resolve()
  return new Promise((resolve) => {
    const done = () => {
      raw.off('drain', done).off('close', done)
      resolve()
    }
    raw.on('drain', done).on('close', done)
  })
}

export interface Backlogged {
  /** Bytes that wait for this reader in the server now. */
  backlog(): number
  /** Ends the connection, without waiting for the reader. */
  cut(): void
}

interface Mark {
  readonly at: number
  /** What will have been written when everything that waited at `at` is gone. */
  readonly target: number
}

/** Watches those connections that have something waiting for them. The others cost nothing. */
export class Backlogs {
  readonly #clock: Clock
  readonly #marks = new Map<Backlogged, Mark & { written: number }>()
  #cancel: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Call after every write of `bytes`. Cuts the connection when it has too much waiting. */
  wrote(connection: Backlogged, bytes: number): void {
    const waiting = connection.backlog()
    if (waiting > MAX_BYTES) {
      this.#marks.delete(connection)
      connection.cut()
      return
    }
    const mark = this.#marks.get(connection)
    if (mark) mark.written += bytes
    else if (waiting > 0) {
      this.#marks.set(connection, { at: this.#clock.now(), target: waiting, written: waiting })
      this.#schedule()
    }
  }

  forget(connection: Backlogged): void {
    this.#marks.delete(connection)
  }

  stop(): void {
    this.#cancel?.()
    this.#marks.clear()
  }

  #schedule(): void {
    this.#cancel ??= this.#clock.after(TICK_MS, () => {
      this.#cancel = undefined
      for (const [connection, mark] of this.#marks) this.#check(connection, mark)
      if (this.#marks.size > 0) this.#schedule()
    })
  }

  #check(connection: Backlogged, mark: Mark & { written: number }): void {
    const waiting = connection.backlog()
    if (waiting === 0) this.#marks.delete(connection)
    else if (mark.written - waiting >= mark.target) {
      // What waited then is gone. What waits now is newer: it gets its own time.
      const { written } = mark
      this.#marks.set(connection, { at: this.#clock.now(), target: written, written })
    } else if (this.#clock.now() - mark.at >= MAX_AGE_MS) {
      this.#marks.delete(connection)
      connection.cut()
    }
  }
}

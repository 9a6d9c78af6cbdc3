import { stopping } from '../core/errors.ts'
import type { Clock } from '../core/ports.ts'

/** How long a closing handshake may take before the socket is cut. */
export const CLOSE_MS = 1_000

/**
 * Connections of one transport that are closed in a second, while there is time for it: about what
 * another process takes back, so that whoever is closed waits for nobody.
 */
const PER_SECOND = 500
const STEP_MS = 20

/** When to come back. It differs, so that those who are closed together do not return together. */
export const retryAfterMs = (): number => Math.floor(Math.random() * 1_000)

/** @throws {LoopgateError} UNAVAILABLE while the server stops: it takes no new work. */
export function refuseWhile(draining: AbortSignal): void {
  if (draining.aborted) throw stopping()
}

/**
 * Closes connections one after the other, at an even pace, within `ms`. Resolves when the last one
 * was told. Few connections are closed at once.
 */
export async function closeEvenly<Connection>(
  connections: Iterable<Connection>,
  ms: number,
  clock: Clock,
  close: (connection: Connection) => void,
): Promise<void> {
  const all = [...connections]
  const steps = Math.floor(Math.min(ms, (all.length * 1_000) / PER_SECOND) / STEP_MS)
  for (let step = 1, next = 0; next < all.length; step++) {
    const until = step >= steps ? all.length : Math.ceil((all.length * step) / steps)
    for (; next < until; next++) close(all[next] as Connection)
    if (next < all.length) await new Promise<void>((resolve) => clock.after(STEP_MS, resolve))
  }
}

/** What a connection has in work that changes something, and is answered before a stop closes it. */
export class Commands {
  #running = 0
  #whenDone: (() => void) | undefined

  async run<Answer>(task: () => Promise<Answer>): Promise<Answer> {
    this.#running++
    try {
      return await task()
    } finally {
      this.#running--
      // In a later tick: the answer is written first.
      if (this.#running === 0) setImmediate(() => this.#whenDone?.())
    }
  }

  /** Calls back as soon as nothing is in work. */
  whenDone(callback: () => void): void {
    if (this.#running === 0) callback()
    else this.#whenDone = callback
  }
}

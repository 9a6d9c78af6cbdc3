import type { Connection } from './connections/connection.ts'

/** Failures in a row after which a kind of connection is left alone. */
const ATTEMPTS = 2
/** How long. A proxy that blocks one kind goes on doing so; a server that was away is back. */
export const REST_MS = 300_000

interface Mark {
  readonly failures: number
  readonly at: number
  readonly error: unknown
}

/** Which kind of connection to use: the first of the list that has not failed lately. */
export class Fallback {
  readonly #connections: readonly Connection[]
  readonly #marks = new Map<Connection, Mark>()

  constructor(connections: readonly Connection[]) {
    this.#connections = connections
  }

  pick(): Connection {
    const now = Date.now()
    const sound = this.#connections.find((connection) => !this.#rests(connection, now))
    if (sound) return sound
    // Nothing gets through: the server is away, which says nothing about any kind.
    this.#marks.clear()
    const [first] = this.#connections
    if (!first) throw new TypeError('there is no way to receive')
    return first
  }

  succeeded(connection: Connection): void {
    this.#marks.delete(connection)
  }

  /** One failure of a shared connection reaches each of its readers, and counts once. */
  failed(connection: Connection, error: unknown): void {
    const mark = this.#marks.get(connection)
    if (mark !== undefined && mark.error === error) return
    const failures = (mark?.failures ?? 0) + 1
    this.#marks.set(connection, { failures, at: Date.now(), error })
  }

  #rests(connection: Connection, now: number): boolean {
    const mark = this.#marks.get(connection)
    return mark !== undefined && mark.failures >= ATTEMPTS && now - mark.at < REST_MS
  }
}

import type { Hello } from '../../src/protocol/types.ts'
import type { Http } from '../http.ts'
import type { Timing } from '../timing.ts'

/** One reader of one session's log. Its methods do not throw. */
export interface Reading {
  readonly sessionId: string
  /** The cursor to go on from; undefined: from now on. */
  readonly since: string | undefined
  /** Aborted when nobody reads any more. */
  readonly signal: AbortSignal
  /** MUST be called once, before any event, with the place that reading starts from. */
  started(hello: Hello): void
  /** An event as it came, in the order of the log. The feed checks it. */
  event(value: unknown): void
}

/**
 * One way to receive. A connection knows the wire, and no other connection; choosing between them,
 * coming back and remembering the cursor is the feed's.
 */
export interface Connection {
  readonly name: string
  /**
   * Reads until the connection is gone. MUST reject with Disconnected then, also after a silence
   * that a living server does not keep, and with the server's refusal as LoopgateError. Resolves
   * when the signal is aborted, or when the reader may choose anew at once. MUST leave no socket
   * and no timer of its own when it has ended, unless other readings share them.
   */
  read(reading: Reading): Promise<void>
}

export interface ConnectionContext {
  readonly http: Http
  readonly timing: Timing
}

export interface ConnectionDefinition {
  readonly name: string
  create(context: ConnectionContext): Connection
}

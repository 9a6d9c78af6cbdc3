/** How long things may take, in milliseconds. */
export interface Timing {
  /** A call, from asking to the whole answer. */
  readonly callMs: number
  /** A connection, until the server's first word on it. */
  readonly connectMs: number
  /** Silence on a stream, after which it is taken for dead. The server's heartbeat comes every 15 s. */
  readonly silenceMs: number
  /** The first pause before another attempt is random up to this. */
  readonly minBackoffMs: number
  /** No pause is longer, unless the server asks for it. */
  readonly maxBackoffMs: number
}

export const TIMING: Timing = {
  callMs: 30_000,
  connectMs: 5_000,
  silenceMs: 40_000,
  minBackoffMs: 500,
  maxBackoffMs: 20_000,
}

/** What an audit reads, as rows. Everything is of one moment. */

/** An event of a session, or a session without any. Sessions are told one after the other. */
export interface AuditedEvent {
  readonly tenant: string
  readonly sessionId: string
  /** What the session's row says of its newest event, and of the one up to which none is kept. */
  readonly head: Place
  readonly floor: Place
  readonly event: {
    readonly seq: number
    readonly requestId: string
    readonly hash: string | null
    /** What the hash covers, beside the hash before it, as the rows have it now. */
    readonly entry: string
    /** Whether the request's row says what this event says; null when there is no such row. */
    readonly isSame: boolean | null
  } | null
}

/** A place in a log, and the hash of the event there: empty before the first. */
export interface Place {
  readonly seq: number
  readonly hash: string
}

/** A request by itself. */
export interface AuditedRequest {
  readonly tenant: string
  readonly id: string
  readonly sessionId: string
  readonly seq: number
  /** Null in what was asked before there were digests. */
  readonly digest: string | null
  /** The digest of what the row says was asked. */
  readonly contentDigest: string
  readonly isSettled: boolean
  readonly kid: string | null
  /** What its receipt says, as it is signed; null without one. */
  readonly claims: string | null
  /** Whether its newest event is there, or was deleted when it was old enough. */
  readonly isInLog: boolean
  /** When it was settled, if its events are deleted. */
  readonly deletedAt: Date | null
}

/** A checkpoint with its heads, and what is there of them now. */
export interface AuditedCheckpoint {
  readonly tenant: string
  readonly number: number
  readonly jws: string
  readonly heads: readonly AuditedHead[]
  /** Of the heads, and of the text, as the next one must say it. */
  readonly headsDigest: string
  readonly digest: string
}

/** Where a session's log ended when the checkpoint was made. */
export interface AuditedHead extends Place {
  readonly sessionId: string
  /** Null when the session is gone. */
  readonly now: {
    readonly head: number
    readonly floor: Place
    /** The hash of the event there, if it is kept. */
    readonly hash: string | null
  } | null
}

/** Reads everything once, in an order that needs no memory. */
export interface AuditSource {
  events(): AsyncIterable<AuditedEvent>
  /** Events of sessions that are not there. */
  strays(): AsyncIterable<{
    readonly tenant: string
    readonly sessionId: string
    readonly seq: number
  }>
  requests(): AsyncIterable<AuditedRequest>
  checkpoints(): AsyncIterable<AuditedCheckpoint>
  request(id: string): Promise<AuditedRequest | undefined>
}

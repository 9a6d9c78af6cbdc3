/**
 * What travels on the wire, as types alone, so that a client needs no package to know it.
 *
 * Times are ISO 8601 in UTC with milliseconds. A cursor is opaque.
 */

export type WireStatus = 'pending' | 'completed' | 'timeout' | 'canceled'
export type WireOutcome = 'approved' | 'rejected' | 'answered' | 'expired' | 'canceled'
export type WireEffect = 'approve' | 'reject' | 'other'
export type WireRequestType = 'confirmation' | 'input' | 'choice'

export interface WireOption {
  readonly label: string
  readonly effect: WireEffect
}

export interface WireDelivery {
  readonly channel: string
  readonly status: 'queued' | 'delivered' | 'failed'
  readonly error?: string
}

/** The request as agents see it. */
export interface RequestView {
  readonly request_id: string
  readonly session_id: string
  readonly client_id: string
  readonly message: string
  readonly request_type: WireRequestType
  readonly options: readonly WireOption[]
  readonly metadata: Readonly<Record<string, unknown>>
  readonly status: WireStatus
  readonly outcome: WireOutcome | null
  /** True for every status but pending. */
  readonly completed: boolean
  /** True exactly when the outcome is `approved`. */
  readonly approved: boolean
  readonly response: string | null
  readonly comment: string | null
  readonly decided_by: {
    readonly channel: string
    readonly id: string
    readonly name: string
  } | null
  readonly delivery: readonly WireDelivery[]
  readonly created_at: string
  readonly expires_at: string
  readonly responded_at: string | null
  /** `responded_at`, else `created_at`. */
  readonly timestamp: string
  /** The id of the request's newest event. */
  readonly cursor: string
  readonly receipt: string | null
}

export type WireEventType =
  | 'request.created'
  | 'request.delivered'
  | 'request.undelivered'
  | 'request.decided'
  | 'request.expired'
  | 'request.canceled'

/** The one envelope of every transport. `id` is the cursor after this event. */
export interface Envelope {
  readonly id: string
  readonly type: WireEventType
  readonly session_id: string
  readonly request_id: string
  readonly timestamp: string
  readonly data: RequestView
}

/** The first thing a stream says: where reading starts, and whether that is where it left off. */
export interface Hello {
  readonly cursor: string
  readonly recovered: boolean
}

/** RFC 9457. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail: string
  /** For INVALID_INPUT: `path` is a JSON Pointer (RFC 6901). */
  readonly errors?: readonly { readonly path: string; readonly message: string }[]
  /** For REQUEST_ALREADY_SETTLED: the winner. */
  readonly request?: RequestView
}

/** What a receipt says. Times are seconds since 1970, or ISO 8601. */
export interface ReceiptClaims {
  /** The address of the server when it was settled. */
  readonly iss: string
  /** The client_id. */
  readonly aud: string
  /** The request_id. */
  readonly sub: string
  readonly jti: string
  readonly iat: number
  /** Of approvals: until when one may be acted on. */
  readonly exp?: number
  readonly outcome: WireOutcome
  readonly approved: boolean
  readonly response: string | null
  readonly comment: string | null
  readonly decided_by: RequestView['decided_by']
  readonly request: {
    /** Of what was asked: `sha-256:` and hex over its RFC 8785 form. */
    readonly digest: string
    /** Of the text that the reviewer's card showed; null when nothing was shown. */
    readonly shown_digest: string | null
    readonly created_at: string
    readonly expires_at: string
  }
}

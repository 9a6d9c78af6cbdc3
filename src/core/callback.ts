import type { Session } from './ports.ts'
import type { HitlRequest } from './request.ts'

/** `waiting` for the settlement; `owed` until it is `delivered`, or `failed` for good. */
export type CallbackStatus = 'waiting' | 'owed' | 'delivered' | 'failed'

/** What came of one attempt to call back. */
export interface CallbackAttempt {
  readonly at: Date
  /** What the receiver answered; null when it did not. */
  readonly statusCode: number | null
  /** Why it does not count as delivered; null when it does. */
  readonly error: string | null
  readonly durationMs: number
}

/** A callback as its owners see it. */
export interface Callback {
  /** The `webhook-id` of every attempt. */
  readonly id: string
  readonly url: string
  readonly status: CallbackStatus
  /** The receiver said 410 Gone: the session posts nothing there until a resend. */
  readonly disabled: boolean
  readonly error: string | null
  readonly nextAttemptAt: Date | null
  /** The newest, oldest first. */
  readonly attempts: readonly (CallbackAttempt & { readonly number: number })[]
}

/** A callback to post now. */
export interface OwedCallback {
  readonly id: string
  readonly url: string
  /** How often it failed since it is owed. */
  readonly failures: number
  readonly disabled: boolean
  /** When it was taken, by the clock of the database: receivers refuse what is minutes off. */
  readonly at: Date
  readonly request: HitlRequest
  /** The secret of the session, which signs. */
  readonly secret: string
}

/** A callback that somebody must look at, and what it is limited by. */
export interface DueCallback {
  readonly id: string
  readonly tenant: string
  readonly url: string
}

/**
 * Callbacks are rows: made with the request, or by the registration that finds it pending, and owed by
 * the statement that settles it. Whoever takes one moves the time at which the next one looks, so that
 * a crash forgets nothing.
 */
export interface CallbackStore {
  /**
   * Registers an address for every request of the session that is pending or will be asked. The answer
   * is the id of the registration, the same one for the same address. What is settled after it was
   * answered MUST be called back, whatever ran at the same time.
   * @throws {LoopgateError} INVALID_INPUT when the session has `most` already.
   */
  register(session: Session, url: string, most: number): Promise<string>
  /** Those of the requests that are owed. */
  ofRequests(requestIds: readonly string[]): Promise<readonly DueCallback[]>
  /** Takes up to `limit` that are due, oldest first, each for `leaseMs`. */
  takeDue(limit: number, leaseMs: number): Promise<readonly DueCallback[]>
  /** Takes one to post it. Undefined when it is not owed any more. */
  claim(id: string, leaseMs: number): Promise<OwedCallback | undefined>
  /** Nothing was tried: due again after `delayMs`. */
  postpone(id: string, delayMs: number): Promise<void>
  /**
   * Writes down what came of an attempt (undefined: there was none), and what is next. Does not
   * change what was concluded meanwhile. `disable`: nothing is posted to the address any more.
   */
  record(
    id: string,
    attempt: CallbackAttempt | undefined,
    next:
      | { readonly status: 'owed'; readonly delayMs: number; readonly error: string }
      | { readonly status: 'delivered' }
      | { readonly status: 'failed'; readonly error: string; readonly disable?: boolean },
  ): Promise<void>
  list(requestId: string): Promise<readonly Callback[]>
  /** Owes those of a settled request anew, from the start of the schedule. Returns how many. */
  resend(requestId: string): Promise<number>
  count(): Promise<{ readonly owed: number; readonly failed: number }>
}

/** Posts a settled request, signed. It resolves whatever comes of it, within its own time limit. */
export interface CallbackSender {
  send(callback: OwedCallback, signal: AbortSignal): Promise<CallbackAnswer>
}

/** What came of posting: a status, or what went wrong before there was one. */
export interface CallbackAnswer {
  readonly statusCode: number | null
  readonly error: string | null
  readonly durationMs: number
  /** When the receiver wants to be called again. */
  readonly retryAfterMs?: number | undefined
}

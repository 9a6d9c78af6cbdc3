import type { HitlRequest } from './request.ts'

/**
 * The error registry. The code is the contract; the text may change.
 *
 * The HTTP status stands here because a second table kept in step by hand would be worse.
 */
const ERRORS = {
  INVALID_INPUT: [400, 'the input is not valid'],
  SESSION_INACTIVE: [400, 'the session is not active; register it again to reactivate it'],
  UNAUTHORIZED: [401, 'no valid credential was given'],
  FORBIDDEN: [403, 'this is not allowed'],
  NOT_FOUND: [404, 'there is nothing here'],
  SESSION_NOT_FOUND: [404, 'no session has this id'],
  REQUEST_NOT_FOUND: [404, 'no request has this id'],
  REQUEST_ALREADY_SETTLED: [409, 'the request is already settled'],
  USERNAME_TAKEN: [409, 'another user has this name'],
  ALREADY_CONSUMED: [409, 'the approval was spent already'],
  NOT_APPROVED: [409, 'the request is not approved'],
  APPROVAL_EXPIRED: [409, 'the time in which the approval could be acted on is over'],
  DIGEST_MISMATCH: [409, 'what was asked has another digest'],
  CURSOR_GONE: [410, 'the log can not be continued from this cursor'],
  PAYLOAD_TOO_LARGE: [413, 'the body is larger than 256 KiB'],
  UNSUPPORTED_MEDIA_TYPE: [415, 'the body must be application/json'],
  IDEMPOTENCY_MISMATCH: [422, 'this idempotency key was used with another body'],
  TOO_MANY_PENDING: [429, 'too many requests of this client are pending'],
  RATE_LIMITED: [429, 'too many attempts'],
  INTERNAL: [500, 'something went wrong on our side'],
  UNAVAILABLE: [503, 'the server can not answer right now; try again'],
} as const satisfies Record<string, readonly [status: number, text: string]>

export type ErrorCode = keyof typeof ERRORS

export const ERROR_CODES = Object.keys(ERRORS) as readonly ErrorCode[]

/** One thing that is wrong with an input. `path` is a JSON Pointer (RFC 6901), '' for the whole. */
export interface InputIssue {
  readonly path: string
  readonly message: string
}

export interface ErrorDetails {
  readonly issues?: readonly InputIssue[]
  /** The winner, for REQUEST_ALREADY_SETTLED. */
  readonly request?: HitlRequest
  readonly retryAfterSeconds?: number
  readonly cause?: unknown
}

/** An error that its receiver can act on. Everything else that is thrown is a bug and is INTERNAL. */
export class LoopgateError extends Error {
  override readonly name = 'LoopgateError'
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, message?: string, details: ErrorDetails = {}) {
    super(message ?? ERRORS[code][1], { cause: details.cause })
    this.code = code
    this.details = details
  }

  get status(): number {
    return ERRORS[this.code][0]
  }

  /** The registry's text, the same for every occurrence of the code. */
  get title(): string {
    return ERRORS[this.code][1]
  }
}

/** It may work in a moment: nothing is wrong with what was asked. */
export function isPassing(error: unknown): boolean {
  return error instanceof LoopgateError && error.code === 'UNAVAILABLE'
}

/** What is asked of a server that is about to end. Another process may take it, or the next one. */
export const stopping = (): LoopgateError =>
  new LoopgateError('UNAVAILABLE', 'the server is stopping', { retryAfterSeconds: 1 })

/** INVALID_INPUT that names one field. */
export function invalid(path: string, message: string): LoopgateError {
  return new LoopgateError('INVALID_INPUT', `${path || 'input'}: ${message}`, {
    issues: [{ path, message }],
  })
}

import type { Problem, RequestView } from '../src/protocol/types.ts'
import { isRecord } from './record.ts'

/** What this client finds by itself. Every other code is the server's. */
export type ClientErrorCode =
  /** An answer or event is not what the contract says. Nothing was decided by it. */
  | 'MALFORMED_ANSWER'
  /** No session is named, and none was registered. */
  | 'NOT_REGISTERED'
  /** This client was closed. */
  | 'CLOSED'
  /** The receipt of a decision is missing, or does not prove it. Do not act on it. */
  | 'NOT_VERIFIED'
  /** The server could not be reached. */
  | 'UNREACHABLE'
  /** The server ended the connection and does not want this client back. */
  | 'DISCONNECTED'

export interface ErrorDetails {
  readonly status?: number | undefined
  readonly errors?: Problem['errors'] | undefined
  readonly request?: RequestView | undefined
  readonly retryAfterMs?: number | undefined
  readonly cause?: unknown
}

/** Why a call failed, for a program to act on: `code` is the contract, `message` is for people. */
export class LoopgateError extends Error {
  override readonly name = 'LoopgateError'
  /** One of the server's codes, a ClientErrorCode, or `HTTP_502` and such for what had no code. */
  readonly code: string
  /** The HTTP status, where there was one. */
  readonly status: number | undefined
  /** For INVALID_INPUT: what is wrong, by JSON Pointer. */
  readonly errors: readonly { readonly path: string; readonly message: string }[]
  /** For REQUEST_ALREADY_SETTLED: what holds. */
  readonly request: RequestView | undefined
  /** How long the server asked to be left alone. */
  readonly retryAfterMs: number | undefined

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? {} : { cause: details.cause })
    this.code = code
    this.status = details.status
    this.errors = details.errors ?? []
    this.request = details.request
    this.retryAfterMs = details.retryAfterMs
  }
}

/** The connection is gone, or never came to be. Whoever wanted it tries again. */
export class Disconnected extends Error {
  override readonly name = 'Disconnected'
  readonly retryAfterMs: number | undefined
  /** Nothing came for too long: this kind of connection may be held back by something in between. */
  readonly isSilence: boolean

  constructor(
    message: string,
    details: { cause?: unknown; retryAfterMs?: number | undefined; isSilence?: boolean } = {},
  ) {
    super(message, details.cause === undefined ? {} : { cause: details.cause })
    this.retryAfterMs = details.retryAfterMs
    this.isSilence = details.isSilence ?? false
  }
}

export const malformed = (what: string, cause?: unknown): LoopgateError =>
  new LoopgateError('MALFORMED_ANSWER', `${what} is not what the Loopgate contract says`, { cause })

export const unreachable = (error: Error): LoopgateError =>
  new LoopgateError('UNREACHABLE', `the server could not be reached: ${error.message}`, {
    cause: error,
  })

/**
 * Whether asking again cannot mend it. A refusal without one of the server's codes came from
 * something in between, and may be over soon; but 401 is final, whoever says it.
 */
export function isFinal({ code, status = 0 }: LoopgateError): boolean {
  if (status === 401) return true
  if (code.startsWith('HTTP_')) return false
  return !PASSING.has(code)
}

const PASSING: ReadonlySet<string> = new Set([
  'UNAVAILABLE',
  'INTERNAL',
  'RATE_LIMITED',
  'TOO_MANY_PENDING',
  'CURSOR_GONE',
])

/** The statuses of codes that also arrive without one, on a socket. */
const STATUS: Readonly<Record<string, number>> = {
  INVALID_INPUT: 400,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  SESSION_NOT_FOUND: 404,
  REQUEST_NOT_FOUND: 404,
  INTERNAL: 500,
  UNAVAILABLE: 503,
}

/** A refusal as a socket carries it: `{code, message, errors?, retry_after_ms?}`. */
export function toSocketError(value: unknown): LoopgateError {
  if (!isRecord(value) || typeof value['code'] !== 'string') return malformed('a refusal')
  const { code, message, retry_after_ms } = value
  return new LoopgateError(code, typeof message === 'string' ? message : code, {
    status: STATUS[code],
    errors: toIssues(value['errors']),
    retryAfterMs: toWait(retry_after_ms),
  })
}

/** No server asks for more; what does is a mistake, or means never. */
const MAX_WAIT_MS = 3_600_000

/** How long the server asked to be left alone, when it said so in a way that can be read. */
export function toWait(ms: unknown): number | undefined {
  return typeof ms === 'number' && ms >= 0 ? Math.min(ms, MAX_WAIT_MS) : undefined
}

export function toIssues(value: unknown): NonNullable<Problem['errors']> {
  if (!Array.isArray(value)) return []
  return value.flatMap((issue: unknown) =>
    isRecord(issue) && typeof issue['path'] === 'string' && typeof issue['message'] === 'string'
      ? [{ path: issue['path'], message: issue['message'] }]
      : [],
  )
}

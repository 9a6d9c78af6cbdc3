import { LoopgateError } from '../core/errors.ts'
import type { Problem } from './types.ts'
import { toView } from './view.ts'

/** Errors to what is sent, in one place for each wire. What is not a LoopgateError tells nothing. */

export function toLoopgateError(error: unknown): LoopgateError {
  return error instanceof LoopgateError
    ? error
    : new LoopgateError('INTERNAL', undefined, { cause: error })
}

/** RFC 9457. */
export function toProblem(error: LoopgateError): Problem {
  return {
    type: `urn:loopgate:error:${error.code}`,
    title: error.title,
    status: error.status,
    code: error.code,
    detail: error.message,
    ...more(error),
  }
}

/** The body of an `error` frame and of a refused acknowledgement. */
export function toErrorBody(error: LoopgateError) {
  const { retryAfterSeconds } = error.details
  return {
    code: error.code,
    message: error.message,
    // What Retry-After is over HTTP.
    ...(retryAfterSeconds !== undefined && { retry_after_ms: retryAfterSeconds * 1_000 }),
    ...more(error),
  }
}

function more({ details }: LoopgateError): Pick<Problem, 'errors' | 'request'> {
  return {
    ...(details.issues && { errors: details.issues }),
    ...(details.request && { request: toView(details.request) }),
  }
}

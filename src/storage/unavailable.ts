import { LoopgateError } from '../core/errors.ts'

/**
 * What a database or a network says when it is not there right now, and a later try may succeed.
 * SQLSTATE classes (PostgreSQL, appendix A) and Node's system error codes.
 */
const PASSING: readonly string[] = [
  ...['08', '53', '57P', '57014', '40001', '40P01', '55P03', '25006'],
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH'],
  ...['ENETUNREACH', 'ENETDOWN', 'EHOSTDOWN'],
  ...['ENOSPC', 'EMFILE'],
]

/** pg has no codes for these. */
const MESSAGES =
  /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|not queryable|Query read timeout|Cannot use a pool after/

export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return PASSING.some((prefix) => code.startsWith(prefix)) || MESSAGES.test(error.message)
}

/** The same object, whose methods say UNAVAILABLE when the database is away. */
export function guarded<Store extends object>(store: Store): Store {
  return new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      return async (...args: unknown[]) => {
        try {
          return await Reflect.apply(member, target, args)
        } catch (cause) {
          if (!isUnavailable(cause)) throw cause
          throw new LoopgateError('UNAVAILABLE', 'the database is away; try again', {
            retryAfterSeconds: 1,
            cause,
          })
        }
      }
    },
  })
}

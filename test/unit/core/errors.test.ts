import { describe, expect, test } from 'vitest'
import { ERROR_CODES, type ErrorCode, invalid, LoopgateError } from '../../../src/core/errors.ts'
import { aRequest } from '../../support/builders.ts'

/** As the contract has them. The compiler keeps it complete. */
const STATUS: Record<ErrorCode, number> = {
  INVALID_INPUT: 400,
  SESSION_INACTIVE: 400,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  SESSION_NOT_FOUND: 404,
  REQUEST_NOT_FOUND: 404,
  REQUEST_ALREADY_SETTLED: 409,
  USERNAME_TAKEN: 409,
  ALREADY_CONSUMED: 409,
  NOT_APPROVED: 409,
  APPROVAL_EXPIRED: 409,
  DIGEST_MISMATCH: 409,
  CURSOR_GONE: 410,
  PAYLOAD_TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  IDEMPOTENCY_MISMATCH: 422,
  TOO_MANY_PENDING: 429,
  RATE_LIMITED: 429,
  INTERNAL: 500,
  UNAVAILABLE: 503,
}

describe('the error registry', () => {
  test('has the codes of the contract and no others', () => {
    expect([...ERROR_CODES].sort()).toEqual(Object.keys(STATUS).sort())
  })

  test.each(ERROR_CODES)('%s has the status of the contract, and a text of its own', (code) => {
    const error = new LoopgateError(code)
    expect(error.status).toBe(STATUS[code])
    expect(error.title).not.toBe('')
    expect(error.message).toBe(error.title)
    const titles = ERROR_CODES.map((other) => new LoopgateError(other).title)
    expect(titles.filter((title) => title === error.title)).toHaveLength(1)
  })

  test('codes are words in upper case with underscores', () => {
    for (const code of ERROR_CODES) expect(code).toMatch(/^[A-Z]+(_[A-Z]+)*$/)
  })
})

describe('an error', () => {
  test('says what happened in its message and what kind it is in its title', () => {
    const error = new LoopgateError('NOT_FOUND', 'there is no GET /nowhere')
    expect(error).toMatchObject({
      name: 'LoopgateError',
      code: 'NOT_FOUND',
      message: 'there is no GET /nowhere',
      title: 'there is nothing here',
    })
  })

  test('keeps its cause, and the winner', () => {
    const cause = new Error('the connection broke')
    const request = aRequest()
    const error = new LoopgateError('REQUEST_ALREADY_SETTLED', undefined, { cause, request })
    expect(error.cause).toBe(cause)
    expect(error.details.request).toBe(request)
  })

  test('of an input names the field, or the whole', () => {
    expect(invalid('/a/b', 'must be 1')).toMatchObject({
      code: 'INVALID_INPUT',
      message: '/a/b: must be 1',
      details: { issues: [{ path: '/a/b', message: 'must be 1' }] },
    })
    expect(invalid('', 'must be JSON').message).toBe('input: must be JSON')
  })
})

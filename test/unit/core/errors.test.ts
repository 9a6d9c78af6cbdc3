import { describe, expect, test } from 'vitest'
import { ERROR_CODES, invalid, LoopgateError } from '../../../src/core/errors.ts'
import { aRequest } from '../../support/builders.ts'
import { STATUS } from '../../support/error-statuses.ts'

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

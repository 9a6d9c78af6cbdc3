import { describe, expect, test } from 'vitest'
import { ERROR_CODES, invalid, LoopgateError } from '../../../src/core/errors.ts'
import { CLOSE } from '../../../src/protocol/close-codes.ts'
import { toErrorBody, toLoopgateError, toProblem } from '../../../src/protocol/problem.ts'
import { toView } from '../../../src/protocol/view.ts'
import { aRequest } from '../../support/builders.ts'

describe('an error on the wire', () => {
  test.each(ERROR_CODES)('%s is problem details, and the same code in a frame', (code) => {
    const error = new LoopgateError(code, 'what happened here')
    expect(toProblem(error)).toEqual({
      type: `urn:loopgate:error:${code}`,
      title: error.title,
      status: error.status,
      code,
      detail: 'what happened here',
    })
    expect(toErrorBody(error)).toEqual({ code, message: 'what happened here' })
  })

  test('names each field that is wrong', () => {
    const error = invalid('/message', 'is required')
    const errors = [{ path: '/message', message: 'is required' }]
    expect(toProblem(error)).toMatchObject({ errors })
    expect(toErrorBody(error)).toMatchObject({ errors })
  })

  test('has the winner’s view', () => {
    const request = aRequest({ state: { status: 'decided', outcome: 'rejected' } })
    const error = new LoopgateError('REQUEST_ALREADY_SETTLED', undefined, { request })
    expect(toProblem(error).request).toEqual(toView(request))
    expect(toErrorBody(error).request).toEqual(toView(request))
  })

  test.each([new Error('password=hunter2'), 'hunter2', undefined, { hunter2: true }])(
    'tells nothing of what is not ours: %s',
    (thrown) => {
      const error = toLoopgateError(thrown)
      expect(error).toMatchObject({ code: 'INTERNAL', cause: thrown })
      const told = JSON.stringify([toProblem(error), toErrorBody(error)])
      expect(told).not.toContain('hunter2')
      expect(told).not.toContain('stack')
    },
  )

  test('of ours stays what it is', () => {
    const error = new LoopgateError('NOT_FOUND')
    expect(toLoopgateError(error)).toBe(error)
  })
})

describe('a close code', () => {
  test.each(Object.values(CLOSE))('$code says whether to come back by its range', (close) => {
    const code: number = close.code
    const isRestart = code === 1006 || code === 1012
    const comesBack = isRestart || (code >= 3000 && code < 3500) || (code >= 4000 && code < 4500)
    expect(close.reconnect).toBe(comesBack)
  })

  test('has a reason that fits into a close frame (RFC 6455, section 5.5: 125 bytes with the code)', () => {
    for (const { reason } of Object.values(CLOSE)) {
      expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(123)
    }
  })
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Disconnected, isFinal, LoopgateError } from '../../../client/errors.ts'
import { delayAfter } from '../../../client/retry.ts'
import { TIMING } from '../../../client/timing.ts'

test('a delay is random up to a limit that doubles, from half a second to twenty', () => {
  const error = new Disconnected('gone')
  fc.assert(
    fc.property(fc.nat({ max: 2_000 }), (attempt) => {
      const delayMs = delayAfter(error, attempt, TIMING)
      expect(delayMs).toBeGreaterThanOrEqual(0)
      expect(delayMs).toBeLessThanOrEqual(Math.min(20_000, 500 * 2 ** attempt))
    }),
  )
  const delays = Array.from({ length: 1_000 }, () => delayAfter(error, 99, TIMING))
  expect(Math.min(...delays)).toBeLessThan(2_000)
  expect(Math.max(...delays)).toBeGreaterThan(18_000)
})

test('what the server asks for is the least, and is spread', () => {
  const error = new LoopgateError('UNAVAILABLE', 'not now', { retryAfterMs: 3_000 })
  const delays = Array.from({ length: 1_000 }, () => delayAfter(error, 0, TIMING))
  expect(Math.min(...delays)).toBeGreaterThanOrEqual(3_000)
  expect(Math.max(...delays)).toBeLessThanOrEqual(3_500)
  expect(new Set(delays).size).toBeGreaterThan(900)
})

test.each([
  ['UNAUTHORIZED', 401, true],
  ['HTTP_401', 401, true],
  ['FORBIDDEN', 403, true],
  ['HTTP_403', 403, false],
  ['REQUEST_NOT_FOUND', 404, true],
  ['HTTP_404', 404, false],
  ['CURSOR_GONE', 410, false],
  ['TOO_MANY_PENDING', 429, false],
  ['INTERNAL', 500, false],
  ['HTTP_502', 502, false],
  ['UNAVAILABLE', 503, false],
  ['MALFORMED_ANSWER', undefined, true],
  ['DISCONNECTED', 3500, true],
])('%s with status %s is final: %s', (code, status, expected) => {
  expect(isFinal(new LoopgateError(code, 'it happened', { status }))).toBe(expected)
})

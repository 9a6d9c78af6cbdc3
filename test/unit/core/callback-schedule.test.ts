import { describe, expect, test } from 'vitest'
import { nextOf } from '../../../src/core/callbacks.ts'

const FAILED = { statusCode: 500, error: 'the receiver answered 500', durationMs: 1 }
const SECONDS = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]

describe('what follows an attempt at a callback', () => {
  test.each(SECONDS.map((seconds, failures) => [failures, seconds]))(
    'after %i failures and one more: the schedule of Standard Webhooks, %i s, and up to a fifth',
    (failures, seconds) => {
      const [least, most] = [0, 1].map((random) => nextOf(failures, FAILED, () => random))
      expect(least).toMatchObject({ status: 'owed', delayMs: seconds * 1_000 })
      expect(most).toMatchObject({ status: 'owed', delayMs: seconds * 1_200 })
    },
  )

  test('C2: is nothing after ten attempts', () => {
    expect(nextOf(9, FAILED)).toEqual({ status: 'failed', error: FAILED.error })
  })

  test('is nothing after it arrived', () => {
    const arrived = { statusCode: 204, error: null, durationMs: 1 }
    expect(nextOf(3, arrived)).toEqual({ status: 'delivered' })
  })

  test('is nothing any more for a receiver that is gone', () => {
    expect(nextOf(0, { ...FAILED, statusCode: 410 })).toMatchObject({
      ...{ status: 'failed', disable: true },
    })
  })

  test('comes no earlier than the receiver asked for', () => {
    const next = nextOf(0, { ...FAILED, statusCode: 429, retryAfterMs: 60_000 }, () => 0)
    expect(next).toMatchObject({ delayMs: 60_000 })
  })

  test('comes no earlier than the schedule says, whatever the receiver asked for', () => {
    expect(nextOf(1, { ...FAILED, retryAfterMs: 1 }, () => 0)).toMatchObject({ delayMs: 300_000 })
  })

  test('comes within a day, whatever the receiver asked for', () => {
    const next = nextOf(0, { ...FAILED, retryAfterMs: 1e12 }, () => 0)
    expect(next).toMatchObject({ delayMs: 86_400_000 })
  })
})

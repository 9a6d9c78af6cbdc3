import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { duration, head, utc } from '../../../src/channels/render.ts'

describe('the head of a text', () => {
  test('is its beginning, no longer than asked, and cuts no character in two', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.nat({ max: 30 }), (text, max) => {
        const cut = head(text, max)
        expect(text.startsWith(cut)).toBe(true)
        expect(cut.length).toBeLessThanOrEqual(max)
        expect(cut.length).toBeGreaterThanOrEqual(Math.min(max - 1, text.length))
        expect(cut.isWellFormed()).toBe(true)
      }),
    )
  })

  test('is nothing when there is no room', () => {
    expect(head('abc', 0)).toBe('')
    expect(head('abc', -1)).toBe('')
  })
})

describe('times', () => {
  test('are the same for every reader, to the minute', () => {
    expect(utc(new Date('2026-11-21T12:03:59.999Z'))).toBe('2026-11-21 12:03 UTC')
  })

  test.each([
    [0, '1 second'],
    [1_000, '1 second'],
    [59_000, '59 seconds'],
    [60_000, '1 minute'],
    [300_000, '5 minutes'],
    [3_600_000, '1 hour'],
    [86_400_000, '1 day'],
    [2_592_000_000, '30 days'],
    [5_400_000, '1 hour 30 minutes'],
    [90_061_000, '1 day 1 hour'],
  ])('of %i ms are %s long', (ms, words) => {
    expect(duration(ms)).toBe(words)
  })

  test('are never said to be longer than they are', () => {
    const sizes = { day: 86_400, hour: 3_600, minute: 60, second: 1 }
    const isUnit = (unit: string): unit is keyof typeof sizes => unit in sizes
    fc.assert(
      fc.property(fc.integer({ min: 1_000, max: 2_592_000_000 }), (ms) => {
        const parts = duration(ms).matchAll(/(\d+) (\w+?)s?\b/g)
        const said = [...parts].reduce(
          (sum, [, count, unit = '']) => sum + Number(count) * (isUnit(unit) ? sizes[unit] : NaN),
          0,
        )
        expect(said).toBeLessThanOrEqual(ms / 1_000)
        expect(said).toBeGreaterThan((ms / 1_000) * 0.9 - 1)
      }),
    )
  })
})

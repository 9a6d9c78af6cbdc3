import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type EventType,
  formatCursor,
  isTerminal,
  parseCursor,
  parseSince,
} from '../../../src/core/event.ts'
import type { Status } from '../../../src/core/request.ts'
import { anEvent } from '../../support/builders.ts'

const letters = 'abcdefghijklmnopqrstuvwxyz0123456789'
const epoch = fc.string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength: 64 })

describe('a cursor', () => {
  test('comes back from its text as it was', () => {
    fc.assert(
      fc.property(epoch, fc.nat({ max: 999_999_999_999_999 }), (name, seq) => {
        const cursor = { epoch: name, seq }
        expect(parseCursor(formatCursor(cursor))).toEqual(cursor)
      }),
    )
  })

  test.each([
    ...['', '-', 'e', 'e-', '-1', 'e1', 'e--1', 'e-01', 'e-1.5', 'e-1e3', 'e-0x1', ' e-1', 'e-1 '],
    ...['E-1', 'é-1', 'e-1\n', 'e-1-2', 'earliest', 'unknown', 'e-1000000000000000', 'e-٣'],
    `${'e'.repeat(65)}-1`,
  ])('that nobody here can have given out is none: %j', (text) => {
    expect(parseCursor(text)).toBeUndefined()
  })

  test('any text is a cursor whose text it is, or none', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const cursor = parseCursor(text)
        if (cursor) expect(formatCursor(cursor)).toBe(text)
      }),
    )
  })
})

describe('where a reader begins', () => {
  test.each([
    [undefined, undefined],
    ['', undefined],
    ['earliest', 'earliest'],
    ['e1-7', { epoch: 'e1', seq: 7 }],
    ['EARLIEST', 'unknown'],
    ['0', 'unknown'],
    ['nonsense', 'unknown'],
  ])('%j is %j', (text, since) => {
    expect(parseSince(text)).toEqual(since)
  })
})

test('an event is terminal when its request is settled, whatever its type', () => {
  const TERMINAL: Record<Status, boolean> = {
    pending: false,
    decided: true,
    expired: true,
    canceled: true,
  }
  const types: EventType[] = ['request.created', 'request.delivered', 'request.decided']
  for (const [status, expected] of Object.entries(TERMINAL) as [Status, boolean][]) {
    for (const type of types)
      expect(isTerminal(anEvent(type, { state: { status } }))).toBe(expected)
  }
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Decision, toDecision } from '../../../client/decision.ts'
import { LoopgateError } from '../../../client/errors.ts'
import { readEvent, readView } from '../../../client/wire.ts'
import type { RequestView } from '../../../src/protocol/types.ts'

const APPROVED: RequestView = {
  request_id: 'r1',
  session_id: 's1',
  client_id: 'c1',
  message: 'Deploy?',
  request_type: 'choice',
  options: [{ label: 'Deploy', effect: 'approve' }],
  metadata: {},
  status: 'completed',
  outcome: 'approved',
  completed: true,
  approved: true,
  response: 'Deploy',
  comment: null,
  decided_by: { channel: 'telegram', id: '7', name: 'Ann' },
  delivery: [],
  created_at: '2026-01-01T00:00:00.000Z',
  expires_at: '2026-01-01T00:05:00.000Z',
  responded_at: '2026-01-01T00:01:00.000Z',
  timestamp: '2026-01-01T00:01:00.000Z',
  cursor: 'e-2',
  receipt: null,
}

const ASKED = { request_id: 'r1', session_id: 's1' }

const read = (value: unknown): Decision | undefined => toDecision(readView(value), ASKED)

/** What reading comes to; undefined when it is refused. */
function attempt(value: unknown): Decision | undefined {
  try {
    return read(value)
  } catch (error) {
    if (error instanceof LoopgateError && error.code === 'MALFORMED_ANSWER') return undefined
    throw error
  }
}

/** Values that stand in real views, and all that JSON can say. */
const anything = fc.oneof(
  fc.constantFrom<unknown>('approved', 'rejected', 'expired', 'completed', 'pending', 'timeout'),
  fc.constantFrom<unknown>(true, false, null, 'true', 1, ''),
  fc.jsonValue(),
)

const DECIDING: readonly (keyof RequestView)[] = [
  'request_id',
  'session_id',
  'status',
  'outcome',
  'completed',
  'approved',
]

test('a view that was approved is an approval, with all that is known of it', () => {
  expect(read(APPROVED)).toEqual({
    requestId: 'r1',
    outcome: 'approved',
    approved: true,
    response: 'Deploy',
    comment: null,
    decidedBy: APPROVED.decided_by,
    view: APPROVED,
    cursor: 'e-2',
  })
})

test('no single change of what decides leaves an approval', () => {
  fc.assert(
    fc.property(fc.constantFrom(...DECIDING), anything, (field, value) => {
      fc.pre(value !== APPROVED[field])
      expect(attempt({ ...APPROVED, [field]: value })?.approved ?? false).toBe(false)
    }),
    { numRuns: 2_000 },
  )
})

test('a field that is missing is refused, whichever it is', () => {
  for (const field of Object.keys(APPROVED)) {
    const { [field]: _, ...rest } = APPROVED as unknown as Record<string, unknown>
    expect(() => read(rest), field).toThrow(LoopgateError)
  }
})

test('only what is consistent is an approval, whatever the fields say', () => {
  const changes = fc.dictionary(fc.constantFrom(...DECIDING), anything)
  fc.assert(
    fc.property(changes, (change) => {
      const view: Record<string, unknown> = { ...APPROVED, ...change }
      const isApproval = DECIDING.every((field) => view[field] === APPROVED[field])
      expect(attempt(view)?.approved ?? false).toBe(isApproval)
    }),
    { numRuns: 2_000 },
  )
})

test('anything else is refused', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(() => read(value)).toThrow(LoopgateError)
    }),
  )
})

test.each([
  ['pending', null, undefined],
  ['completed', 'rejected', 'rejected'],
  ['completed', 'answered', 'answered'],
  ['timeout', 'expired', 'expired'],
  ['canceled', 'canceled', 'canceled'],
] as const)('%s with the outcome %s does not approve', (status, outcome, expected) => {
  const completed = status !== 'pending'
  const decision = read({ ...APPROVED, status, outcome, completed, approved: false })
  expect(decision?.outcome).toBe(expected)
  expect(decision?.approved ?? false).toBe(false)
})

test.each([
  ['pending', 'answered'],
  ['completed', null],
  ['completed', 'expired'],
  ['completed', 'canceled'],
  ['timeout', 'rejected'],
  ['timeout', null],
  ['canceled', 'expired'],
  ['completed', 'perhaps'],
  ['decided', 'answered'],
])('%s with the outcome %s is refused', (status, outcome) => {
  const view = { ...APPROVED, status, outcome, completed: status !== 'pending', approved: false }
  expect(() => read(view)).toThrow(LoopgateError)
})

test('an event about one request with the view of another is refused', () => {
  const event = {
    id: 'e-2',
    type: 'request.decided',
    session_id: 's1',
    request_id: 'r1',
    timestamp: APPROVED.timestamp,
    data: APPROVED,
  }
  expect(readEvent(event, 's1')).toEqual({ cursor: 'e-2', envelope: event })
  expect(() => readEvent({ ...event, request_id: 'r2' }, 's1')).toThrow(LoopgateError)
  const elsewhere = { ...event, data: { ...APPROVED, session_id: 's2' } }
  expect(() => readEvent(elsewhere, 's1')).toThrow(LoopgateError)
})

test('an event of a type that is not known has a place and nothing else', () => {
  const event = { id: 'e-3', type: 'request.snoozed', session_id: 's1', data: 7 }
  expect(readEvent(event, 's1')).toEqual({ cursor: 'e-3' })
})

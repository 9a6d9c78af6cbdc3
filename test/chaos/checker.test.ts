import { describe, expect, test } from 'vitest'
import { Checker, INVARIANTS, type Invariant } from './checker.ts'
import type { Fact, Final, Heard, Seen } from './facts.ts'

const PENDING: Seen = {
  ...{ status: 'pending', outcome: null, approved: false },
  ...{ response: null, decidedBy: null, respondedAt: null, receipt: null },
}
const APPROVED: Seen = {
  ...{ status: 'completed', outcome: 'approved', approved: true },
  ...{ response: 'Deploy', decidedBy: '7', respondedAt: '2026-01-01T00:00:05.000Z' },
  receipt: 'r1',
}
const EXPIRED: Seen = {
  ...{ status: 'timeout', outcome: 'expired', approved: false },
  ...{ response: null, decidedBy: null, respondedAt: '2026-01-01T00:01:00.001Z' },
  receipt: 'r2',
}
const AT = Date.parse('2026-01-01T00:00:04.000Z')

const event = (seq: number, type: string, seen: Seen, fields: Partial<Heard> = {}): Heard => ({
  ...{ id: `e1-${seq}`, type: `request.${type}`, session: 's', request: 'r', seen },
  ...fields,
})
const heard = (one: Heard, reader = 'a'): Fact => ({ t: 'heard', at: AT, reader, ...one })
const called = (fields: Partial<Extract<Fact, { t: 'called' }>> = {}): Fact => ({
  ...{ t: 'called', at: AT, webhookId: 'w', to: 's', problem: null },
  ...event(3, 'decided', APPROVED),
  ...fields,
})
const press = { at: AT, request: 'r', act: 'press', by: '7', says: 'Deploy' } as const
const LOG = [
  event(1, 'created', PENDING),
  event(2, 'delivered', PENDING),
  event(3, 'decided', APPROVED),
]

/** A history in which all is well, for each test to break. */
const facts = (): Fact[] => [
  {
    ...{ t: 'asked', at: AT, request: 'r', session: 's', content: 'Deploy?' },
    effects: { Deploy: 'approve', Hold: 'reject' },
    isCalledBack: true,
  },
  { t: 'tried', ...press },
  { t: 'counted', ...press },
  { t: 'resumed', at: AT, reader: 'a', since: 'e1-0', recovered: true, way: 'sse', process: 0 },
  ...LOG.map((one) => heard(one)),
  { t: 'saw', at: AT, request: 'r', content: 'Deploy?', seen: APPROVED },
  called(),
]
const request: Final['requests'][number] = {
  ...{ request: 'r', content: 'Deploy?', expiresAt: '2026-01-01T00:01:00.000Z' },
  ...{ seen: APPROVED, isDelivered: true, receipt: { authentic: true, outcome: 'approved' } },
}
const final = (): Final => ({
  requests: [request],
  logs: [{ session: 's', events: LOG }],
  readers: [{ reader: 'a', session: 's' }],
  cards: [{ request: 'r', text: '✅ Approved by Ann', buttons: 0, isTouched: false }],
  complaints: [],
  leaks: [],
  leftovers: [],
})

function judge(history: readonly Fact[], end: Final) {
  const checker = new Checker()
  for (const fact of history) checker.see(fact)
  return checker.finish(end)
}

const without = (t: Fact['t']) => facts().filter((fact) => fact.t !== t)
const ended = (seen: Seen): Final => ({
  ...final(),
  requests: [{ ...request, seen, receipt: { authentic: true, outcome: seen.outcome ?? '' } }],
  logs: [],
  readers: [],
  cards: [],
})
const asked = () => facts().filter(({ t }) => t === 'asked')

const BROKEN: [string, Invariant, string, readonly Fact[], Final][] = [
  ['an acknowledged request is gone', 'I1', 'lost', facts(), { ...final(), requests: [] }],
  [
    'a request says something else',
    ...(['I1', 'changed', facts()] as const),
    { ...final(), requests: [{ ...request, content: 'Delete?' }] },
  ],
  [
    'a view shows another outcome',
    ...(['I2', 'changed'] as const),
    [...facts(), { t: 'saw', at: AT, request: 'r', content: 'Deploy?', seen: EXPIRED }],
    final(),
  ],
  [
    'the outcome changes who gave it',
    ...(['I2', 'changed'] as const),
    [
      ...facts(),
      { t: 'saw', at: AT, request: 'r', content: 'Deploy?', seen: { ...APPROVED, decidedBy: '8' } },
    ],
    final(),
  ],
  [
    'a second person was told that he counts',
    ...(['I3', 'changed'] as const),
    [...facts(), { t: 'counted', ...press, by: '8', says: 'Hold' }],
    final(),
  ],
  [
    'a press that counted left it open',
    'I3',
    'lost',
    [...asked(), { t: 'counted', ...press }],
    ended(PENDING),
  ],
  [
    'a cancellation that counted did not cancel',
    ...(['I3', 'changed'] as const),
    [...facts(), { t: 'counted', ...press, act: 'cancel', says: '' }],
    final(),
  ],
  ['nobody pressed', 'I4', 'changed', without('tried'), final()],
  [
    'it was pressed after it was decided',
    ...(['I4', 'changed'] as const),
    [...without('tried'), { t: 'tried', ...press, at: AT + 60_000 }],
    final(),
  ],
  [
    'a refusal approves',
    'I4',
    'changed',
    [...asked(), { t: 'tried', ...press, says: 'Hold' }],
    ended({ ...APPROVED, response: 'Hold' }),
  ],
  ['a timeout approves', 'I4', 'changed', asked(), ended({ ...EXPIRED, approved: true })],
  ['a timeout has a decider', 'I4', 'changed', asked(), ended({ ...EXPIRED, decidedBy: '7' })],
  [
    'it expired too early',
    'I4',
    'changed',
    asked(),
    ended({ ...EXPIRED, respondedAt: '2026-01-01T00:00:59.000Z' }),
  ],
  [
    'it was decided too late',
    'I4',
    'changed',
    facts(),
    ended({ ...APPROVED, respondedAt: '2026-01-01T00:01:00.000Z' }),
  ],
  [
    'nobody canceled',
    'I4',
    'changed',
    asked(),
    ended({ ...EXPIRED, status: 'canceled', outcome: 'canceled' }),
  ],
  [
    'a reader missed the outcome',
    'I5',
    'lost',
    facts().filter((f) => f.t !== 'heard' || f.id !== 'e1-3'),
    final(),
  ],
  ['a request never settles', 'I5', 'lost', asked(), ended(PENDING)],
  [
    'a reader misses one in between',
    'I6',
    'lost',
    facts().filter((f) => f.t !== 'heard' || f.id !== 'e1-2'),
    final(),
  ],
  [
    'a reader gets one twice',
    'I6',
    'doubled',
    [...facts(), heard(event(3, 'decided', APPROVED))],
    final(),
  ],
  [
    'a reader goes back',
    'I6',
    'reordered',
    [...facts(), heard(event(2, 'delivered', PENDING))],
    final(),
  ],
  [
    'two readers hear different events',
    'I6',
    'changed',
    [...facts(), heard(event(1, 'created', PENDING, { request: 'q' }), 'b')],
    final(),
  ],
  [
    'a cursor is not continued',
    ...(['I6', 'lost'] as const),
    [
      ...facts(),
      {
        t: 'resumed',
        at: AT,
        reader: 'a',
        since: 'e1-3',
        recovered: false,
        way: 'poll',
        process: 1,
      },
    ],
    final(),
  ],
  [
    'a reader hears another session',
    'I7',
    'other',
    [...facts(), heard(event(4, 'created', PENDING, { session: 'x' }))],
    final(),
  ],
  [
    'the receipt says something else',
    ...(['I8', 'changed', facts()] as const),
    { ...final(), requests: [{ ...request, receipt: { authentic: true, outcome: 'rejected' } }] },
  ],
  [
    'the receipt is forged',
    ...(['I8', 'changed', facts()] as const),
    { ...final(), requests: [{ ...request, receipt: { authentic: false, outcome: 'approved' } }] },
  ],
  [
    'a settled request has no receipt',
    ...(['I8', 'changed', facts()] as const),
    { ...final(), requests: [{ ...request, receipt: null }] },
  ],
  [
    'a receipt has other bytes for another reader',
    ...(['I8', 'changed'] as const),
    [
      ...facts(),
      { t: 'saw', at: AT, request: 'r', content: 'Deploy?', seen: { ...APPROVED, receipt: 'r9' } },
    ],
    final(),
  ],
  [
    'the outcome has no event',
    'I9',
    'lost',
    facts(),
    { ...final(), logs: [{ session: 's', events: LOG.slice(0, 2) }], readers: [] },
  ],
  [
    'an event follows the outcome',
    'I9',
    'doubled',
    facts(),
    {
      ...final(),
      logs: [{ session: 's', events: [...LOG, event(4, 'decided', APPROVED)] }],
      readers: [],
    },
  ],
  [
    'the log has a hole',
    'I9',
    'lost',
    facts(),
    { ...final(), logs: [{ session: 's', events: LOG.filter((_, i) => i !== 1) }] },
  ],
  [
    'an event lies about its state',
    'I9',
    'changed',
    facts(),
    {
      ...final(),
      logs: [{ session: 's', events: [...LOG.slice(0, 2), event(3, 'expired', APPROVED)] }],
    },
  ],
  [
    'a card keeps its buttons',
    'I10',
    'other',
    facts(),
    { ...final(), cards: [{ request: 'r', text: '✅ Approved', buttons: 2, isTouched: false }] },
  ],
  [
    'a card shows another outcome',
    'I10',
    'other',
    facts(),
    { ...final(), cards: [{ request: 'r', text: '⌛ Expired', buttons: 0, isTouched: false }] },
  ],
  [
    'a card that was delivered waits for a press',
    ...(['I10', 'other', facts()] as const),
    { ...final(), cards: [{ request: 'r', text: '✅ Approved', buttons: 0, isTouched: true }] },
  ],
  [
    'an open card hides that presses were lost',
    'I10',
    'other',
    facts(),
    { ...final(), complaints: ['an open card does not say that presses may be lost'] },
  ],
  [
    'a secret is in a log',
    'I11',
    'other',
    facts(),
    { ...final(), leaks: ['the bot token in the log of process 0'] },
  ],
  [
    'a process keeps connections',
    'I12',
    'other',
    facts(),
    { ...final(), leftovers: ['process 1 holds 3 streams'] },
  ],
  ['an outcome is not called back', 'I13', 'lost', without('called'), final()],
  [
    'a callback comes again under another id',
    ...(['I13', 'doubled', [...facts(), called({ webhookId: 'v' })]] as const),
    final(),
  ],
  [
    'a callback can not be verified',
    ...(['I13', 'changed', [...facts(), called({ problem: 'No matching signature' })]] as const),
    final(),
  ],
  [
    'a callback says another outcome',
    ...(['I13', 'changed', [...without('called'), called({ seen: EXPIRED })]] as const),
    final(),
  ],
  [
    'a callback is another event',
    ...(['I13', 'changed', [...facts(), called({ id: 'e1-2', type: 'request.created' })]] as const),
    final(),
  ],
  [
    'a callback goes to another session',
    ...(['I7', 'other', [...facts(), called({ to: 'x' })]] as const),
    final(),
  ],
]

describe('the checker of chaos runs', () => {
  test('finds nothing where all is well', () => {
    expect(judge(facts(), final())).toEqual([])
  })

  test.each(BROKEN)('%s: %s, %s', (_, invariant, harm, history, end) => {
    expect(judge(history, end)).toContainEqual(expect.objectContaining({ invariant, harm }))
  })

  test('is shown to bite for every invariant', () => {
    expect(new Set(BROKEN.map(([, invariant]) => invariant))).toEqual(
      new Set(Object.keys(INVARIANTS)),
    )
  })
})

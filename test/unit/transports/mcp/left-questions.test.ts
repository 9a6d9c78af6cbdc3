import { beforeEach, describe, expect, test } from 'vitest'
import { LeftQuestions } from '../../../../src/transports/mcp/left-questions.ts'
import { anAgent, aPerson } from '../../../support/builders.ts'
import { FakeClock } from '../../../support/clock.ts'

const AGENT = anAgent()
const BODY = { message: 'Deploy?', metadata: { a: 1, b: [2] } }
const SAME = { metadata: { b: [2], a: 1 }, message: 'Deploy?' }

let clock: FakeClock
let left: LeftQuestions
beforeEach(() => {
  clock = new FakeClock()
  left = new LeftQuestions(clock)
})

const leave = (body: object = BODY, id = 'r1') => left.waits(AGENT, body, id)(true)

test('a question that was left is found by the same body, however it is written, and once', async () => {
  leave()
  expect(await left.take(AGENT, SAME)).toBe('r1')
  expect(await left.take(AGENT, SAME)).toBeUndefined()
})

test('a question whose caller was answered is not found', async () => {
  left.waits(AGENT, BODY, 'r1')(false)
  expect(await left.take(AGENT, BODY)).toBeUndefined()
})

test.each([
  ['another body', AGENT, { ...BODY, message: 'Deploy!' }],
  ['another key', anAgent({ id: 'key-2' }), BODY],
  ['another tenant', anAgent({ tenant: 'tenant-2' }), BODY],
  ['a person', aPerson(), BODY],
])('%s does not find it', async (_, principal, body) => {
  leave()
  expect(await left.take(principal, body)).toBeUndefined()
  expect(await left.take(AGENT, BODY)).toBe('r1')
})

test('of two that were left with one body the later is found', async () => {
  leave(BODY, 'r1')
  leave(BODY, 'r2')
  expect(await left.take(AGENT, BODY)).toBe('r2')
})

test('it is found for a quarter of an hour', async () => {
  leave()
  clock.advance(15 * 60_000 - 1)
  expect(await left.take(AGENT, BODY)).toBe('r1')
  leave()
  clock.advance(15 * 60_000)
  expect(await left.take(AGENT, BODY)).toBeUndefined()
})

test('a thousand are kept, and then the oldest is forgotten', async () => {
  for (let i = 0; i <= 1_000; i++) leave({ i }, `r${i}`)
  expect(await left.take(AGENT, { i: 0 })).toBeUndefined()
  expect(await left.take(AGENT, { i: 1 })).toBe('r1')
  expect(await left.take(AGENT, { i: 1_000 })).toBe('r1000')
})

describe('while one with the same body still waits', () => {
  test('the next waits half a second for it to be left, and finds it', async () => {
    const over = left.waits(AGENT, BODY, 'r1')
    const taken = left.take(AGENT, BODY)
    clock.advance(499)
    over(true)
    expect(await taken).toBe('r1')
    expect(clock.waiting).toBe(0)
  })

  test('the next asks anew when it goes on waiting, or was answered', async () => {
    const over = left.waits(AGENT, BODY, 'r1')
    const taken = left.take(AGENT, BODY)
    clock.advance(500)
    expect(await taken).toBeUndefined()
    const again = left.take(AGENT, BODY)
    over(false)
    expect(await again).toBeUndefined()
    expect(clock.waiting).toBe(0)
  })

  test('of two that come next, one finds it', async () => {
    const over = left.waits(AGENT, BODY, 'r1')
    const taken = [left.take(AGENT, BODY), left.take(AGENT, BODY)]
    over(true)
    expect((await Promise.all(taken)).filter((id) => id === 'r1')).toHaveLength(1)
  })

  test('nobody else waits for it', async () => {
    left.waits(AGENT, BODY, 'r1')
    expect(await left.take(AGENT, { other: true })).toBeUndefined()
    expect(clock.waiting).toBe(0)
  })
})

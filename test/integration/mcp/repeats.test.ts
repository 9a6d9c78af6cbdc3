import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TestApp } from '../../support/app.ts'
import { WatchedClock } from '../../support/clock.ts'
import type { ToolClient, ToolResult } from '../../support/readers/mcp.ts'
import type { Exchange } from '../../support/readers/mcp-wire.ts'
import { startOn } from '../../support/readers/server.ts'
import { CLIENTS, errorOf, NOW, OPTIONS, Seat, viewOf } from './seat.ts'

/** A call that is made again finds its question, and asks nobody twice. */

const clock = new WatchedClock()
let app: TestApp
let seat: Seat

beforeAll(async () => {
  app = await startOn({ LOOPGATE_DATA_DIR: 'memory://' }, {}, clock)
}, 30_000)
afterAll(() => app[Symbol.asyncDispose]())

beforeEach(async () => {
  seat = await Seat.open(app)
  await seat.register('one')
  clock.waits.length = 0
})

const TOOL = 'request_human_input'
const QUESTION = { message: 'Deploy?', options: OPTIONS }
const PROGRESS = 'notifications/progress'
/** A client that gives up says so in a request of its own, which the repeated call may overtake. */
const OVERTAKEN_MS = 500

const viewIn = async (exchange: Exchange) => viewOf(await exchange.answer<ToolResult>())

async function ask(client: ToolClient, input: object = {}, _meta: object = {}) {
  const call = client.call(TOOL, { ...QUESTION, ...NOW, ...input }, { _meta: { ..._meta } })
  return (await viewIn(call)).request_id
}

describe.each(Object.entries(CLIENTS))('by %s', (_, open) => {
  test.each([
    ['idempotency_key', { idempotency_key: 'k1' }, {}],
    ['_meta["claudecode/toolUseId"]', {}, { 'claudecode/toolUseId': 'toolu_01' }],
    ['_meta["loopgate/call"]', {}, { 'loopgate/call': 'call-1' }],
  ])(
    'the same %s is the same question, for every client of the tenant',
    async (_name, key, meta) => {
      const client = await open(seat)
      const first = await ask(client, key, meta)
      expect(await ask(await open(seat), key, meta)).toBe(first)
      expect(await ask(await open(await seat.beside()), key, meta)).toBe(first)
      expect(await seat.pending()).toHaveLength(1)
      await seat.decide({ request_id: first }, { option: 'Yes' })
      expect(await ask(client, key, meta)).toBe(first)
      expect(await ask(client, {}, {})).not.toBe(first)
    },
  )
})

describe('a key', () => {
  test('with other arguments is an error that says what to do', async () => {
    await using client = await seat.client()
    await ask(client, { idempotency_key: 'k' })
    const other = { ...QUESTION, ...NOW, message: 'Another?', idempotency_key: 'k' }
    expect(errorOf(await client.tool(TOOL, other))).toMatch(/^IDEMPOTENCY_MISMATCH: .*another/)
  })

  test('of the arguments counts before what the client calls its call', async () => {
    await using client = await seat.client()
    const meta = { 'claudecode/toolUseId': 'toolu_01' }
    const first = await ask(client, { idempotency_key: 'a' }, meta)
    expect(await ask(client, { idempotency_key: 'b' }, meta)).not.toBe(first)
  })

  test('of another tenant is another question', async () => {
    const other = await Seat.open(app)
    await other.register('one')
    const first = await ask(await seat.client(), { idempotency_key: 'k' })
    expect(await ask(await other.client(), { idempotency_key: 'k' })).not.toBe(first)
  })

  test.each([7, '', 'x'.repeat(101), 'a b', 'a:b', null])(
    'of the client that is %j is none',
    async (toolUseId) => {
      await using client = await seat.client()
      const meta = { 'claudecode/toolUseId': toolUseId }
      const first = await ask(client, {}, meta)
      expect(await ask(client, {}, meta)).not.toBe(first)
    },
  )

  test('of one use of a tool is not that of another tool: an approval is no answer', async () => {
    await using client = await seat.client()
    const _meta = { 'claudecode/toolUseId': 'toolu_01' }
    const first = await ask(client, {}, _meta)
    const action = { action_description: 'Deploy', action_details: 'v2' }
    const paused = await client.tool('request_approval', action, { _meta })
    expect(paused.structuredContent?.['pause_id']).not.toBe(first)
    const again = await client.tool('request_approval', action, { _meta })
    expect(again.structuredContent).toEqual(paused.structuredContent)
  })
})

const WAYS: Readonly<Record<string, (call: Exchange, cancel: () => Promise<void>) => unknown>> = {
  'was cancelled': (_call, cancel) => cancel(),
  'lost its connection': (call) => call.leave(),
}

describe.each(Object.entries(WAYS))('a call that %s', (_, leave) => {
  test('is found by the identical call, once, and answered what was decided meanwhile', async () => {
    await using client = await seat.client()
    const call = client.call(TOOL, QUESTION, { _meta: { progressToken: 1 } })
    await call.notified(PROGRESS)
    const asked = await seat.asked()
    await leave(call, () => client.cancel())
    const again = client.call(TOOL, QUESTION, { _meta: { progressToken: 2 } })
    await again.notified(PROGRESS)
    expect(await seat.pending()).toHaveLength(1)
    const decided = await seat.decide(asked, { option: 'Yes' })
    expect(await viewIn(again)).toMatchObject(decided)
    // It was answered: who asks the same now asks anew.
    expect(await ask(client, {})).not.toBe(asked.request_id)
  })
})

test.each(['2026-07-28', 'bare'])('%s: a call that lost its connection is found', async (name) => {
  const client = await (CLIENTS[name] as (of: Seat) => Promise<ToolClient>)(seat)
  const call = client.call(TOOL, QUESTION)
  const asked = await seat.asked()
  await clock.isWaiting(45)
  call.leave()
  const again = client.call(TOOL, QUESTION)
  await seat.decide(asked, { option: 'Yes' })
  expect((await viewIn(again)).request_id).toBe(asked.request_id)
})

describe('a call that was left', () => {
  async function leaveOne() {
    const client = await seat.client()
    const call = client.call(TOOL, QUESTION, { _meta: { progressToken: 1 } })
    await call.notified(PROGRESS)
    await client.cancel()
    await call.ended
    return { client, asked: await seat.asked() }
  }

  test('is found by the same agent in another MCP session', async () => {
    const { asked } = await leaveOne()
    expect(await ask(await seat.client())).toBe(asked.request_id)
    expect(await ask(await seat.client())).not.toBe(asked.request_id)
  })

  test('is found by nobody else: not by another key of the tenant', async () => {
    const { asked, client } = await leaveOne()
    expect(await ask(await (await seat.beside()).client())).not.toBe(asked.request_id)
    expect(await ask(client)).toBe(asked.request_id)
  })

  test.each([{ message: 'Deploy!' }, { metadata: { a: 1 } }, { options: ['Yes', 'No'] }])(
    'is not found by one with %j',
    async (input) => {
      const { asked, client } = await leaveOne()
      expect(await ask(client, input)).not.toBe(asked.request_id)
    },
  )

  test('is not found by one that comes a quarter of an hour later', async () => {
    const { asked, client } = await leaveOne()
    clock.advance(15 * 60_000)
    expect(await ask(client)).not.toBe(asked.request_id)
  })

  test('is found under another name of the call: a model that asks again has a new one', async () => {
    await using client = await seat.client()
    const named = (id: string) => ({ 'claudecode/toolUseId': id, progressToken: id })
    const call = client.call(TOOL, QUESTION, { _meta: named('toolu_01') })
    await call.notified(PROGRESS)
    await client.cancel()
    await call.ended
    const asked = await seat.asked()
    expect(await ask(client, {}, named('toolu_02'))).toBe(asked.request_id)
    expect(await ask(client, {}, named('toolu_03'))).not.toBe(asked.request_id)
    expect(await ask(client, {}, named('toolu_01'))).toBe(asked.request_id)
  })

  test('with a key of the arguments is found by that key alone', async () => {
    await using client = await seat.client()
    const keyed = { ...QUESTION, idempotency_key: 'k' }
    const call = client.call(TOOL, keyed, { _meta: { progressToken: 1 } })
    await call.notified(PROGRESS)
    await client.cancel()
    await call.ended
    const asked = await seat.asked()
    expect(await ask(client)).not.toBe(asked.request_id)
    expect(await ask(client, { idempotency_key: 'k' })).toBe(asked.request_id)
  })

  test('which was answered meanwhile is found, and is no approval for anybody else', async () => {
    const { asked, client } = await leaveOne()
    await seat.decide(asked, { option: 'Yes' })
    const found = viewOf(await client.tool(TOOL, QUESTION))
    expect(found).toMatchObject({ request_id: asked.request_id, approved: true })
    expect(await ask(client)).not.toBe(asked.request_id)
  })
})

test('a call that got pending is not found by its twin: it has an id to ask by', async () => {
  await using client = await seat.client()
  const first = await ask(client)
  expect(await ask(client)).not.toBe(first)
})

test('two identical calls at the same time are two questions', async () => {
  await using client = await seat.client()
  const calls = [client.call(TOOL, QUESTION), client.call(TOOL, QUESTION)]
  await seat.asked()
  clock.advance(OVERTAKEN_MS)
  await expect
    .poll(
      async () => {
        clock.advance(OVERTAKEN_MS)
        return (await seat.pending()).length
      },
      { timeout: 10_000, interval: 10 },
    )
    .toBe(2)
  const [one, two] = await seat.pending()
  await seat.decide(one as { request_id: string }, { option: 'Yes' })
  await seat.decide(two as { request_id: string }, { option: 'No' })
  const outcomes = await Promise.all(calls.map(async (call) => (await viewIn(call)).outcome))
  expect(outcomes.sort()).toEqual(['approved', 'rejected'])
})

test('a client that gives up and calls again is found, whichever of the two comes first', async () => {
  await using client = await seat.client()
  const call = client.call(TOOL, QUESTION, { _meta: { progressToken: 1 } })
  await call.notified(PROGRESS)
  const waiting = clock.waiting
  const again = client.call(TOOL, { ...QUESTION, ...NOW })
  await again.head
  await expect.poll(() => clock.waiting).toBeGreaterThan(waiting)
  await client.cancel(1)
  const { request_id } = await viewIn(again)
  expect((await seat.pending()).map((view) => view.request_id)).toEqual([request_id])
})

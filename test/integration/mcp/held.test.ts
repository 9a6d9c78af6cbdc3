import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TestApp } from '../../support/app.ts'
import { WatchedClock } from '../../support/clock.ts'
import type { ToolResult } from '../../support/readers/mcp.ts'
import type { Exchange } from '../../support/readers/mcp-wire.ts'
import { startOn } from '../../support/readers/server.ts'
import { CLIENTS, OPTIONS, Seat, streams, viewOf } from './seat.ts'

/** Calls that wait for a person, while time passes when the tests say so. */

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

const QUESTION = { message: 'Deploy?', options: OPTIONS }
const PROGRESS = 'notifications/progress'
const withToken = { _meta: { progressToken: 'p1' } }

const viewIn = async (exchange: Exchange) => viewOf(await exchange.answer<ToolResult>())

describe.each(Object.entries(CLIENTS))('by %s', (name, open) => {
  test('the decision comes as soon as it is made', async () => {
    const client = await open(seat)
    const call = client.call('request_human_input', { ...QUESTION, wait_seconds: 280 })
    const asked = await seat.asked()
    const decided = await seat.decide(asked, { option: 'Yes' })
    const { next_step, ...view } = await viewIn(call)
    expect(view).toEqual(decided)
    const again = client.call('request_human_input', { ...QUESTION, message: 'Again?' })
    const other = await seat.asked()
    const check = client.call('check_request_status', {
      request_id: other.request_id,
      wait_seconds: 60,
    })
    await seat.decide(other, { option: 'No' })
    for (const held of [again, check]) expect((await viewIn(held)).outcome).toBe('rejected')
  })

  test.each([
    [undefined, 45],
    [0.5, 0.5],
    [280, 280],
    [100_000, 280],
  ])('with wait_seconds %s it is pending after %s seconds, and stays open', async (wait, after) => {
    const client = await open(seat)
    const input = { ...QUESTION, ...(wait !== undefined && { wait_seconds: wait }) }
    const call = client.call('request_human_input', input)
    const asked = await seat.asked()
    await clock.isWaiting(after)
    clock.advance(after * 1_000 - 1)
    expect(await isOver(call)).toBe(false)
    clock.advance(1)
    expect(await viewIn(call)).toMatchObject({ request_id: asked.request_id, status: 'pending' })
    expect((await seat.view(asked)).status).toBe('pending')
  })

  test('with wait_seconds 0 it is pending at once, and check_request_status waits only when told', async () => {
    const client = await open(seat)
    const call = client.call('request_human_input', { ...QUESTION, wait_seconds: 0 })
    const { request_id } = await viewIn(call)
    expect((await viewIn(client.call('check_request_status', { request_id }))).status).toBe(
      'pending',
    )
  })

  test('without a token nobody is told of progress', async () => {
    const client = await open(seat)
    const call = client.call('request_human_input', QUESTION)
    const asked = await seat.asked()
    await clock.isWaiting(45)
    clock.advance(30_000)
    await seat.decide(asked, { option: 'Yes' })
    await viewIn(call)
    expect(call.messages.items).toHaveLength(1)
  })

  test.skipIf(name === 'bare')('the answer is a stream from its start', async () => {
    const client = await open(seat)
    const call = client.call('request_human_input', QUESTION)
    const { headers } = await call.head
    expect(headers.get('content-type')).toBe('text/event-stream')
    expect(headers.get('cache-control')).toContain('no-transform')
    expect(headers.get('x-accel-buffering')).toBe('no')
    await seat.decide(await seat.asked(), { option: 'Yes' })
    await viewIn(call)
  })

  test.skipIf(name === 'bare')(
    'with a token progress comes at once and every ten seconds, and grows',
    async () => {
      const client = await open(seat)
      const call = client.call('request_human_input', { ...QUESTION, wait_seconds: 35 }, withToken)
      await call.notified(PROGRESS)
      const asked = await seat.asked()
      await clock.isWaiting(35)
      for (let n = 2; n <= 4; n++) {
        clock.advance(9_999)
        expect(call.notifications(PROGRESS)).toHaveLength(n - 1)
        clock.advance(1)
        await call.notified(PROGRESS, n)
      }
      clock.advance(5_000)
      expect((await viewIn(call)).status).toBe('pending')
      const params = call.notifications(PROGRESS).map((message) => message.params)
      expect(params.map((told) => told?.['progress'])).toEqual([0, 10, 20, 30])
      for (const told of params) {
        expect(told).toMatchObject({ progressToken: 'p1', total: 35 })
        expect(told?.['message']).toContain(asked.request_id)
      }
    },
  )

  test('who leaves leaves nothing behind, and the question stays open', async () => {
    const client = await open(seat)
    const call = client.call(
      'request_human_input',
      { ...QUESTION, idempotency_key: 'k' },
      withToken,
    )
    const asked = await seat.asked()
    await clock.isWaiting(45)
    const waiting = clock.waiting
    call.leave()
    await expect.poll(() => clock.waiting).toBeLessThan(waiting)
    await expect.poll(() => streams(app)).toBe(0)
    expect((await seat.view(asked)).status).toBe('pending')
  })
})

const isOver = async (call: Exchange): Promise<boolean> => {
  // A whole exchange with the server: what it had to say before has come.
  await seat.pending()
  return call.messages.items.some(({ method }) => method === undefined)
}

describe('a call that its client cancels', () => {
  test.each([
    ['request_human_input', { ...QUESTION, wait_seconds: 280 }],
    ['permission_prompt', { tool_name: 'Bash', input: {} }],
  ])('%s: its stream is closed without an answer, and nothing is left', async (tool, input) => {
    await using client = await seat.client()
    const idle = clock.waiting
    const call = client.call(tool, input, withToken)
    await call.notified(PROGRESS)
    const asked = await seat.asked()
    await client.cancel()
    await call.ended
    expect(call.messages.items.every(({ method }) => method === PROGRESS)).toBe(true)
    await expect.poll(() => streams(app)).toBe(0)
    await expect.poll(() => clock.waiting).toBeLessThanOrEqual(idle + 1)
    expect((await seat.view(asked)).status).toBe('pending')
    // The session goes on.
    expect(viewOf(await client.tool('check_request_status', asked)).status).toBe('pending')
  })

  test('a waiting tasks/result as well', async () => {
    await using client = await seat.client()
    const created = client.call('request_human_input', QUESTION, { task: {} })
    const { task } = await created.answer<{ task: { taskId: string } }>()
    const held = client.request('tasks/result', { taskId: task.taskId })
    await held.head
    await client.cancel()
    await held.ended
    expect(held.messages.items).toEqual([])
    await expect.poll(() => streams(app)).toBe(0)
  })

  test('a foreign session can not cancel it', async () => {
    await using client = await seat.client()
    await using stranger = await (await Seat.open(app)).client()
    const call = client.call('request_human_input', QUESTION, withToken)
    await call.notified(PROGRESS)
    for (let id = 1; id < 5; id++) await stranger.cancel(id)
    await seat.decide(await seat.asked(), { option: 'Yes' })
    expect((await viewIn(call)).approved).toBe(true)
  })
})

test('a server that stops answers what waits as pending, and ends what stands', async () => {
  const stopping = await startOn({ LOOPGATE_DATA_DIR: 'memory://' })
  const there = await Seat.open(stopping)
  await there.register('one')
  const client = await there.client()
  const standing = await client.listen()
  const calls = [
    client.call('request_human_input', QUESTION),
    client.call('request_human_input', { ...QUESTION, message: 'Two?' }, withToken),
    there.modern().call('request_human_input', { ...QUESTION, message: 'Three?' }),
    there.bare().call('request_human_input', { ...QUESTION, message: 'Four?' }),
  ]
  await there.asked(4)
  const began = performance.now()
  await stopping.app.stop()
  expect(performance.now() - began).toBeLessThan(2_000)
  for (const call of calls) {
    const { next_step, ...view } = await viewIn(call)
    expect(view).toMatchObject({ status: 'pending', approved: false })
    expect(next_step).toMatch(/^Not answered yet/)
  }
  await standing.ended
}, 30_000)

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RequestView } from '../../../src/protocol/types.ts'
import type { TestApp } from '../../support/app.ts'
import { WatchedClock } from '../../support/clock.ts'
import type { ToolClient, ToolResult } from '../../support/readers/mcp.ts'
import { openServer, startOn } from '../../support/readers/server.ts'
import { CLIENTS, NOW, Seat, viewOf } from './seat.ts'

/** The approver of a headless Claude Code. Whatever goes wrong is a denial, in one text block. */

const clock = new WatchedClock()
let app: TestApp
let seat: Seat

beforeAll(async () => {
  app = await startOn({ LOOPGATE_DATA_DIR: 'memory://' }, {}, clock)
  seat = await Seat.open(app)
  await seat.register('one')
}, 30_000)
afterAll(() => app[Symbol.asyncDispose]())

const USE = { tool_name: 'Bash', input: { command: 'rm -rf build', n: [1, null] } }

function verdictOf(result: ToolResult): Record<string, unknown> {
  const { resultType: _, _meta, ...own } = result as ToolResult & { resultType?: string }
  expect(Object.keys(own)).toEqual(['content'])
  expect(result.content).toHaveLength(1)
  return JSON.parse(result.content[0]?.text ?? '')
}

const prompt = async (client: ToolClient, input: object = {}, more = {}) =>
  verdictOf(await client.call('permission_prompt', { ...USE, ...input }, more).answer<ToolResult>())

/** Asks, and has it answered by the person as soon as it is there. */
async function answered(client: ToolClient, answer: object) {
  const verdict = prompt(client)
  const view = await seat.asked()
  await seat.decide(view, answer)
  return { verdict: await verdict, view }
}

describe.each(Object.entries(CLIENTS))('by %s', (_, open) => {
  test('M7: allows with the input as it came, and shows the person all of it', async () => {
    const { verdict, view } = await answered(await open(seat), { option: 'Allow' })
    expect(verdict).toEqual({ behavior: 'allow', updatedInput: USE.input })
    expect(view).toMatchObject({
      message: `Allow Bash?\n\n${JSON.stringify(USE.input, null, 2)}`,
      options: [
        { label: 'Allow', effect: 'approve' },
        { label: 'Deny', effect: 'reject' },
      ],
    })
  })

  test('denies, with the comment of the person', async () => {
    const { verdict } = await answered(await open(seat), { option: 'Deny', comment: 'not here' })
    expect(verdict).toEqual({ behavior: 'deny', message: expect.stringContaining('not here') })
  })
})

test('a denial without a comment says that a person said no', async () => {
  const { verdict } = await answered(await seat.client(), { option: 'Deny' })
  expect(verdict).toEqual({ behavior: 'deny', message: 'A person denied this.' })
})

test('a question that was withdrawn is denied, and nobody said no', async () => {
  await using client = await seat.client()
  const verdict = prompt(client)
  const { request_id } = await seat.asked()
  await client.tool('cancel_request', { request_id })
  expect(await verdict).toEqual({
    behavior: 'deny',
    message: expect.stringMatching(/withdrawn.*No person said no/),
  })
})

test('M7: when nobody answers in time it is denied, and says that nobody did', async () => {
  await using client = await seat.client()
  clock.waits.length = 0
  const verdict = prompt(client)
  const { request_id } = await seat.asked()
  await clock.isWaiting(305)
  clock.advance(400_000)
  expect(await verdict).toEqual({
    behavior: 'deny',
    message: 'Nobody answered in time, so it is denied. No person said no.',
  })
  // Who presses later must not believe that it was allowed.
  expect((await seat.view({ request_id })).status).not.toBe('pending')
})

test('an expired question is denied, and says that nobody answered', async () => {
  await using short = await startOn({ LOOPGATE_DATA_DIR: 'memory://' }, { REQUEST_TIMEOUT: '1' })
  const there = await Seat.open(short)
  const verdict = await prompt(there.bare())
  expect(verdict).toEqual({
    behavior: 'deny',
    message: 'Nobody answered in time, so it is denied. No person said no.',
  })
}, 30_000)

test('M7: a server that stops denies, says so, and withdraws the question', async () => {
  await using opened = new AsyncDisposableStack()
  const { app: stopping, place } = opened.use(await openServer('pglite'))
  const there = await Seat.open(stopping)
  await there.register('one')
  const other = { session_id: 'one', client_id: 'agent', message: 'Other?', ...NOW }
  await stopping.post('/hitl/request', other, there.key.headers)
  const verdicts = [prompt(await there.client()), prompt(there.modern()), prompt(there.bare())]
  await there.asked(4)
  const open = await there.pending()
  await stopping.app.stop()
  for (const verdict of await Promise.all(verdicts)) {
    expect(verdict).toEqual({
      behavior: 'deny',
      message: expect.stringMatching(/^The server stopped/),
    })
  }
  const next = opened.use(await startOn(place))
  const statusOf = async ({ request_id, message }: RequestView) => {
    const { body } = await next.get(`/hitl/poll?request_id=${request_id}`, there.key.headers)
    return `${message.slice(0, 6)} ${body.status}`
  }
  const withdrawn = 'Allow  canceled'
  expect((await Promise.all(open.map(statusOf))).sort()).toEqual([
    ...[withdrawn, withdrawn, withdrawn],
    'Other? pending',
  ])
}, 60_000)

describe('bad arguments are a denial that names them, and nobody is asked:', () => {
  test.each([
    [{ tool_name: '' }, '/tool_name'],
    [{ tool_name: 7 }, '/tool_name'],
    // What follows the name on the card is the input alone.
    [{ tool_name: 'Bash?\n\n{}' }, '/tool_name'],
    [{ input: 'rm' }, '/input'],
    [{ input: undefined }, '/input'],
    [{ input: { a: 'x\0' } }, '/input/a'],
    [{ tool_use_id: 7 }, '/tool_use_id'],
    [{ input: { command: 'x'.repeat(21_000) } }, '/input: is too long to be shown to a person'],
  ])('%j', async (input, said) => {
    const verdict = await prompt(seat.bare(), input)
    expect(verdict).toEqual({ behavior: 'deny', message: expect.stringContaining(said) })
    expect(verdict['message']).toMatch(/^Nobody was asked, so it is denied/)
    expect(await seat.pending()).toEqual([])
  })
})

test('the same use of a tool is asked once, however often it is prompted', async () => {
  await using client = await seat.client()
  const once = { tool_use_id: 'toolu_01' }
  const verdicts = [prompt(client, once), prompt(await seat.client(), once)]
  await seat.decide(await seat.asked(), { option: 'Allow' })
  for (const verdict of await Promise.all(verdicts)) expect(verdict['behavior']).toBe('allow')
  expect((await prompt(client, once))['behavior']).toBe('allow')
  expect(await seat.pending()).toEqual([])
})

test('M7: an allowance is for that input alone: another one under its id is denied', async () => {
  await using client = await seat.client()
  const once = { tool_use_id: 'toolu_02' }
  const verdict = prompt(client, once)
  await seat.decide(await seat.asked(), { option: 'Allow' })
  await verdict
  const other = await prompt(client, { ...once, input: { command: 'rm -rf /' } })
  expect(other).toEqual({
    behavior: 'deny',
    message: expect.stringContaining('IDEMPOTENCY_MISMATCH'),
  })
})

test('an allowance that its caller did not wait for is not that of a later use', async () => {
  await using client = await seat.client()
  const use = { name: 'permission_prompt', _meta: { progressToken: 'p' } }
  const left = client.call(use.name, { ...USE, tool_use_id: 'toolu_04' }, { _meta: use._meta })
  await left.notified('notifications/progress')
  await client.cancel()
  await left.ended
  const first = await seat.asked()
  const verdict = prompt(client, { tool_use_id: 'toolu_05' })
  const second = await seat.asked(2)
  expect(second.request_id).not.toBe(first.request_id)
  await seat.decide(first, { option: 'Allow' })
  await seat.decide(second, { option: 'Deny' })
  expect((await verdict)['behavior']).toBe('deny')
})

test('a permission and a question of one use of a tool are two questions', async () => {
  await using client = await seat.client()
  const _meta = { 'claudecode/toolUseId': 'toolu_03' }
  const asked = viewOf(
    await client.tool('request_human_input', { message: 'Which?', ...NOW }, { _meta }),
  )
  const verdict = prompt(client, { tool_use_id: 'toolu_03' }, { _meta })
  const permission = await seat.asked(2)
  expect(permission.request_id).not.toBe(asked.request_id)
  await seat.decide(permission, { option: 'Deny' })
  expect((await verdict)['behavior']).toBe('deny')
  await client.tool('cancel_request', { request_id: asked.request_id })
})

test('makes no tasks', async () => {
  await using client = await seat.client()
  const call = client.call('permission_prompt', USE, { task: {} })
  await expect(call.answer()).rejects.toMatchObject({ code: -32_601 })
  const extensions = { 'io.modelcontextprotocol/tasks': {} }
  const verdict = prompt(seat.modern({ capabilities: { extensions } }))
  await seat.decide(await seat.asked(), { option: 'Allow' })
  expect(await verdict).toMatchObject({ behavior: 'allow' })
})

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RequestView } from '../../src/protocol/types.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { eventually } from '../support/eventually.ts'
import { callModern, openSession, post, textOf, toolCall, viewOf } from '../support/mcp-attacks.ts'

/** Over MCP: an approval is of what the person was asked, and of one call. */

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app[Symbol.asyncDispose]())

const YES_NO = { options: ['Yes', 'No'] }

async function approved(message: string): Promise<RequestView> {
  const asked = viewOf(
    await callModern(app.url, 'request_human_input', { message, ...YES_NO, wait_seconds: 0 }),
  )
  const { body } = await app.decide(asked.request_id, { option: 'Yes' })
  expect(body.approved).toBe(true)
  return body
}

const pending = async (message: string): Promise<RequestView | undefined> => {
  const { body } = await app.get<{ pending_requests: RequestView[] }>('/hitl/pending')
  return body.pending_requests.find((one) => one.message === message)
}

const found = async (message: string): Promise<RequestView> => {
  await eventually(() => pending(message)).toBeDefined()
  return (await pending(message)) as RequestView
}

describe('A12: a requestState that names an approved question', () => {
  test('allows no tool that nobody was asked about', async () => {
    const { request_id: requestState } = await approved('Read a file?')
    const input = { tool_name: 'Bash', input: { command: 'rm -rf /' } }
    const answer = await callModern(app.url, 'permission_prompt', input, {
      params: { requestState },
    })
    expect(JSON.parse(textOf(answer))).toMatchObject({ behavior: 'deny' })
  })

  test('approves no other question', async () => {
    const { request_id: requestState } = await approved('Read another file?')
    const input = { message: 'Drop the database?', ...YES_NO }
    const answer = await callModern(app.url, 'request_human_input', input, {
      params: { requestState },
    })
    expect(answer.result).toMatchObject({ isError: true })
    expect(textOf(answer)).toContain('/requestState: is of another question')
  })

  test('is no approval of another action', async () => {
    const { request_id: requestState } = await approved('Read a third file?')
    const input = { action_description: 'Drop it', action_details: 'all of it' }
    const answer = await callModern(app.url, 'request_approval', input, {
      params: { requestState },
    })
    expect(answer.result).toMatchObject({ isError: true })
    expect(textOf(answer)).toContain('/requestState: is of another question')
  })
})

describe('A71: a second request of an id that is not answered yet', () => {
  const ask = (id: unknown, message: string) =>
    toolCall(id, 'request_human_input', { message, ...YES_NO, wait_seconds: 20 })

  test('is refused, and the first one has its own answer', async () => {
    const session = await openSession(app.url)
    const first = post(app.url, ask(7, 'Harmless?'), session)
    const { request_id } = await found('Harmless?')
    const second = await post(app.url, ask(7, 'Harmful?'), session)
    expect(second).toMatchObject({ status: 400, messages: [{ error: { code: -32_600 } }] })
    await app.decide(request_id, { option: 'Yes' })
    expect(viewOf((await first).messages.at(-1)).request_id).toBe(request_id)
    expect(await pending('Harmful?')).toBeUndefined()
  })

  test('is refused in one batch, too', async () => {
    const session = await openSession(app.url)
    const answer = await post(app.url, [ask(7, 'One?'), ask(7, 'Two?')], session)
    expect(answer.status).toBe(400)
    expect(await pending('One?')).toBeUndefined()
  })

  test('is served once the first one is answered, refused, or cancelled', async () => {
    const session = await openSession(app.url)
    const list = { jsonrpc: '2.0', id: 7, method: 'tools/list' }
    const cancel = {
      ...{ jsonrpc: '2.0', method: 'notifications/cancelled' },
      params: { requestId: 7 },
    }
    await post(app.url, ask(7, ''), session)
    await post(app.url, { ...list, method: 'none' }, session)
    await post(app.url, [{ ...list, method: 'resources/list' }, cancel], session)
    const waiting = post(app.url, ask(7, 'Cancelled?'), session)
    await found('Cancelled?')
    await post(app.url, cancel, session)
    expect((await waiting).messages).toEqual([])
    const { messages } = await post(app.url, list, session)
    expect(messages).toMatchObject([{ id: 7, result: { tools: expect.anything() } }])
  })
})

test('A71: one call of a batch that is cancelled takes none of the others along', async () => {
  const session = await openSession(app.url)
  const ask = (id: number, message: string) =>
    toolCall(id, 'request_human_input', { message, ...YES_NO, wait_seconds: 20 })
  const waiting = post(app.url, [ask(1, 'Not wanted?'), ask(2, 'Wanted?')], session)
  await found('Not wanted?')
  const { request_id } = await found('Wanted?')
  const params = { requestId: 1 }
  await post(app.url, { jsonrpc: '2.0', method: 'notifications/cancelled', params }, session)
  await app.decide(request_id, { option: 'Yes' })
  const { messages } = await waiting
  expect(viewOf(messages.find(({ id }) => id === 2))).toMatchObject({ request_id, approved: true })
  expect(await pending('Not wanted?')).toBeDefined()
})

describe('A12: an approval that came after its caller had left', () => {
  const ask = (id: unknown, message: string) =>
    toolCall(id, 'request_human_input', { message, ...YES_NO, wait_seconds: 20 })

  /** Asks, leaves, and has it approved then. */
  async function leave(session: Record<string, string>, message: string): Promise<RequestView> {
    const waiting = post(app.url, ask(1, message), session)
    const left = await found(message)
    const params = { requestId: 1 }
    await post(app.url, { jsonrpc: '2.0', method: 'notifications/cancelled', params }, session)
    await waiting
    await app.decide(left.request_id, { option: 'Yes' })
    return left
  }

  test('is given to the repeated call, and to no further one', async () => {
    const session = await openSession(app.url)
    const { request_id } = await leave(session, 'Left?')
    const [first] = (await post(app.url, ask(2, 'Left?'), session)).messages
    expect(viewOf(first)).toMatchObject({ request_id, approved: true })
    void post(app.url, ask(3, 'Left?'), session)
    expect((await found('Left?')).request_id).not.toBe(request_id)
  })

  const READ = {
    check_request_status: (request_id: string) =>
      toolCall(2, 'check_request_status', { request_id }),
    cancel_request: (request_id: string) => toolCall(2, 'cancel_request', { request_id }),
    'resources/read': (request_id: string) => ({
      ...{ jsonrpc: '2.0', id: 2, method: 'resources/read' },
      params: { uri: `loopgate://requests/${request_id}` },
    }),
    'tasks/result': (taskId: string) => ({
      ...{ jsonrpc: '2.0', id: 2, method: 'tasks/result' },
      params: { taskId },
    }),
    check_approval: (pause_id: string) => toolCall(2, 'check_approval', { pause_id }),
  }
  test.for(Object.entries(READ))('is used up when it was read by %s', async ([name, read]) => {
    const session = await openSession(app.url)
    const message = `Read by ${name}?`
    const { request_id } = await leave(session, message)
    const { messages } = await post(app.url, read(request_id), session)
    expect(JSON.stringify(messages)).toMatch(/\\"approved\\":true|\\"decision\\":\\"approved\\"/)
    void post(app.url, ask(3, message), session)
    expect((await found(message)).request_id).not.toBe(request_id)
  })
})

test('A12: permission_prompt with the id of an allowed use, and another input, is denied', async () => {
  const prompt = (command: string) =>
    callModern(app.url, 'permission_prompt', {
      ...{ tool_name: 'Sh', input: { command }, tool_use_id: 'toolu_1' },
    })
  const asking = prompt('ls')
  const { request_id } = await found('Allow Sh?\n\n{\n  "command": "ls"\n}')
  await app.decide(request_id, { option: 'Allow' })
  const allowed = { behavior: 'allow', updatedInput: { command: 'ls' } }
  expect(JSON.parse(textOf(await asking))).toEqual(allowed)
  expect(JSON.parse(textOf(await prompt('ls')))).toEqual(allowed)
  expect(JSON.parse(textOf(await prompt('rm')))).toMatchObject({ behavior: 'deny' })
})

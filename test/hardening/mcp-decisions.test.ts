<<<<<<< HEAD
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

describe('a requestState that names an approved question', () => {
  test('allows no tool that nobody was asked about', async () => {
    const { request_id: requestState } = await approved('Read a file?')
    const asking = callModern(
      app.url,
      'permission_prompt',
      { tool_name: 'Bash', input: { command: 'rm -rf /' } },
      { params: { requestState } },
    )
    const { request_id } = await found('Allow Bash?\n\n{\n  "command": "rm -rf /"\n}')
    await app.decide(request_id, { option: 'Deny' })
    expect(JSON.parse(textOf(await asking))).toMatchObject({ behavior: 'deny' })
  })

  test('approves no other question', async () => {
    const { request_id: requestState } = await approved('Read another file?')
    const input = { message: 'Drop the database?', ...YES_NO }
    const answer = await callModern(app.url, 'request_human_input', input, {
      params: { requestState },
    })
    expect(answer.result).toMatchObject({ isError: true })
    expect(textOf(answer)).toContain('requestState is of another question')
  })

  test('is no approval of another action', async () => {
    const { request_id: requestState } = await approved('Read a third file?')
    const input = { action_description: 'Drop it', action_details: 'all of it' }
    const answer = await callModern(app.url, 'request_approval', input, {
      params: { requestState },
    })
    expect(answer.result?.structuredContent).toMatchObject({ status: 'pending' })
  })
})

describe('a second request of an id that is not answered yet', () => {
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

describe('an approval that came after its caller had left', () => {
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
  }
  test.for(Object.entries(READ))('is used up when it was read by %s', async ([name, read]) => {
    const session = await openSession(app.url)
    const message = `Read by ${name}?`
    const { request_id } = await leave(session, message)
    const { messages } = await post(app.url, read(request_id), session)
    expect(JSON.stringify(messages)).toContain('\\"approved\\":true')
    void post(app.url, ask(3, message), session)
    expect((await found(message)).request_id).not.toBe(request_id)
  })
=======
import { beforeAll, describe, expect, test } from 'vitest'
import type { RequestView } from '../../src/protocol/types.ts'
import { calling, MCP_WAYS, type McpLine, modernMeta, textOf, WITH_TASKS } from '../support/mcp.ts'
import { askAs, SAME, type TwoTenants, twoTenants } from '../support/tenants.ts'

/** A12, over MCP: nothing that holds an agent's key decides, by whatever tool, method or message. */

const here = twoTenants()

const LABEL = 'Yes'
/** Says yes in every word that anything could read. */
const YES = {
  ...{ option: LABEL, response: 'yes', answer: LABEL, approved: true, outcome: 'approved' },
  ...{ decision: 'approved', status: 'completed', comment: 'ok', decided_by: { channel: 'mcp' } },
}
const COMMANDS = [
  ...['decide', 'approve', 'decision', 'resolve', 'answer', 'respond', 'settle', 'press'],
  ...['request.decided', 'requests/decide', 'hitl_approve', 'consume', 'toString', '__proto__'],
]

const [modern] = MCP_WAYS.filter(({ name }) => name === '2026-07-28')

const openModern = async ({ app, ours }: TwoTenants): Promise<McpLine> => {
  if (!modern) throw new Error('there is no such way')
  return modern.open(app.url, ours.key.headers)
}

describe.each(MCP_WAYS)('A12: over $name', ({ open }) => {
  test('no tool and no method approves, whatever it is called', () =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const { request_id } = ours.asked
      const line = await open(app.url, ours.key.headers)
      for (const [id, name] of COMMANDS.entries()) {
        const given = { request_id, pause_id: request_id, taskId: request_id, ...YES }
        const called = await line.request('tools/call', calling(name, given), id)
        expect([name, called.error?.code]).toEqual([name, -32602])
        const asked = await line.request(name, given, id)
        expect([name, asked.error?.code]).toEqual([name, -32601])
      }
    }))

  test('a tool that is there approves nothing, whatever it is told beside', () =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const { request_id } = ours.asked
      const line = await open(app.url, ours.key.headers)
      const listed = await line.request('tools/list', {}, 'list')
      const tools = (listed.result?.['tools'] ?? []) as readonly { readonly name: string }[]
      expect(tools.length).toBeGreaterThanOrEqual(9)
      const question = { ...SAME, message: ours.asked.message, options: ['Yes', 'No'] }
      // The one withdraws what it is told to, and the others would wait for a person.
      const asking = ['cancel_request', 'request_approval', 'permission_prompt']
      for (const { name } of tools.filter((tool) => !asking.includes(tool.name))) {
        const input = { ...YES, ...question, request_id, pause_id: request_id, url: 'x' }
        const params = { ...calling(name, { ...input, wait_seconds: 0 }), ...YES }
        const { error, result } = await line.request('tools/call', params, name)
        expect([name, error]).toEqual([name, undefined])
        expect([name, JSON.stringify(result).includes('"approved":true')]).toEqual([name, false])
      }
    }))
})

describe('A12: the person at the client', () => {
  test('is not heard where no person of the tenant has allowed it, although the client answers', () =>
    here().server.attack(async () => {
      const line = await openModern(here())
      const { asked } = here().ours
      const question = { ...SAME, message: asked.message, options: ['Yes', 'No'], wait_seconds: 0 }
      const response = { action: 'accept', content: { answer: LABEL } }
      for (const tool of ['request_human_input', 'hitl_request']) {
        const params = {
          ...calling(tool, question),
          ...{ requestState: asked.request_id, inputResponses: { answer: response } },
        }
        const answer = await line.request('tools/call', params, tool)
        expect(JSON.parse(textOf(answer))).toMatchObject({ status: 'pending', approved: false })
      }
    }))

  test('can not be let in by an agent', () =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const body = { session_id: ours.own, client_id: SAME.client_id, inline_answers: true }
      const answer = await app.post('/hitl/register', body, ours.key.headers)
      expect(answer).toMatchObject({ status: 403, body: { code: 'FORBIDDEN' } })
    }))

  test('answers no task with what nobody asked for', () =>
    here().server.attack(async () => {
      const line = await openModern(here())
      const { request_id } = here().ours.asked
      const inputResponses = { answer: { action: 'accept', content: YES } }
      const params = { taskId: request_id, inputResponses, _meta: modernMeta(WITH_TASKS) }
      expect(await line.request('tasks/update', params, 1)).toMatchObject({
        result: { resultType: 'complete' },
      })
      const { result } = await line.request('tasks/get', params, 2)
      expect(result).toMatchObject({ taskId: request_id, status: 'working' })
    }))

  test('answers no form that was not shown, by a response to a request that there never was', () =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const [session] = MCP_WAYS
      const line = await session?.open(app.url, ours.key.headers)
      for (const id of [0, 1, '0', ours.asked.request_id]) {
        const result = { action: 'accept', content: { answer: LABEL } }
        const answer = await line?.post(JSON.stringify({ jsonrpc: '2.0', id, result }))
        expect(answer?.status).toBe(202)
      }
    }))
})

describe('A12: what was said to one question is no answer to another', () => {
  let approved: RequestView

  beforeAll(async () => {
    const { app, ours } = here()
    const { request_id } = await askAs(app, ours.key.headers, { message: 'Say hello?' })
    const path = `/api/requests/${request_id}/decision`
    const { body } = await app.post(path, { option: LABEL }, ours.account.headers)
    approved = body
    expect(approved.approved).toBe(true)
  })

  const OTHERS = [
    ['permission_prompt', { tool_name: 'Bash', input: { command: 'rm -rf /' } }],
    ['request_approval', { action_description: 'Send the money?', action_details: {} }],
    ['request_human_input', { message: 'Drop the table?', options: ['Yes', 'No'] }],
    ['hitl_request', { message: 'Say hello?', options: ['Yes', 'No', 'Never'] }],
    ['hitl_request', { message: 'Say hello?', options: ['Yes', 'No'], metadata: { to: 'all' } }],
  ] as const

  test.each(OTHERS)('that %s asks: %j', (name, input) =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const line = await modern?.open(`${app.url}?session_id=same`, ours.key.headers)
      const params = {
        ...calling(name, input),
        ...{ requestState: approved.request_id, inputResponses: {} },
      }
      const answer = await line?.request('tools/call', params, 1)
      const said = answer ? textOf(answer) : ''
      expect(said).toContain('/requestState: is of another question')
      expect(said).not.toContain('"allow"')
      expect(said).not.toContain('approved')
    }),
  )
>>>>>>> 5b0c733 (fix: what a person said to one question is no answer to another MCP call)
})

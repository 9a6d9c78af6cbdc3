import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import {
  CreateTaskResultSchema,
  ElicitRequestSchema,
  GetTaskResultSchema,
} from '@modelcontextprotocol/sdk/types.js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RequestView } from '../../../src/protocol/types.ts'
import { makeKey, openAccount } from '../../support/accounts.ts'
import { startTestApp, type TestApp } from '../../support/app.ts'
import { ModernClient } from '../../support/readers/mcp.ts'

/** What src/core/README.md says of MCP (M7 in permission.test.ts), by a client of the official SDK. */

type Person = (question: { readonly message: string }) => Promise<string> | string

const OPTIONS = ['Deploy', 'Hold']
const ASKING = 'request_human_input'

const viewOf = (result: unknown) =>
  (result as { structuredContent: RequestView & { next_step: string } }).structuredContent

/** @param person who sits at the client; without one it declares no forms. */
async function connect(app: TestApp, session: string, person?: Person) {
  const client = new Client(
    { name: 'editor', version: '1' },
    { capabilities: person ? { elicitation: { form: {} } } : {} },
  )
  if (person) {
    client.setRequestHandler(ElicitRequestSchema, async ({ params }) => ({
      action: 'accept',
      content: { answer: await person(params) },
    }))
  }
  const url = new URL(`${app.url}/mcp?session_id=${session}`)
  const transport = new StreamableHTTPClientTransport(url)
  await client.connect(transport as Parameters<Client['connect']>[0])
  return {
    id: transport.sessionId ?? '',
    client,
    call: (name: string, input: object = {}, options = {}) =>
      client.callTool({ name, arguments: { ...input } }, undefined, options),
    [Symbol.asyncDispose]: () => client.close(),
  }
}

async function openOf(app: TestApp, message: string): Promise<readonly RequestView[]> {
  const { body } = await app.get<{ pending_requests: RequestView[] }>('/hitl/pending')
  return body.pending_requests.filter((request) => request.message.includes(message))
}

const asked = async (app: TestApp, message: string): Promise<RequestView> => {
  await expect.poll(() => openOf(app, message), { timeout: 10_000 }).toHaveLength(1)
  return (await openOf(app, message))[0] as RequestView
}

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
  await app.register()
})
afterAll(() => app[Symbol.asyncDispose]())

const letAnswer = async (isLet: boolean, session = 's1') =>
  app.post(
    '/hitl/register',
    { session_id: session, client_id: 'c1', inline_answers: isLet },
    await app.person(),
  )

test('M1, M4: after a restart a client goes on in its session, and its task is its question', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'loopgate-mcp-'))
  try {
    const first = await startTestApp({ LOOPGATE_DATA_DIR: directory })
    await first.register()
    await using agent = await connect(first, 's1')
    const params = { name: ASKING, arguments: { message: 'Task?' }, task: {} }
    const { task } = await agent.client.request(
      { method: 'tools/call', params },
      CreateTaskResultSchema,
    )
    await first.app.stop()

    const { port } = new URL(first.url)
    await using second = await startTestApp({ LOOPGATE_DATA_DIR: directory, SERVER_PORT: port })
    const question = viewOf(await agent.call('check_request_status', { request_id: task.taskId }))
    expect(question).toMatchObject({ request_id: task.taskId, status: 'pending' })
    await second.decide(task.taskId, { response: 'yes' })
    const ended = await agent.client.request(
      { method: 'tasks/get', params: { taskId: task.taskId } },
      GetTaskResultSchema,
    )
    expect(ended.status).toBe('completed')
  } finally {
    rmSync(directory, { recursive: true })
  }
}, 60_000)

test('M4: the session of a client does not exist for another principal', async () => {
  await using agent = await connect(app, 's1')
  const account = await openAccount(app)
  const key = await makeKey(app, account)
  const ping = (headers: Record<string, string>) =>
    app.post(
      '/mcp',
      { jsonrpc: '2.0', id: 1, method: 'ping' },
      {
        accept: 'application/json, text/event-stream',
        'mcp-session-id': agent.id,
        ...headers,
      },
    )
  expect((await ping(key.headers)).status).toBe(404)
  await expect(agent.client.ping()).resolves.toEqual({})
})

describe('M2: the question stays open when its client', () => {
  test.each([
    [
      'runs into its timeout',
      (call: (options: object) => Promise<unknown>) => call({ timeout: 200 }),
    ],
    [
      'cancels the call',
      (call: (options: object) => Promise<unknown>) => {
        const cancel = new AbortController()
        return call({ signal: cancel.signal, onprogress: () => cancel.abort() })
      },
    ],
  ])('%s', async (message, leave) => {
    await using agent = await connect(app, 's1')
    await expect(leave((options) => agent.call(ASKING, { message }, options))).rejects.toThrow()
    expect(await asked(app, message)).toMatchObject({ status: 'pending' })
  })

  test('disconnects', async () => {
    const agent = await connect(app, 's1')
    const call = agent.call(ASKING, { message: 'disconnects' }).catch(() => undefined)
    const { request_id } = await asked(app, 'disconnects')
    await agent.client.close()
    await call
    expect(await app.view(request_id)).toMatchObject({ status: 'pending' })
  })
})

test('M3: a question that was left is found by the same call, once', async () => {
  await using agent = await connect(app, 's1')
  const question = { message: 'Left?', options: OPTIONS }
  await expect(agent.call(ASKING, question, { timeout: 200 })).rejects.toThrow()
  const { request_id } = await asked(app, 'Left?')
  const again = agent.call(ASKING, question)
  await app.decide(request_id, { option: 'Deploy' })
  expect(viewOf(await again)).toMatchObject({ request_id, outcome: 'approved' })
  const anew = viewOf(await agent.call(ASKING, { ...question, wait_seconds: 0 }))
  expect(anew).toMatchObject({ status: 'pending' })
  expect(anew.request_id).not.toBe(request_id)
})

describe('M5: what the person at the client answers', () => {
  test('is not even asked for in a session that nobody opened, and no agent opens one', async () => {
    const body = { session_id: 's1', client_id: 'c1', inline_answers: true }
    expect((await app.post('/hitl/register', body)).status).toBe(403)
    const questions: string[] = []
    await using agent = await connect(app, 's1', ({ message }) => {
      questions.push(message)
      return 'Deploy'
    })
    const input = { message: 'Closed?', options: OPTIONS, wait_seconds: 1 }
    expect(viewOf(await agent.call(ASKING, input))).toMatchObject({ status: 'pending' })
    expect(questions).toEqual([])
  })

  test('counts where a person opened the session, until it is closed', async () => {
    await letAnswer(true, 'open')
    await using agent = await connect(app, 'open', async ({ message }) => {
      if (message === 'Second?') await letAnswer(false, 'open')
      return 'Deploy'
    })
    const input = { options: OPTIONS, wait_seconds: 2 }
    expect(viewOf(await agent.call(ASKING, { ...input, message: 'First?' }))).toMatchObject({
      outcome: 'approved',
      decided_by: { channel: 'mcp', name: 'the user of editor' },
    })
    const second = viewOf(await agent.call(ASKING, { ...input, message: 'Second?' }))
    expect(second).toMatchObject({ status: 'pending', outcome: null })
  })

  test('does not count for a question of another session, whatever the client hands back', async () => {
    await letAnswer(true, 'mine')
    const { request_id } = await app.ask({ message: 'Not yours?', options: OPTIONS })
    const client = new ModernClient(app, {
      query: '?session_id=mine',
      capabilities: { elicitation: { form: {} } },
    })
    const input = { message: 'Mine?', options: OPTIONS, wait_seconds: 1 }
    const answered = (requestState: unknown) =>
      client.tool(ASKING, input, {
        requestState,
        inputResponses: { answer: { action: 'accept', content: { answer: 'Deploy' } } },
      })
    expect(await answered(request_id)).toMatchObject({ isError: true })
    const { requestState } = await client.call(ASKING, input).answer<{ requestState: unknown }>()
    expect(viewOf(await answered(requestState))).toMatchObject({ outcome: 'approved' })
    expect(await app.view(request_id)).toMatchObject({ status: 'pending' })
  })
})

test('M6: who declares neither tasks nor forms gets the answer itself', async () => {
  await letAnswer(true, 'plain')
  await using agent = await connect(app, 'plain')
  const received: string[] = []
  agent.client.fallbackRequestHandler = async ({ method }) => {
    received.push(method)
    return {}
  }
  const call = agent.call(ASKING, { message: 'Plain?', options: OPTIONS })
  const { request_id } = await asked(app, 'Plain?')
  await app.decide(request_id, { option: 'Hold' })
  expect(viewOf(await call)).toMatchObject({ request_id, outcome: 'rejected' })
  expect(received).toEqual([])
})

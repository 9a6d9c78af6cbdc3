import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../../support/app.ts'
import { BridgeProcess, type RpcMessage } from '../../support/bridge.ts'
import { eventually } from '../../support/eventually.ts'

const OPTIONS = ['Approve', 'Reject']
const QUESTION = { message: 'Deploy v2.1.0?', options: OPTIONS }

const ERAS = ['2025-11-25', '2026-07-28'] as const
type Era = (typeof ERAS)[number]

/** What a request says of its client, in a revision without sessions. */
const metaOf = (era: Era) =>
  era === '2025-11-25'
    ? {}
    : {
        'io.modelcontextprotocol/protocolVersion': era,
        'io.modelcontextprotocol/clientCapabilities': {},
      }

/** The bridge of an app, with a client that introduced itself if its revision wants that. */
async function connected(app: TestApp, era: Era = '2025-11-25', args: string[] = []) {
  const bridge = new BridgeProcess(['--url', app.url, ...args])
  if (era === '2025-11-25') await bridge.initialize()
  return bridge
}

const pending = async (app: TestApp) => {
  const { body } = await app.get<{
    pending_requests: { request_id: string; session_id: string }[]
  }>('/hitl/pending')
  return body.pending_requests
}

/** A question that was asked in the session of MCP by another way. */
async function askedIn(app: TestApp): Promise<{ request_id: string }> {
  await app.register({ session_id: 'mcp', client_id: 'mcp' })
  return app.ask({ session_id: 'mcp', client_id: 'mcp', options: OPTIONS })
}

/** Waits for the one open question, and returns its id. */
async function open(app: TestApp): Promise<string> {
  await eventually(async () => (await pending(app)).length).toBe(1)
  return (await pending(app))[0]?.request_id ?? ''
}

const toolsOf = ({ result }: RpcMessage) =>
  (result?.['tools'] ?? []) as readonly { readonly name: string }[]

describe('loopgate mcp', () => {
  let app: TestApp

  beforeAll(async () => {
    app = await startTestApp()
  })
  afterEach(async () => {
    for (const { request_id } of await pending(app)) await app.post('/hitl/cancel', { request_id })
  })
  afterAll(() => app[Symbol.asyncDispose]())

  test.each(ERAS)(
    '%s lists the tools, asks, says that it waits, and has the answer when a person decided',
    async (era) => {
      await using bridge = await connected(app, era)
      const listed = await bridge.ask('tools/list', { _meta: metaOf(era) })
      const names = toolsOf(listed).map(({ name }) => name)
      expect(names).toEqual(expect.arrayContaining(['request_human_input', 'check_request_status']))
      const _meta = { ...metaOf(era), progressToken: 7 }
      const id = bridge.send('tools/call', {
        name: 'request_human_input',
        arguments: QUESTION,
        _meta,
      })
      const requestId = await open(app)
      await eventually(() => bridge.notifications('notifications/progress').length).toBe(1)
      await app.decide(requestId, { option: 'Approve' })
      expect((await bridge.answer(id)).result).toMatchObject({
        structuredContent: { request_id: requestId, outcome: 'approved' },
      })
    },
  )

  test('says what the server says by itself', async () => {
    await using bridge = await connected(app)
    await bridge.call('request_human_input', { ...QUESTION, wait_seconds: 0 })
    const requestId = await open(app)
    const uri = `loopgate://requests/${requestId}`
    expect(await bridge.ask('resources/subscribe', { uri })).toMatchObject({ result: {} })
    await app.decide(requestId, { option: 'Reject' })
    await eventually(() => bridge.notifications('notifications/resources/updated')).toMatchObject([
      { params: { uri } },
    ])
  })

  test.each(ERAS)(
    'a call that its client cancelled (%s) has no answer, leaves its question open, and finds it when it is repeated',
    async (era) => {
      await using bridge = await connected(app, era)
      const call = (wait_seconds: number) => ({
        name: 'request_human_input',
        arguments: { ...QUESTION, wait_seconds },
        _meta: metaOf(era),
      })
      const id = bridge.send('tools/call', call(30))
      const requestId = await open(app)
      bridge.notify('notifications/cancelled', { requestId: id })
      const repeated = await bridge.ask('tools/call', call(0))
      expect(repeated.result).toMatchObject({
        structuredContent: { request_id: requestId, status: 'pending' },
      })
      expect(await pending(app)).toHaveLength(1)
      expect(bridge.messages.filter((message) => message.id === id)).toEqual([])
    },
  )

  /** Makes a call that its client cancels, and returns the id of its question. */
  async function left(bridge: BridgeProcess, name: string, input: object, era?: Era) {
    const _meta = metaOf(era ?? '2025-11-25')
    const requestId = bridge.send('tools/call', { name, arguments: input, _meta })
    // It comes back at once, and is cancelled before that.
    if (name !== 'request_approval') await open(app)
    bridge.notify('notifications/cancelled', { requestId })
    const left = await open(app)
    expect(bridge.messages.filter((message) => message.id === requestId)).toEqual([])
    return left
  }

  interface Reading {
    readonly method: string
    readonly era?: Era
    params(id: string): object
  }

  const READINGS: Readonly<Record<string, Reading>> = {
    check_request_status: {
      method: 'tools/call',
      params: (request_id) => ({ name: 'check_request_status', arguments: { request_id } }),
    },
    cancel_request: {
      method: 'tools/call',
      params: (request_id) => ({ name: 'cancel_request', arguments: { request_id } }),
    },
    'resources/read': {
      method: 'resources/read',
      params: (id) => ({ uri: `loopgate://requests/${id}` }),
    },
    'tasks/result': { method: 'tasks/result', params: (taskId) => ({ taskId }) },
    'tasks/get': { method: 'tasks/get', era: '2026-07-28', params: (taskId) => ({ taskId }) },
  }
  test.each(Object.entries(READINGS))(
    'an approval that was read by %s is not given to the repeated call, too',
    async (_, { method, params, era = '2025-11-25' }) => {
      await using bridge = await connected(app, era)
      const clientCapabilities = { extensions: { 'io.modelcontextprotocol/tasks': {} } }
      const _meta =
        era === '2025-11-25'
          ? {}
          : { ...metaOf(era), 'io.modelcontextprotocol/clientCapabilities': clientCapabilities }
      const requestId = await left(bridge, 'request_human_input', QUESTION, era)
      await app.decide(requestId, { option: 'Approve' })
      const read = await bridge.ask(method, { ...params(requestId), _meta })
      expect(JSON.stringify(read.result)).toContain('"outcome')
      bridge.send('tools/call', {
        name: 'request_human_input',
        arguments: QUESTION,
        _meta: metaOf(era),
      })
      expect(await open(app)).not.toBe(requestId)
    },
  )

  test('an approval that was read by check_approval is not given to a repeated request_approval', async () => {
    await using bridge = await connected(app)
    const action = { action_description: 'Deploy', action_details: 'v2.1.0' }
    const pause_id = await left(bridge, 'request_approval', action)
    await app.decide(pause_id, { option: 'Approve' })
    const read = await bridge.call('check_approval', { pause_id })
    expect(read.result).toMatchObject({ structuredContent: { status: 'responded' } })
    const repeated = await bridge.call('request_approval', action)
    expect(repeated.result).toMatchObject({ structuredContent: { status: 'pending' } })
    expect(repeated.result).not.toMatchObject({ structuredContent: { pause_id } })
  })

  test.each(['request_human_input', 'request_approval'])(
    'a repeated %s, whose question was withdrawn meanwhile, asks anew',
    async (name) => {
      await using bridge = await connected(app)
      const input =
        name === 'request_approval'
          ? { action_description: 'Deploy', action_details: 'v2.1.0' }
          : QUESTION
      const requestId = await left(bridge, name, input)
      await app.post('/hitl/cancel', { request_id: requestId })
      const repeated = bridge.send('tools/call', { name, arguments: input })
      const anew = await open(app)
      expect(anew).not.toBe(requestId)
      await app.decide(anew, { option: 'Approve' })
      expect(JSON.stringify((await bridge.answer(repeated)).result)).toContain(anew)
    },
  )

  test('a repeated permission_prompt, whose question was withdrawn meanwhile, is denied', async () => {
    await using bridge = await connected(app)
    const use = { tool_name: 'Bash', input: { command: 'ls' } }
    const requestId = await left(bridge, 'permission_prompt', use)
    await app.post('/hitl/cancel', { request_id: requestId })
    const { result } = await bridge.call('permission_prompt', use)
    expect(JSON.stringify(result)).toContain('The question was withdrawn')
    expect(await pending(app)).toEqual([])
  })

  test('hands on what a subscription of 2026-07-28 hears, and cancels it', async () => {
    await using bridge = await connected(app, '2026-07-28')
    const _meta = metaOf('2026-07-28')
    const { request_id } = await askedIn(app)
    const uri = `loopgate://requests/${request_id}`
    const listen = { notifications: { resourceSubscriptions: [uri] }, _meta }
    const id = bridge.send('subscriptions/listen', listen)
    const heard = (method: string) =>
      eventually(() => bridge.notifications(`notifications/${method}`)).toMatchObject([
        { params: { _meta: { 'io.modelcontextprotocol/subscriptionId': id } } },
      ])
    await heard('subscriptions/acknowledged')
    await app.decide(request_id, { option: 'Approve' })
    await heard('resources/updated')
    bridge.notify('notifications/cancelled', { requestId: id })
    await bridge.ask('server/discover', { _meta })
    expect(bridge.messages.filter((message) => message.id === id)).toEqual([])
  })

  test('two calls with the same arguments are two questions', async () => {
    await using bridge = await connected(app)
    for (let call = 0; call < 2; call++) {
      await bridge.call('request_human_input', { ...QUESTION, wait_seconds: 0 })
    }
    expect(await pending(app)).toHaveLength(2)
  })

  test('what can not be read is told by its id, and the next line is served', async () => {
    await using bridge = await connected(app)
    const long = bridge.send('tools/call', {
      name: 'request_human_input',
      arguments: { message: 'x'.repeat(2_000_000) },
    })
    expect((await bridge.answer(long)).error?.message).toMatch(/larger than 256 KiB/)
    bridge.write('{"jsonrpc": \n')
    expect(await bridge.answer(null)).toMatchObject({ error: { code: -32_700 } })
    bridge.write('{"jsonrpc":"2.0","id":"odd","method":5}\n[{"jsonrpc":"2.0"}]\n\n')
    await eventually(() =>
      bridge.messages.filter(({ error }) => error?.code === -32_600),
    ).toHaveLength(2)
    expect(await bridge.ask('ping')).toMatchObject({ result: {} })
  })

  test('an array is answered by an array in the revision that has them', async () => {
    await using bridge = new BridgeProcess(['--url', app.url])
    await bridge.initialize('2025-03-26')
    const ping = (id: string) => ({ jsonrpc: '2.0', id, method: 'ping' })
    bridge.write(`${JSON.stringify([ping('a'), 5, ping('b')])}\n`)
    await eventually(() => bridge.said.find((one) => Array.isArray(one))).toMatchObject([
      { id: 'a', result: {} },
      { id: null, error: { code: -32_600 } },
      { id: 'b', result: {} },
    ])
  })

  test.each(['SIGTERM', 'SIGINT', 'the end of its input'] as const)(
    '%s ends it within two seconds while a call waits, and leaves the question open',
    async (end) => {
      await using bridge = await connected(app)
      bridge.send('tools/call', { name: 'request_human_input', arguments: QUESTION })
      await open(app)
      const from = performance.now()
      if (end === 'the end of its input') bridge.endInput()
      else bridge.signal(end)
      expect(await bridge.exit()).toBe(0)
      expect(performance.now() - from).toBeLessThan(2_000)
      expect(await pending(app)).toHaveLength(1)
    },
  )

  test('answers what came before the end of its input', async () => {
    await using bridge = new BridgeProcess([], { LOOPGATE_URL: app.url })
    const id = bridge.send('tools/call', { name: 'list_pending_requests', arguments: {} })
    bridge.endInput()
    expect(await bridge.exit()).toBe(0)
    expect(await bridge.answer(id)).toMatchObject({ result: { structuredContent: { count: 0 } } })
  })

  test('asks in the session that --session names', async () => {
    const sessions = ['one', 'two']
    for (const session_id of sessions) await app.register({ session_id })
    await using bridge = await connected(app, '2025-11-25', ['--session', 'two'])
    await bridge.call('request_human_input', { ...QUESTION, wait_seconds: 0 })
    expect(await pending(app)).toMatchObject([{ session_id: 'two' }])
    for (const session_id of sessions) await app.post('/hitl/deactivate', { session_id })
  })
})

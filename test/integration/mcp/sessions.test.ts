import { describe, expect, test } from 'vitest'
import { FakeClock } from '../../support/clock.ts'
import { openTestDatabase } from '../../support/database.ts'
import { McpClient } from '../../support/readers/mcp.ts'
import { openServer, serve, startOn } from '../../support/readers/server.ts'
import { NOWHERE } from '../../support/tenants.ts'
import { NOW, OPTIONS, Seat, viewOf } from './seat.ts'

/** Sessions of MCP clients up to revision 2025-11-25. */

const app = serve('pglite')

const initialize = (params: object = {}, id: unknown = 1) => ({
  jsonrpc: '2.0',
  id,
  method: 'initialize',
  params: {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'test', version: '1' },
    ...params,
  },
})

const ACCEPT = { accept: 'application/json, text/event-stream' }

/** What a raw post is answered, as status and JSON-RPC. */
async function post(body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(`${app().url}/mcp`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...ACCEPT, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  const text = await response.text()
  const json = text.startsWith('{') ? text : (/^data: (.*)$/m.exec(text)?.[1] ?? 'null')
  return { status: response.status, headers: response.headers, body: JSON.parse(json) }
}

const gone = { status: 404, code: -32_001 }

describe('a session', () => {
  test('begins with initialize, which says who we are and how to work with us', async () => {
    await using client = await McpClient.open(app())
    expect(client.sessionId).toMatch(/^[\x21-\x7e]{20,}$/)
    expect(client.welcome).toMatchObject({
      protocolVersion: '2025-11-25',
      serverInfo: { name: 'loopgate', version: '0.0.0-test' },
      capabilities: {
        tools: {},
        resources: { subscribe: true },
        tasks: { requests: { tools: { call: {} } } },
      },
      instructions: expect.stringContaining('Only outcome "approved" is an approval'),
    })
    expect(await client.request('ping').answer()).toEqual({})
  })

  test.each(['2024-10-07', '2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'])(
    'speaks %s with whoever asks for it',
    async (protocolVersion) => {
      const { body, headers } = await post(initialize({ protocolVersion }))
      expect(body.result.protocolVersion).toBe(protocolVersion)
      const session = { 'mcp-session-id': headers.get('mcp-session-id') ?? '' }
      const list = { jsonrpc: '2.0', id: 2, method: 'tools/list' }
      const versioned = { ...session, 'mcp-protocol-version': protocolVersion }
      expect((await post(list, versioned)).body.result.tools).toHaveLength(9)
      expect((await post(list, session)).body.result.tools).toHaveLength(9)
    },
  )

  test('offers its newest revision to whoever asks for one that is not known', async () => {
    const { body } = await post(initialize({ protocolVersion: '2099-01-01' }))
    expect(body.result.protocolVersion).toBe('2025-11-25')
  })

  test('has ended after DELETE: 404 from then on, also for its standing stream', async () => {
    const client = await McpClient.open(app())
    const standing = await client.listen()
    expect(await client.end()).toBe(200)
    await standing.ended
    await expect(client.request('tools/list').answer()).rejects.toMatchObject(gone)
    expect(await client.end()).toBe(404)
    await expect(client.listen()).rejects.toThrow('404')
  })

  test('that never was is 404, and a call without one is 400', async () => {
    for (const id of [NOWHERE, 'none', '%00']) {
      const list = await post(
        { jsonrpc: '2.0', id: 1, method: 'tools/list' },
        { 'mcp-session-id': id },
      )
      expect(list).toMatchObject({ status: 404, body: { error: { code: -32_001 } } })
    }
    const list = await post({ jsonrpc: '2.0', id: 1, method: 'tools/list' })
    expect(list).toMatchObject({ status: 400, body: { error: { code: -32_000 }, id: null } })
  })

  test('has one spelling of its id: another is 404', async () => {
    await using client = await McpClient.open(app())
    const headers = { 'mcp-session-id': client.sessionId.toUpperCase() }
    expect((await post({ jsonrpc: '2.0', id: 1, method: 'ping' }, headers)).status).toBe(404)
    expect(await client.request('ping').answer()).toEqual({})
  })

  test('of another principal is 404: of another tenant, of another key, of a person', async () => {
    const [seat, stranger] = [await Seat.open(app()), await Seat.open(app())]
    await using client = await seat.client()
    const others = [
      stranger.key.headers,
      (await seat.beside()).key.headers,
      seat.account.headers,
      {},
    ]
    for (const headers of others) {
      await using thief = client.at(app(), headers)
      await expect(thief.request('tools/list').answer()).rejects.toMatchObject(gone)
      await expect(thief.listen()).rejects.toThrow('404')
      expect(await thief.end()).toBe(404)
    }
    expect(await client.request('ping').answer()).toEqual({})
  })

  test('has one standing stream at a time, and another when that is gone', async () => {
    await using client = await McpClient.open(app())
    const standing = await client.listen()
    await expect(client.listen()).rejects.toThrow('409')
    standing.leave()
    await expect
      .poll(
        () =>
          client.listen().then(
            () => 'open',
            () => 'refused',
          ),
        { timeout: 10_000 },
      )
      .toBe('open')
  })

  test('with an unknown MCP-Protocol-Version is 400', async () => {
    await using client = await McpClient.open(app())
    const headers = { 'mcp-session-id': client.sessionId, 'mcp-protocol-version': '1999-01-01' }
    const { status } = await post({ jsonrpc: '2.0', id: 1, method: 'ping' }, headers)
    expect(status).toBe(400)
  })

  test('of a client that can not take a stream is 406', async () => {
    const { status } = await post(initialize(), { accept: 'application/json' })
    expect(status).toBe(406)
  })
})

describe('initialize is refused, with the place, when it holds', () => {
  test.each([
    ['NUL', { clientInfo: { name: 'a\0b', version: '1' } }, '/params/clientInfo/name'],
    [
      'a lone surrogate',
      { clientInfo: { name: '\ud800', version: '1' } },
      '/params/clientInfo/name',
    ],
  ])('%s', async (_, params, path) => {
    const { status, body } = await post(initialize(params))
    expect(status).toBe(400)
    expect(body).toMatchObject({ jsonrpc: '2.0', id: null, error: { code: -32_602 } })
    expect(body.error.data.errors).toEqual([expect.objectContaining({ path })])
  })

  test('__proto__', async () => {
    const text = JSON.stringify(initialize()).replace(
      '"capabilities":{}',
      '"capabilities":{"__proto__":{}}',
    )
    const { status, body } = await post(text)
    expect({ status, code: body.error.code }).toEqual({ status: 400, code: -32_602 })
    expect(body.error.message).toContain('/params/capabilities/__proto__')
  })

  test('nothing of what it needs', async () => {
    const { status, body } = await post({ jsonrpc: '2.0', id: 1, method: 'initialize' })
    expect({ status, error: body.error }).toMatchObject({
      status: 400,
      error: { code: -32_602, message: expect.stringContaining('/params: is required') },
    })
  })
})

test('a session survives a restart, with what the client said of itself', async () => {
  await using opened = new AsyncDisposableStack()
  const server = opened.use(await openServer('pglite'))
  const seat = await Seat.open(server.app)
  await seat.register('one')
  const client = await seat.client({ name: 'Old Friend', capabilities: { elicitation: {} } })
  const before = await client.tool('request_human_input', {
    message: 'Deploy?',
    options: OPTIONS,
    ...NOW,
  })
  const { request_id } = viewOf(before)
  await server.app.app.stop()
  const next = opened.use(await startOn(server.place))
  await using same = client.at(next)
  const after = viewOf(await same.tool('check_request_status', { request_id }))
  expect(after).toMatchObject({ request_id, status: 'pending' })
  expect(await same.request('ping').answer()).toEqual({})
  // Many that come back together find one session.
  const pings = Array.from({ length: 10 }, () => same.request('ping').answer())
  expect(await Promise.all(pings)).toEqual(Array(10).fill({}))
  expect(await same.end()).toBe(200)
  await expect(same.request('ping').answer()).rejects.toMatchObject(gone)
}, 30_000)

test('a session is the same at another process, and ended there it is ended', async () => {
  await using opened = new AsyncDisposableStack()
  const database = opened.use(await openTestDatabase('postgres'))
  const place = { DATABASE_URL: database.url ?? '' }
  const one = opened.use(await startOn(place))
  const two = opened.use(await startOn(place))
  const seat = await Seat.open(one)
  await seat.register('one')
  const client = await seat.client()
  const asked = await client.tool('request_human_input', {
    message: 'Deploy?',
    options: OPTIONS,
    ...NOW,
  })
  const there = client.at(two)
  const { request_id } = viewOf(asked)
  const held = there.tool('check_request_status', { request_id, wait_seconds: 30 })
  await seat.decide({ request_id }, { option: 'Yes' })
  expect(viewOf(await held).approved).toBe(true)
  expect(await there.end()).toBe(200)
  await expect(client.request('ping').answer()).rejects.toMatchObject(gone)
}, 30_000)

test('a session that nobody used for minutes is let go, and goes on when it is used', async () => {
  const clock = new FakeClock()
  await using idle = await startOn({ LOOPGATE_DATA_DIR: 'memory://' }, {}, clock)
  await using client = await McpClient.open(idle)
  await using listener = await McpClient.open(idle)
  const standing = await listener.listen()
  for (let minute = 0; minute < 8; minute++) {
    clock.advance(60_000)
    // Who is due is let go in turns of the loop, and then the next round is set.
    await new Promise(setImmediate)
  }
  expect(await client.request('ping').answer()).toEqual({})
  expect((await client.tool('list_pending_requests')).structuredContent).toMatchObject({ count: 0 })
  // Who listens is no idler.
  expect(standing.failure).toBeUndefined()
  await expect(listener.listen()).rejects.toThrow('409')
}, 30_000)

test('beyond a thousand sessions of a tenant the oldest is forgotten, and the newest work', async () => {
  await using oldest = await McpClient.open(app())
  const clients = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const opened = []
      for (let i = 0; i < 50; i++)
        opened.push((await post(initialize())).headers.get('mcp-session-id') ?? '')
      return opened
    }),
  )
  await expect(oldest.request('ping').answer()).rejects.toMatchObject(gone)
  const newest = clients.at(-1)?.at(-1) ?? ''
  const ping = { jsonrpc: '2.0', id: 1, method: 'ping' }
  expect((await post(ping, { 'mcp-session-id': newest })).body.result).toEqual({})
}, 60_000)

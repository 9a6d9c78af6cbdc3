import { describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { calling, MCP_WAYS, type McpLine, modernMeta, textOf } from '../support/mcp.ts'
import { askAs, NOWHERE, SAME, twoTenants } from '../support/tenants.ts'

/** A71: messages that are none, and more of them than anybody sends. */

const here = twoTenants()

const PARSE_ERROR = -32_700
const INVALID_REQUEST = -32_600
const METHOD_NOT_FOUND = -32_601
const INVALID_PARAMS = -32_602
const HEADER_MISMATCH = -32_020

const [SESSION, MODERN, BARE] = MCP_WAYS.map(({ name }) => name)

/** What a request has around its method, in each way. */
const frame = (way: string): object => (way === BARE ? {} : { jsonrpc: '2.0' })
const meta = (way: string): object => (way === MODERN ? { _meta: modernMeta() } : {})
const LISTING = { 'mcp-method': 'tools/list' }

describe.each(MCP_WAYS)('A71: over $name', ({ name: way, open }) => {
  const openOurs = (): Promise<McpLine> => open(here().app.url, here().ours.key.headers)
  const list = { ...frame(way), method: 'tools/list', params: meta(way) }

  test.each([
    ...['', '{', 'nul', '{"id":1,}', "{'id':1}", '\ufeff{}', '[', '['.repeat(5_000)],
    `${'['.repeat(40)}${']'.repeat(40)}`,
  ])('what is not JSON is said not to be: %j', (body) =>
    here().server.attack(async () => {
      const answer = await (await openOurs()).post(body)
      expect(answer).toMatchObject({ status: 400, id: null, error: { code: PARSE_ERROR } })
    }),
  )

  test.each(['1', 'true', 'null', '"tools/list"', '[]', '[1]', '[[]]', '[{}]', '[null]'])(
    'what is no message is refused: %j',
    (body) =>
      here().server.attack(async () => {
        const answer = await (await openOurs()).post(body)
        expect(answer).toMatchObject({ id: null, error: { code: INVALID_REQUEST } })
      }),
  )

  test.for([{}, [], true, [1], { id: 1 }])(
    'an id that JSON-RPC does not know is refused: %j',
    (id) =>
      here().server.attack(async () => {
        const answer = await (await openOurs()).post(JSON.stringify({ ...list, id }), LISTING)
        expect(answer).toMatchObject({ id: null, error: { code: INVALID_REQUEST } })
      }),
  )

  test.for([
    [{ method: 5 }, INVALID_REQUEST],
    [{ method: undefined }, INVALID_REQUEST],
    [{ method: ['tools/list'] }, INVALID_REQUEST],
    [{ params: [] }, way === BARE ? INVALID_PARAMS : INVALID_REQUEST],
    [{ params: 'x' }, way === BARE ? INVALID_PARAMS : INVALID_REQUEST],
    [{ jsonrpc: '1.0' }, INVALID_REQUEST],
    [{ jsonrpc: 2 }, INVALID_REQUEST],
  ] as const)('a request whose form is wrong is refused: %j', ([wrong, code]) =>
    here().server.attack(async () => {
      const body = JSON.stringify({ ...list, id: 1, ...wrong })
      expect((await (await openOurs()).post(body, LISTING)).error?.code).toBe(code)
    }),
  )

  test.each([
    ...[{ name: 5 }, {}, { name: null }, { name: ['request_human_input'] }],
    ...[
      { name: 'nothing' },
      { name: '' },
      { name: 'constructor' },
      { name: 'REQUEST_HUMAN_INPUT' },
    ],
  ])('a tool that is none is said not to be there: %j', (params) =>
    here().server.attack(async () => {
      const answer = await (await openOurs()).request('tools/call', params, 1)
      expect(answer).toMatchObject({ id: 1, error: { code: INVALID_PARAMS } })
    }),
  )

  test.each([
    '',
    'tools',
    'tools/list/',
    'rpc.discover',
    'constructor',
    'prompts/get',
    'sampling/createMessage',
  ])('a method that is none is said not to be there: %j', (method) =>
    here().server.attack(async () => {
      const answer = await (await openOurs()).request(method, {}, 1)
      expect([METHOD_NOT_FOUND, HEADER_MISMATCH]).toContain(answer.error?.code)
    }),
  )

  test.for(['x', 5, true, [], ['message']])(
    'arguments that are no object ask nothing: %j',
    (input) =>
      here().server.attack(async () => {
        const line = await openOurs()
        const params = { name: 'request_human_input', arguments: input }
        const { error, ...answer } = await line.request('tools/call', params, 1)
        const isRefused = error?.code === INVALID_PARAMS
        expect(isRefused || textOf(answer).startsWith('INVALID_INPUT')).toBe(true)
      }),
  )

  test.each([
    ['request_human_input', { message: 5 }, '/message'],
    ['request_human_input', { message: 'x', options: 'Yes' }, '/options'],
    ['request_human_input', { message: 'x', wait_seconds: '5' }, '/wait_seconds'],
    ['request_human_input', { message: 'x', timeout_seconds: null }, '/timeout_seconds'],
    ['hitl_request', { message: 'a\u0000b' }, '/message'],
    ['check_request_status', { request_id: { $ne: null } }, '/request_id'],
    ['cancel_request', {}, '/request_id'],
    ['register_callback', { url: ['http://example.com'] }, '/url'],
    [
      'request_approval',
      { action_description: 'x', action_details: {}, timeout_hours: 0 },
      '/timeout_hours',
    ],
    ['permission_prompt', { tool_name: 'Bash', input: 'rm' }, '/input'],
  ])('an argument of a wrong type is named: %s %j', (tool, input, path) =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const line = await open(`${app.url}?session_id=same`, ours.key.headers)
      const said = textOf(await line.request('tools/call', calling(tool, input), 1))
      expect(said).toContain(`INVALID_INPUT: ${path}: `)
    }),
  )

  test('a body that is too large is not read', () =>
    here().server.attack(async () => {
      const body = JSON.stringify({ ...list, id: 1, more: 'x'.repeat(300_000) })
      expect((await (await openOurs()).post(body, LISTING)).status).toBe(413)
    }))

  test('a thousand notifications about nothing end nothing and leave nothing', () =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const [line, other] = [await openOurs(), await openOurs()]
      const question = { ...SAME, message: ours.asked.message, options: ['Yes', 'No'] }
      const params = calling('request_human_input', { ...question, wait_seconds: 3 })
      const held = other.request('tools/call', params, 7)
      const notices = ['cancelled', 'progress', 'initialized', 'tasks/status', 'nothing']
      for (let round = 0; round < 50; round++) {
        const sent = Array.from({ length: 20 }, (_, i) => {
          const method = `notifications/${notices[i % notices.length]}`
          const about = { requestId: 7, progressToken: 7, progress: 1, taskId: NOWHERE }
          const body = { ...frame(way), method, params: { ...about, ...meta(way) } }
          return line.post(JSON.stringify(body), { 'mcp-method': method })
        })
        for (const { status } of await Promise.all(sent)) expect(status).toBeLessThan(500)
      }
      // Of another session's call nobody else can say that it is not waited for.
      expect(JSON.parse(textOf(await held))).toMatchObject({ status: 'pending' })
      const streams = async () => await (await fetch(`${app.url}/metrics`, ours.key)).text()
      await eventually(streams).not.toMatch(
        /^loopgate_stream_connections\{transport="mcp"\} [1-9]/m,
      )
    }))
})

describe(`A71: over ${SESSION}, more requests than one`, () => {
  const tools = { jsonrpc: '2.0', method: 'tools/list' }
  const openOurs = async (): Promise<McpLine> => {
    const { app, ours } = here()
    const line = await MCP_WAYS[0]?.open(app.url, ours.key.headers)
    if (!line) throw new Error('there is no such way')
    return line
  }

  test('in one batch are answered, and no more than a hundred', () =>
    here().server.attack(async () => {
      const line = await openOurs()
      const batch = (size: number) =>
        JSON.stringify(Array.from({ length: size }, (_, id) => ({ ...tools, id })))
      expect((await line.post(batch(100))).result).toMatchObject({ tools: expect.anything() })
      expect(await line.post(batch(101))).toMatchObject({ error: { code: INVALID_REQUEST } })
    }))

  test.each(['x', NOWHERE, 'a'.repeat(5_000), '../..', '%00', "' OR 1=1"])(
    'in a session that is none are refused: %j',
    (session) =>
      here().server.attack(async () => {
        const line = await openOurs()
        const body = JSON.stringify({ ...tools, id: 1 })
        expect(await line.post(body, { 'mcp-session-id': session })).toMatchObject({
          status: 404,
          error: { code: expect.any(Number) },
        })
      }),
  )
})

describe(`A71: over ${MODERN}, what the headers say is what the body says:`, () => {
  const NAMES = { 'mcp-method': 'tools/call', 'mcp-name': 'check_request_status' }

  test.for([
    [{ 'mcp-name': 'cancel_request' }],
    [{ 'mcp-name': 'Check_Request_Status' }],
    [{ 'mcp-name': '' }],
    [{ 'mcp-method': 'tools/list' }],
    [{ 'mcp-method': 'TOOLS/CALL' }],
    [{ 'mcp-protocol-version': '2025-11-25' }],
    [{ 'mcp-protocol-version': '2099-01-01' }],
  ])('%j is refused', ([wrong]) =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const line = await MCP_WAYS[1]?.open(app.url, ours.key.headers)
      const { request_id } = await askAs(app, ours.key.headers, { ...SAME, message: 'Whose?' })
      const params = { ...calling('check_request_status', { request_id }), _meta: modernMeta() }
      const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params })
      const right = await line?.post(body, NAMES)
      expect(right?.result).toMatchObject({ resultType: 'complete' })
      const answer = await line?.post(body, { ...NAMES, ...wrong })
      expect(answer).toMatchObject({ status: 400, id: 1, error: { code: HEADER_MISMATCH } })
    }),
  )
})

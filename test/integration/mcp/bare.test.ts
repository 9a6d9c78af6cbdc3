import { beforeAll, describe, expect, test } from 'vitest'
import { ask as http } from '../../support/readers/http.ts'
import { serve } from '../../support/readers/server.ts'
import { startGuarded } from '../../support/tenants.ts'
import { NOW, OPTIONS, Seat, viewOf } from './seat.ts'

/** JSON-RPC as old clients of Loopgate send it: no `jsonrpc`, no handshake, answered in kind. */

const app = serve('pglite')

let seat: Seat
beforeAll(async () => {
  seat = await Seat.open(app())
  await seat.register('one')
}, 30_000)

/** As it was sent, and as it came back. */
async function post(body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const answer = await http(`${app().url}/mcp`, {
    ...{ method: 'POST', body: text },
    headers: { 'x-api-key': seat.key.key, 'content-type': 'application/json', ...headers },
  })
  return { status: answer.status, headers: answer.headers, body: JSON.parse(answer.text) }
}

const call = (name: string, input: object = {}) => ({
  ...{ id: 7, method: 'tools/call' },
  params: { name, arguments: input },
})

describe('a method', () => {
  test.each([
    ['initialize', { protocolVersion: expect.any(String), serverInfo: { name: 'loopgate' } }],
    ['notifications/initialized', {}],
    ['ping', {}],
    [
      'tools/list',
      { tools: expect.arrayContaining([expect.objectContaining({ name: 'hitl_request' })]) },
    ],
  ])('%s is answered with a result and the id, and nothing else', async (method, result) => {
    const answer = await post({ id: 'a', method })
    expect(answer).toMatchObject({ status: 200, body: { result, id: 'a' } })
    expect(Object.keys(answer.body).sort()).toEqual(['id', 'result'])
    expect(answer.headers['content-type']).toContain('application/json')
    expect(answer.headers['mcp-session-id']).toBeUndefined()
  })

  test.each([7, 0, 'a', null])('with the id %j has it back', async (id) => {
    expect((await post({ id, method: 'ping' })).body).toEqual({ result: {}, id })
  })

  test('without an id has a null one', async () => {
    expect((await post({ method: 'ping' })).body).toEqual({ result: {}, id: null })
    expect((await post({ method: 'none' })).body).toMatchObject({ id: null })
  })
})

describe('an error', () => {
  test.each<[string, unknown, number]>([
    ['an unknown method', { id: 1, method: 'tools/burn' }, -32_601],
    ['an unknown tool', { id: 1, method: 'tools/call', params: { name: 'none' } }, -32_602],
    ['no name', { id: 1, method: 'tools/call', params: {} }, -32_602],
    ['a name that is none', { id: 1, method: 'tools/call', params: { name: 7 } }, -32_602],
    ['params that are none', { id: 1, method: 'ping', params: [1] }, -32_602],
    ['null params', { id: 1, method: 'ping', params: null }, -32_602],
    ['no method', { id: 1 }, -32_600],
    ['a method that is none', { id: 1, method: 7 }, -32_600],
  ])('%s is %#', async (_, body, code) => {
    const answer = await post(body)
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({
      error: expect.objectContaining({ code, message: expect.stringMatching(/\S/) }),
      id: 1,
    })
  })

  test('nothing at all is -32600', async () => {
    expect((await post({})).body).toMatchObject({ error: { code: -32_600 }, id: null })
  })

  test.each(['{', '', 'hello', '{"method": }', '[1,', '\xff'])(
    '%j is -32700, with a null id',
    async (text) => {
      const { status, body } = await post(text)
      expect(status).toBe(400)
      expect(body).toMatchObject({
        error: { code: -32_700, message: expect.any(String) },
        id: null,
      })
    },
  )

  test.each([5, '"text"', 'null', 'true'])('%j is JSON, and no request: -32600', async (text) => {
    const { status, body } = await post(String(text))
    expect(status).toBe(200)
    expect(body).toMatchObject({ error: { code: -32_600 }, id: null })
  })

  test('a body that is too large is 413', async () => {
    const { status } = await post({ method: 'ping', params: { a: 'x'.repeat(300_000) } })
    expect(status).toBe(413)
  })
})

describe('a call of a tool', () => {
  test('asks, and finds, and says in the result what was wrong', async () => {
    const asked = await post(call('hitl_request', { message: 'Deploy?', options: OPTIONS, ...NOW }))
    const { request_id } = viewOf(asked.body.result)
    await seat.decide({ request_id }, { option: 'Yes' })
    const found = await post(call('check_request_status', { request_id }))
    expect(viewOf(found.body.result).approved).toBe(true)
    const wrong = await post(call('check_request_status', { request_id: 'none' }))
    expect(wrong.body).toMatchObject({ id: 7, result: { isError: true } })
  })

  test.each([
    ['text/plain', {}],
    ['application/x-www-form-urlencoded', {}],
    ['application/octet-stream', {}],
    ['application/json; charset=utf-8', {}],
    ['application/json', { accept: 'text/html' }],
    ['application/json', { accept: 'application/json' }],
  ])('comes as %s with %j all the same', async (type, headers) => {
    const { status, body } = await post(
      { id: 1, method: 'ping' },
      { 'content-type': type, ...headers },
    )
    expect({ status, body }).toEqual({ status: 200, body: { result: {}, id: 1 } })
  })

  test('comes without any content type all the same', async () => {
    const headers = { 'x-api-key': seat.key.key }
    const body = Buffer.from('{"id":1,"method":"ping"}')
    const answer = await http(`${app().url}/mcp`, { method: 'POST', headers, body })
    expect(JSON.parse(answer.text)).toEqual({ result: {}, id: 1 })
  })

  test('of a page comes as JSON from our own origin alone', async () => {
    const ping = { id: 1, method: 'ping' }
    const own = { origin: app().url }
    expect((await post(ping, own)).status).toBe(200)
    for (const type of ['text/plain', 'application/x-www-form-urlencoded']) {
      expect((await post(ping, { ...own, 'content-type': type })).status).toBe(415)
    }
    for (const type of ['text/plain', 'application/json']) {
      const foreign = { origin: 'https://evil.example', 'content-type': type }
      expect((await post(ping, foreign)).status).toBe(403)
    }
  })
})

test('GET /mcp/capabilities says what there is', async () => {
  const { status, body } = await app().get('/mcp/capabilities')
  expect({ status, body }).toEqual({
    status: 200,
    body: {
      capabilities: { tools: {}, resources: { subscribe: true } },
      serverInfo: { name: 'loopgate', version: '0.0.0-test' },
    },
  })
})

test('who has no key is told in a 401 what to do, on every route and by every revision', async () => {
  await using server = await startGuarded()
  const { url } = server.app
  const initialize = '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}'
  for (const [method, path, body] of [
    ['POST', '/mcp', '{"method":"ping"}'],
    ['POST', '/mcp', initialize],
    ['POST', '/mcp', 'not JSON'],
    ['GET', '/mcp', undefined],
    ['DELETE', '/mcp', undefined],
    ['GET', '/mcp/tools', undefined],
    ['GET', '/mcp/capabilities', undefined],
  ] as const) {
    for (const key of [{}, { 'x-api-key': 'lk_pub_wrong' }]) {
      const headers = { 'content-type': 'application/json', ...key }
      const answer = await http(url + path, { method, headers, ...(body && { body }) })
      expect(answer).toMatchObject({ status: 401 })
      expect(answer.headers['www-authenticate']).toMatch(/^Bearer/)
      expect(JSON.parse(answer.text)).toMatchObject({
        code: 'UNAUTHORIZED',
        detail: expect.stringMatching(/key/i),
      })
    }
  }
  const registered = await http(`${url}/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  })
  expect(registered.status).toBe(404)
  expect(registered.text).toMatch(/API keys.*Authorization: Bearer/)
}, 30_000)

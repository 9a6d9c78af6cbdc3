import { beforeAll, describe, expect, test } from 'vitest'
import type { ModernClient } from '../../support/readers/mcp.ts'
import { serve } from '../../support/readers/server.ts'
import { OPTIONS, Seat } from './seat.ts'

/** Revision 2026-07-28: no session, every request for itself. */

const app = serve('pglite')

let seat: Seat
let client: ModernClient
beforeAll(async () => {
  seat = await Seat.open(app())
  await seat.register('one')
  client = seat.modern()
}, 30_000)

const META = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
}

async function post(body: object, headers: Record<string, string>) {
  const response = await fetch(`${app().url}/mcp`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...seat.key.headers,
      ...headers,
    },
    body: JSON.stringify(body),
  })
  return { status: response.status, body: JSON.parse(await response.text()) }
}

test('server/discover says what there is, without a session', async () => {
  const discovered = client.request('server/discover')
  expect(await discovered.answer()).toMatchObject({
    resultType: 'complete',
    supportedVersions: expect.arrayContaining(['2026-07-28']),
    capabilities: {
      tools: {},
      resources: { subscribe: true },
      extensions: { 'io.modelcontextprotocol/tasks': {} },
    },
    instructions: expect.stringContaining('Only outcome "approved" is an approval'),
    ttlMs: expect.any(Number),
    cacheScope: 'public',
    _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'loopgate', version: '0.0.0-test' } },
  })
  expect((await discovered.head).headers.get('mcp-session-id')).toBeNull()
})

describe('a request', () => {
  const list = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: META } }
  const version = { 'mcp-protocol-version': '2026-07-28' }

  test.each([
    ['another Mcp-Method', { ...version, 'mcp-method': 'tools/call' }],
    ['no Mcp-Method', version],
  ])('with %s is -32020', async (_, headers) => {
    const answer = await post(list, headers)
    expect(answer).toMatchObject({ status: 400, body: { error: { code: -32_020 } } })
  })

  test('with another Mcp-Name is -32020, and asks nobody', async () => {
    const body = {
      ...{ jsonrpc: '2.0', id: 1, method: 'tools/call' },
      params: { name: 'request_human_input', arguments: { message: 'Deploy?' }, _meta: META },
    }
    const headers = { ...version, 'mcp-method': 'tools/call', 'mcp-name': 'check_request_status' }
    expect(await post(body, headers)).toMatchObject({
      status: 400,
      body: { error: { code: -32_020 } },
    })
    expect(await seat.pending()).toEqual([])
  })

  test('of a version that is to come is -32022, and names those that are there', async () => {
    const params = { _meta: { ...META, 'io.modelcontextprotocol/protocolVersion': '2099-01-01' } }
    const headers = { 'mcp-protocol-version': '2099-01-01', 'mcp-method': 'tools/list' }
    expect(await post({ ...list, params }, headers)).toMatchObject({
      status: 400,
      body: {
        error: { code: -32_022, data: { supported: expect.arrayContaining(['2026-07-28']) } },
      },
    })
  })

  test('of an unknown method is 404 and -32601', async () => {
    const unknown = client.request('tools/burn')
    await expect(unknown.answer()).rejects.toMatchObject({ status: 404, code: -32_601 })
  })

  test('of an old revision is not taken for one: ping is for sessions', async () => {
    await expect(client.request('ping').answer()).rejects.toMatchObject({ code: -32_601 })
  })
})

test('a call that ends with its connection leaves the question open', async () => {
  const call = client.call('request_human_input', { message: 'Deploy?', options: OPTIONS })
  const asked = await seat.asked()
  call.leave()
  const decided = await seat.decide(asked, { option: 'Yes' })
  expect(decided.approved).toBe(true)
})

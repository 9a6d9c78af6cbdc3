import { describe, expect, test } from 'vitest'
import { makeKey, revokeKey } from '../support/accounts.ts'
import { eventually } from '../support/eventually.ts'
import { callModern, openSession, post, toolCall } from '../support/mcp-attacks.ts'
import { SAME, twoTenants } from '../support/tenants.ts'

/** Over MCP: what is another's does not exist, and who is let in no more hears nothing more. */

const here = twoTenants()

describe('A02, A09: a session', () => {
  test('is its key’s alone', () =>
    here().server.attack(async () => {
      const { app, ours, theirs } = here()
      const { headers } = await makeKey(app, ours.account)
      const session = await openSession(app.url, { headers: ours.key.headers })
      const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' }
      for (const others of [headers, ours.account.headers, theirs.key.headers]) {
        const stolen = { ...session, ...others }
        expect((await post(app.url, list, stolen)).status).toBe(404)
        const response = { jsonrpc: '2.0', id: 0, result: { action: 'accept' } }
        expect((await post(app.url, response, stolen)).status).toBe(404)
        for (const method of ['GET', 'DELETE']) {
          const init = { method, headers: { accept: 'text/event-stream', ...stolen } }
          expect((await fetch(`${app.url}/mcp`, init)).status).toBe(404)
        }
      }
      expect((await post(app.url, list, session)).status).toBe(200)
    }))

  test('ends with its key', () =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const { id, headers } = await makeKey(app, ours.account)
      const session = await openSession(app.url, { headers })
      await revokeKey(app, ours.account, id)
      const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' }
      expect((await post(app.url, list, session)).status).toBe(401)
      expect((await post(app.url, list, { ...session, ...ours.key.headers })).status).toBe(404)
    }))
})

describe('A02: with its id, another tenant’s question', () => {
  const BY_METHOD = {
    'tasks/get': (id: string) => ({ taskId: id }),
    'tasks/result': (id: string) => ({ taskId: id }),
    'tasks/cancel': (id: string) => ({ taskId: id }),
    'resources/read': (id: string) => ({ uri: `loopgate://requests/${id}` }),
    'resources/subscribe': (id: string) => ({ uri: `loopgate://requests/${id}` }),
  }
  test.for(Object.entries(BY_METHOD))('is as none: %s', ([method, params]) =>
    here().server.attack(async () => {
      const { app, ours, theirs } = here()
      const session = await openSession(app.url, { headers: theirs.key.headers })
      const { request_id } = ours.asked
      const { messages } = await post(
        app.url,
        { jsonrpc: '2.0', id: 1, method, params: params(request_id) },
        session,
      )
      expect(messages).toMatchObject([{ id: 1, error: { code: expect.any(Number) } }])
      expect(JSON.stringify(messages)).not.toContain('Whose?')
    }),
  )

  test.for(['check_request_status', 'cancel_request', 'check_approval'])('is as none: %s', (name) =>
    here().server.attack(async () => {
      const { app, ours, theirs } = here()
      const { request_id } = ours.asked
      const { headers } = theirs.key
      const input = { request_id, pause_id: request_id }
      const { result } = await callModern(app.url, name, input, { headers })
      expect(result).toMatchObject({ isError: true })
      expect(JSON.stringify(result)).toContain('REQUEST_NOT_FOUND')
    }),
  )

  test('is none that a call can be resumed with', () =>
    here().server.attack(async () => {
      const { app, ours, theirs } = here()
      const input = { message: 'Whose?', options: ['Yes', 'No'], session_id: SAME.session_id }
      const { error } = await callModern(app.url, 'request_human_input', input, {
        headers: theirs.key.headers,
        params: { requestState: ours.asked.request_id },
      })
      expect(error).toMatchObject({ message: 'requestState is none of this server' })
    }))
})

describe('A09: a call that waits when its key is revoked', () => {
  const input = { message: 'Still?', options: ['Yes', 'No'], wait_seconds: 20 }
  const BY_REVISION = {
    'without revision': (url: string, headers: Record<string, string>) => {
      const { jsonrpc: _, ...bare } = toolCall(1, 'request_human_input', input)
      return post(url, bare, headers)
    },
    '2026-07-28': (url: string, headers: Record<string, string>) =>
      callModern(url, 'request_human_input', input, { headers }),
    '2025-06-18': async (url: string, headers: Record<string, string>) =>
      post(url, toolCall(1, 'request_human_input', input), await openSession(url, { headers })),
  }
  test.for(Object.entries(BY_REVISION))('ends within seconds: %s', async ([name, ask]) => {
    const { app, ours } = here()
    const { id, headers } = await makeKey(app, ours.account)
    const session_id = `revoked ${name}`
    await app.post('/hitl/register', { session_id, client_id: 'c' }, headers)
    const pending = async () => {
      const path = `/hitl/pending?session_id=${encodeURIComponent(session_id)}`
      const { body } = await app.get<{ count: number }>(path, ours.account.headers)
      return body.count
    }
    Object.assign(input, { session_id })
    const said = ask(app.url, headers).catch(() => 'cut')
    await eventually(pending).toBe(1)
    const before = performance.now()
    await revokeKey(app, ours.account, id)
    const heard = JSON.stringify(await said)
    expect(performance.now() - before).toBeLessThan(10_000)
    expect(heard).not.toContain('"request_id"')
    expect(await pending()).toBe(1)
  })
})

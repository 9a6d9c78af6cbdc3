import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bearer, openAccount, postKey } from '../support/accounts.ts'
import { WatchedServer } from '../support/hardening.ts'
import { ask, problemOf } from '../support/readers/http.ts'
import { personOf } from '../support/readers/server.ts'
import { openSocketIo } from '../support/readers/socketio.ts'
import { FrameSocket } from '../support/readers/websocket.ts'
import { from } from '../support/tenants.ts'

/** A11 and defect 29 in local mode, where a program on this machine needs no key. */

const JWT_SECRET = 'only-for-tests-and-long-enough-to-sign'

let server: WatchedServer
let asked: string
beforeAll(async () => {
  server = await WatchedServer.start({ JWT_SECRET })
  await server.app.register()
  asked = (await server.app.ask({ options: ['Yes', 'No'] })).request_id
})
afterAll(() => server[Symbol.asyncDispose]())

const decide = (headers: Record<string, string>, id = asked) =>
  server.app.post(`/api/requests/${id}/decision`, { option: 'Yes' }, headers)

describe('A11: a program on this machine decides nothing', () => {
  test('without a credential', () =>
    server.attack(async () => {
      const forbidden = { status: 403, body: { code: 'FORBIDDEN' } }
      for (const headers of [{}, { origin: server.app.url }, { 'x-user-id': 'local' }]) {
        expect(await decide(headers as Record<string, string>)).toMatchObject(forbidden)
      }
      expect(await postKey(server.app, {})).toMatchObject(forbidden)
    }))

  test('with a code that it guesses, or that is spent', () =>
    server.attack(async () => {
      const [, code = ''] = /code=([\w-]+)/.exec(server.app.app.facts().join('\n')) ?? []
      expect(code).toHaveLength(22)
      // Spent by a person: the link works once.
      await server.app.person()
      const guesses = ['', 'x', code, code.slice(1), code.toUpperCase(), `${code}\n`, '%00', '*']
      for (const guess of guesses) {
        const answer = await server.app.post('/api/auth/link', { code: guess })
        expect(answer).toMatchObject({ status: 401, body: { code: 'UNAUTHORIZED' } })
      }
      for (const guess of [null, 7, {}, [code], { $ne: null }]) {
        const answer = await server.app.post('/api/auth/link', { code: guess })
        expect(answer).toMatchObject({ status: 400, body: { code: 'INVALID_INPUT' } })
      }
      expect((await server.app.get<object>('/api/auth/link')).status).toBe(404)
    }))

  test('as a user that it registers, whose tenant is not this machine’s', () =>
    server.attack(async () => {
      for (const name of ['local', 'console', 'local reviewer']) {
        const token = (await openAccount(server.app, name)).token
        server.keepSecret(token)
        expect((await decide(bearer(token))).status).toBe(404)
        const pending = await server.app.get<object>('/hitl/pending', bearer(token))
        expect(pending.body).toMatchObject({ count: 0 })
      }
    }))

  test('from elsewhere, as one of this machine', () =>
    server.attack(async () => {
      for (const headers of [from('203.0.113.7'), from('127.0.0.1'), { forwarded: 'for=_x' }]) {
        const path = `/hitl/poll?request_id=${asked}`
        const given = headers as Record<string, string>
        expect((await decide(given)).status).toBe(401)
        expect((await server.app.get(path, given)).status).toBe(401)
        const opened = FrameSocket.open(server.app.url, { headers: given })
        await expect(opened).rejects.toMatchObject({ status: 401 })
        const joined = openSocketIo(server.app.url, { extraHeaders: given })
        await expect(joined).rejects.toMatchObject({ data: { code: 'UNAUTHORIZED' } })
      }
    }))
})

describe('defect 29: a page in a browser on this machine', () => {
  const EVIL = 'https://evil.example'
  const body = JSON.stringify({ session_id: 's1', client_id: 'c1', message: 'Deploy?' })
  const ROUTES = ['/hitl/request', '/hitl/cancel', '/hitl/register', '/api/auth/register'] as const

  test('drives nothing by a request that needs no preflight', () =>
    server.attack(async () => {
      for (const path of ROUTES) {
        for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'text/plain;json']) {
          const headers = { 'content-type': type }
          const sent = { method: 'POST', headers, body }
          const plain = await ask(server.app.url + path, sent)
          expect([plain.status, problemOf(plain).code]).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE'])
          const crossed = { ...sent, headers: { ...headers, origin: EVIL } }
          expect((await ask(server.app.url + path, crossed)).status).toBe(403)
        }
      }
    }))

  test('reads nothing, and is told nothing by a preflight', () =>
    server.attack(async () => {
      const json = { 'content-type': 'application/json' }
      for (const origin of [EVIL, 'null']) {
        const wanted = { origin, 'access-control-request-method': 'POST' }
        for (const answer of [
          await ask(`${server.app.url}/hitl/pending`, { headers: { origin } }),
          await ask(`${server.app.url}/hitl/stream?session_id=s1`, { headers: { origin } }),
          await ask(`${server.app.url}/hitl/request`, { method: 'OPTIONS', headers: wanted }),
          await ask(`${server.app.url}/hitl/request`, {
            ...{ method: 'POST', headers: { ...json, origin }, body },
          }),
        ]) {
          expect(answer.status).toBe(403)
          expect(answer.headers['access-control-allow-origin']).toBeUndefined()
          expect(answer.text).not.toContain('Deploy')
        }
      }
    }))

  test('reads nothing either by a name of its own that leads to this machine', () =>
    server.attack(async () => {
      const port = new URL(server.app.url).port
      for (const host of [
        `evil.example:${port}`,
        `localhost.evil.example:${port}`,
        'evil.example',
      ]) {
        // To the browser it is the page's own origin.
        const headers = { host, origin: `http://${host}` }
        const answer = await ask(`${server.app.url}/hitl/pending`, { headers })
        expect([answer.status, problemOf(answer).code]).toEqual([403, 'FORBIDDEN'])
      }
    }))
})

test('a person of this machine does decide, as the forged ones above did not', async () => {
  const { request_id } = await server.app.ask({ options: ['Yes', 'No'] })
  const headers = bearer(await personOf(server.app, 'local'))
  expect((await decide(headers, request_id)).body).toMatchObject({ approved: true })
})

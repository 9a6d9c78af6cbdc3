import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { WatchedServer } from '../support/hardening.ts'
import { ask, type HttpAnswer, problemOf } from '../support/readers/http.ts'
import { personOf } from '../support/readers/server.ts'
import { Wire } from '../support/readers/wire.ts'

/** What a page in somebody's browser can do to a server on his machine. */

const JWT_SECRET = 'only-for-tests-and-long-enough-to-sign'
const APP = 'https://app.example'

let server: WatchedServer
beforeAll(async () => {
  server = await WatchedServer.start({ ALLOWED_ORIGINS: APP, JWT_SECRET })
  await server.app.register()
})
afterAll(() => server[Symbol.asyncDispose]())

const json = { 'content-type': 'application/json' }
const question = JSON.stringify({ session_id: 's1', client_id: 'c1', message: 'Deploy?' })

/** One of every kind of route that a page can reach, and one that is none. */
const ROUTES = [
  ['POST', '/hitl/register'],
  ['POST', '/hitl/request'],
  ['POST', '/hitl/cancel'],
  ['POST', '/hitl/consume'],
  ['POST', '/hitl/deactivate'],
  ['GET', '/hitl/poll?session_id=s1'],
  ['GET', '/hitl/status?session_id=s1'],
  ['GET', '/hitl/pending'],
  ['GET', '/hitl/stream?session_id=s1'],
  ['POST', '/api/requests/x/decision'],
  ['POST', '/api/auth/link'],
  ['POST', '/api/auth/register'],
  ['POST', '/api/auth/login'],
  ['POST', '/api/user/apikeys'],
  ['GET', '/api/user/apikeys'],
  ['DELETE', '/api/user/apikeys/x'],
  ['POST', '/api/tickets'],
  ['GET', '/console'],
  ['GET', '/health'],
  ['GET', '/metrics'],
  ['GET', '/.well-known/webhook-key'],
  ['GET', '/.well-known/jwks.json'],
  ['GET', '/socket.io/?EIO=4&transport=polling'],
  ['GET', '/nothing'],
] as const

const knock = (method: string, path: string, headers: Record<string, string>) =>
  ask(server.app.url + path, {
    method,
    headers: { ...headers, ...(method === 'POST' && json) },
    ...(method === 'POST' && { body: question }),
  })

/** The status of an upgrade: 101 when it was let in. */
async function upgrade(path: string, headers: Record<string, string>): Promise<number> {
  const socket = new WebSocket(server.app.url.replace('http', 'ws') + path, { headers })
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  socket.on('open', () => resolve(101))
  socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0))
  socket.on('error', reject)
  return promise.finally(() => {
    socket.on('error', () => undefined)
    socket.terminate()
  })
}

const UPGRADES = ['/ws', '/ws?session_id=s1', '/socket.io/?EIO=4&transport=websocket'] as const

const FOREIGN_ORIGINS = [
  ...['https://evil.example', 'null', 'http://localhost.evil.com', 'http://localhost:1', ''],
  ...['http://127.0.0.1', `${APP}.evil.example`, `http://app.example`, 'file://', '*'],
]

test.for(FOREIGN_ORIGINS)('A43: the Origin "%s" is refused by every stream', (origin) =>
  server.attack(async () => {
    for (const path of UPGRADES)
      expect([path, await upgrade(path, { origin })]).toEqual([path, 403])
    for (const path of ['/hitl/stream?session_id=s1', '/socket.io/?EIO=4&transport=polling']) {
      expect([path, (await knock('GET', path, { origin })).status]).toEqual([path, 403])
    }
  }),
)

test('A43: the own Origin, and one of ALLOWED_ORIGINS, opens what a foreign one does not', () =>
  server.attack(async () => {
    for (const origin of [server.app.url, APP]) {
      for (const path of UPGRADES) expect(await upgrade(path, { origin })).toBe(101)
      using wire = await Wire.open(server.app.url)
      const { host } = new URL(server.app.url)
      wire.request('GET', '/hitl/stream?session_id=s1', { Host: host, Origin: origin })
      expect(await wire.until('recovered')).toMatch(/^HTTP\/1.1 200 /)
    }
  }))

test('A43: off this machine, no Origin lets nobody in without a credential', () =>
  server.attack(async () => {
    const elsewhere = { 'x-forwarded-for': '203.0.113.7' }
    expect(await upgrade('/ws', elsewhere)).toBe(401)
    expect((await knock('GET', '/hitl/stream?session_id=s1', elsewhere)).status).toBe(401)
    const authorization = `Bearer ${await personOf(server.app, 'local')}`
    expect(await upgrade('/ws', { ...elsewhere, authorization })).toBe(101)
  }))

test.for([
  ...['evil.com', 'localhost.evil.com', '127.0.0.1.evil.com', '0.0.0.0', '[::]', '127.1'],
  ...['10.0.0.1', 'localhost@evil.com', '2130706433', 'localhost,evil.com'],
])('A44: the Host "%s" is refused by every route and every upgrade', (host) =>
  server.attack(async () => {
    for (const [method, path] of ROUTES) {
      const { status } = await knock(method, path, { host })
      expect([method, path, status]).toEqual([method, path, 403])
    }
    for (const path of UPGRADES) expect([path, await upgrade(path, { host })]).toEqual([path, 403])
  }),
)

test('A44: no Host at all is refused as well', () =>
  server.attack(async () => {
    for (const version of ['1.0', '1.1']) {
      using wire = await Wire.open(server.app.url)
      wire.write(`GET /hitl/pending HTTP/${version}`, 'Connection: close', '', '')
      expect(await wire.closed()).toMatch(/^HTTP\/1\.1 40[03] /)
    }
  }))

test.for([
  ...['text/plain', 'text/plain;charset=UTF-8', 'application/x-www-form-urlencoded', 'text/json'],
  ...[
    'application/json\t;a',
    'application/JSON ; charset=utf-7',
    'multipart/form-data; boundary=x',
  ],
  ...['application/json, text/plain', 'application/jsonp', 'text/html', '*/*', ''],
])('A45: a POST of "%s" is 415 on every route that takes a body', (type) =>
  server.attack(async () => {
    const authorization = `Bearer ${await personOf(server.app, 'ann')}`
    const headers = { 'content-type': type, authorization }
    for (const [method, path] of ROUTES) {
      if (method !== 'POST') continue
      const answer = await ask(server.app.url + path, { method, headers, body: question })
      expect([path, answer.status, problemOf(answer).code]).toEqual([
        ...[path, 415, 'UNSUPPORTED_MEDIA_TYPE'],
      ])
    }
  }),
)

const corsOf = ({ headers }: HttpAnswer) =>
  Object.keys(headers).filter((name) => name.startsWith('access-control-'))

const preflight = (path: string, origin: string) =>
  ask(server.app.url + path, {
    method: 'OPTIONS',
    headers: {
      ...{ origin, 'access-control-request-method': 'POST' },
      'access-control-request-headers': 'authorization, content-type',
    },
  })

test('A46: a preflight of an unknown Origin is told nothing that a browser would go by', () =>
  server.attack(async () => {
    for (const [, path] of ROUTES) {
      for (const origin of ['https://evil.example', 'null']) {
        const answer = await preflight(path, origin)
        expect([path, answer.status, corsOf(answer)]).toEqual([path, 403, []])
      }
    }
  }))

test('A46: what an allowed Origin is told names it alone, and never lets cookies along', () =>
  server.attack(async () => {
    for (const [, path] of ROUTES) {
      const { status, headers } = await preflight(path, APP)
      expect([path, status, headers['access-control-allow-origin']]).toEqual([path, 204, APP])
      expect(headers['access-control-allow-credentials']).toBeUndefined()
      expect(headers['vary']).toMatch(/origin/i)
    }
  }))

test.for(['token', 'access_token', 'api_key', 'apikey', 'key', 'authorization', 'x-api-key'])(
  'A47: a credential in the query as "%s" counts nowhere',
  (name) =>
    server.attack(async () => {
      // The query carries a real one; from elsewhere nobody is local.
      const token = await personOf(server.app, 'local')
      server.keepSecret(token)
      const elsewhere = { 'x-forwarded-for': '203.0.113.7' }
      const query = `${name}=${token}`
      for (const path of ['/hitl/pending', '/hitl/poll', '/hitl/stream', '/metrics']) {
        const answer = await knock('GET', `${path}?session_id=s1&${query}`, elsewhere)
        expect([path, answer.status]).toEqual([path, 401])
        expect(answer.text).not.toContain(token)
      }
      expect(await upgrade(`/ws?session_id=s1&${query}`, elsewhere)).toBe(401)
    }),
)

const stream = (query: string) =>
  knock('GET', `/hitl/stream?session_id=s1&${query}`, { 'x-forwarded-for': '203.0.113.7' })

test('A47: a ticket opens a stream once, a stream alone, and is not written down', () =>
  server.attack(async () => {
    const { body } = await server.app.post<{ ticket: string }>(
      ...(['/api/tickets', {}, await server.app.person()] as const),
    )
    server.keepSecret(body.ticket)
    const query = `ticket=${body.ticket}`
    const elsewhere = { 'X-Forwarded-For': '203.0.113.7' }
    expect((await knock('GET', `/hitl/pending?${query}`, { ...elsewhere })).status).toBe(401)
    using wire = await Wire.open(server.app.url)
    wire.request('GET', `/hitl/stream?session_id=s1&${query}`, elsewhere)
    expect(await wire.until('recovered')).toMatch(/^HTTP\/1.1 200 /)
    expect((await stream(query)).status).toBe(401)
    expect(await upgrade(`/ws?session_id=s1&${query}`, elsewhere)).toBe(401)
    expect((await stream(`${query}&${query}`)).status).toBe(401)
  }))

test('A47: a ticket is worth nothing after its time', () =>
  server.attack(async () => {
    const { body } = await server.app.post<{ ticket: string }>(
      ...(['/api/tickets', {}, await server.app.person()] as const),
    )
    await server.store.database.db
      .updateTable('tickets')
      .set({ expires_at: new Date(Date.now() - 1_000) })
      .execute()
    expect((await stream(`ticket=${body.ticket}`)).status).toBe(401)
  }))

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { listKeys, makeKey, openAccount, register, revokeKey } from '../support/accounts.ts'
import { openTestDatabase } from '../support/database.ts'
import { WatchedServer } from '../support/hardening.ts'
import { openPooler } from '../support/pooler.ts'
import { ask } from '../support/readers/http.ts'
import { Line } from '../support/readers/line.ts'
import { startOn } from '../support/readers/server.ts'

/**
 * What was wrong with the Loopgate before this one, by the numbers of its list, as far as it is about
 * HTTP and what is told. The others have their tests beside the attacks that they let through: who may
 * decide (1 to 23, 39 to 46), and who gets in (24, 26, 27, 30, 32 to 34).
 */

const ROOT = join(import.meta.dirname, '../..')

let server: WatchedServer
let line: Line
beforeAll(async () => {
  server = await WatchedServer.start()
  line = await Line.open(server.app)
})
afterAll(() => server[Symbol.asyncDispose]())

const post = <Body = Record<string, string>>(path: string, body: object, headers = {}) =>
  server.app.post<Body>(path, body, headers)

test('defect 25: a person who logged in is known on the routes of persons', async () => {
  const account = await openAccount(server.app)
  await server.attack(async () => {
    expect(await listKeys(server.app, account)).toEqual([])
    expect((await makeKey(server.app, account)).key).toMatch(/^lk_pub_[0-9a-f]{64}$/)
  })
})

test('defect 28: what was signed with a secret that everybody knows, or none, is no credential', () =>
  server.attack(async () => {
    for (const secret of [
      'your-secret-key',
      'default-secret-key-change-in-production',
      'secret',
      ' ',
    ]) {
      const token = await new SignJWT({ tenant: 'local', channel: 'console', name: 'x' })
        .setProtectedHeader({ alg: 'HS256' })
        .setSubject('x')
        .setIssuer('loopgate')
        .setAudience('loopgate:person')
        .setExpirationTime('1h')
        .sign(new TextEncoder().encode(secret))
      const headers = { authorization: `Bearer ${token}` }
      expect((await server.app.get('/hitl/pending', headers)).status).toBe(401)
    }
  }))

test('defect 29: no page of another Origin reads an answer, or has one made by a form', () =>
  server.attack(async () => {
    const body = JSON.stringify({ session_id: line.id })
    const headers = { origin: 'https://evil.example', 'content-type': 'text/plain' }
    const foreign = await ask(`${server.app.url}/hitl/deactivate`, {
      method: 'POST',
      headers,
      body,
    })
    expect(foreign.status).toBe(403)
    expect(foreign.headers['access-control-allow-origin']).toBeUndefined()
    const form = { 'content-type': 'text/plain' }
    const own = await ask(`${server.app.url}/hitl/deactivate`, {
      method: 'POST',
      headers: form,
      body,
    })
    expect(own.status).toBe(415)
  }))

test('defect 31: users have ids of their own, and nobody sees or ends the keys of another', async () => {
  const { app } = server
  const [frank, grace] = [await openAccount(app), await openAccount(app)]
  const { id, headers } = await makeKey(app, frank)
  expect(frank.id).not.toBe(grace.id)
  await server.attack(async () => {
    expect(await listKeys(app, grace)).toEqual([])
    expect((await revokeKey(app, grace, id)).status).toBe(404)
    expect((await app.get('/hitl/pending', headers)).status).toBe(200)
  })
})

test('defect 33: a name that two want at once is one user', () =>
  server.attack(async () => {
    const answers = await Promise.all([1, 2, 3, 4].map(() => register(server.app, 'twice')))
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409])
  }))

const INSIDES = /node_modules|\.ts:\d+|postgres|SELECT |relation|duplicate key|violates|kysely/i

test('defect 35: no answer tells how the server is made', () =>
  server.attack(async () => {
    const texts = await Promise.all(
      [
        ['/hitl/request', '{'],
        ['/hitl/request', '{"session_id":"nobody","client_id":"c","message":"x"}'],
        ['/hitl/cancel', '{"request_id":"nobody"}'],
        ['/api/auth/register', '{"username":"frank","password":"correct horse battery staple"}'],
        ['/api/auth/register', '{"username":"frank","password":"correct horse battery staple"}'],
        ['/api/auth/link', '{"code":"nobody"}'],
        ['/nothing', '{}'],
      ].map(async ([path = '', body = '']) => {
        const headers = { 'content-type': 'application/json' }
        const { text } = await ask(server.app.url + path, { method: 'POST', headers, body })
        return text
      }),
    )
    for (const text of texts) expect(text).not.toMatch(INSIDES)
  }))

test('defect 36: a body has a limit, and so have the questions of one client', async () => {
  await using small = await WatchedServer.start({ MAX_CONCURRENT_REQUESTS: '3' })
  await small.app.register()
  await small.attack(async () => {
    const large = JSON.stringify({ message: 'x'.repeat(300_000) })
    expect((await small.app.post('/hitl/request', large)).status).toBe(413)
  })
  for (let i = 0; i < 3; i++) await small.app.ask()
  await small.attack(async () => {
    const body = { session_id: 's1', client_id: 'c1', message: 'One more?' }
    const { status, headers } = await small.app.post('/hitl/request', body)
    expect([status, Number(headers.get('retry-after'))]).toEqual([429, expect.any(Number)])
  })
})

test('defect 37: what a client puts into an address is in no line of the log', () =>
  server.attack(async () => {
    const from = server.log.lines.length
    const mark = 'marked-by-a-client'
    const odd = `${mark}%0d%0a{"level":60,"msg":"forged"}`
    for (const path of [
      `/hitl/poll?request_id=${odd}`,
      `/hitl/${odd}`,
      `/api/requests/${odd}/callbacks`,
    ]) {
      await ask(server.app.url + path, { headers: { 'user-agent': mark } })
    }
    const lines = server.log.lines.slice(from)
    expect(lines.filter((text) => text.includes(mark) || text.includes('forged'))).toEqual([])
  }))

test('defect 38: the container is no root, and PostgreSQL has no door to the outside, nor a password of ours', () => {
  const read = (name: string) => readFileSync(join(ROOT, name), 'utf8')
  expect(
    read('Dockerfile')
      .match(/^USER .*$/gm)
      ?.at(-1),
  ).toBe('USER node')
  const compose = read('docker-compose.yml')
  expect(compose).not.toMatch(/-\s*["']?(?:[\d.]+:)?\d*:?5432/)
  const passwords = compose.match(/(?:POSTGRES_PASSWORD: |loopgate:)(\S+)/g) ?? []
  expect(passwords.length).toBeGreaterThan(0)
  // Each is asked of whoever starts it; nothing stands in for it.
  for (const text of passwords) expect(text).toContain('${POSTGRES_PASSWORD:?')
})

test('defect 47: to end what is not there is not a success', () =>
  server.attack(async () => {
    const unknown = '00000000-0000-4000-8000-000000000000'
    const cancel = await post('/hitl/cancel', { request_id: unknown })
    expect([cancel.status, cancel.body.code]).toEqual([404, 'REQUEST_NOT_FOUND'])
    const deactivate = await post('/hitl/deactivate', { session_id: 'nobody' })
    expect([deactivate.status, deactivate.body.code]).toEqual([404, 'SESSION_NOT_FOUND'])
  }))

test('defect 48: health says what is so', async () => {
  const { body } = await server.app.get<{ status: string; database: string }>('/health')
  expect(body).toMatchObject({ status: 'healthy', database: 'up' })
})

test('defect 48: a database that is away makes health unhealthy', async () => {
  await using database = await openTestDatabase('postgres')
  await using way = await openPooler(database.url ?? '')
  await using app = await startOn({ DATABASE_URL: way.url })
  expect((await app.get('/health')).status).toBe(200)
  await way[Symbol.asyncDispose]()
  const { status, body } = await app.get<{ status: string; database: string }>('/health')
  expect({ status, said: body.status }).toEqual({ status: 503, said: 'unhealthy' })
})

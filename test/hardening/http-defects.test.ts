import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestDatabase } from '../support/database.ts'
import { WatchedServer } from '../support/hardening.ts'
import { openPooler } from '../support/pooler.ts'
import { ask } from '../support/readers/http.ts'
import { Line } from '../support/readers/line.ts'
import { startOn } from '../support/readers/server.ts'

/**
 * What was wrong with the Loopgate before this one, by the numbers of its list, as far as it is about
 * who gets in, and what is told. Numbers 1 to 23 and 39 to 46 have their tests beside the reviewers'.
 */

const JWT_SECRET = 'only-for-tests-and-long-enough-to-sign'
const ROOT = join(import.meta.dirname, '../..')
const PASSWORD = 'correct horse battery staple'

let server: WatchedServer
let line: Line
beforeAll(async () => {
  server = await WatchedServer.start({ JWT_SECRET })
  line = await Line.open(server.app)
})
afterAll(() => server[Symbol.asyncDispose]())

const elsewhere = { 'x-forwarded-for': '203.0.113.7' }
const post = <Body = Record<string, string>>(path: string, body: object, headers = {}) =>
  server.app.post<Body>(path, body, headers)

async function signUp(username: string) {
  const user = { username, password: PASSWORD }
  await post('/api/auth/register', user)
  const { body } = await post('/api/auth/login', user)
  return { authorization: `Bearer ${body['token']}` }
}

const keyOf = async (headers: object, fields: object = {}) =>
  (await post('/api/user/apikeys', fields, headers)).body as { id: string; raw_key: string }

test('defect 24: away from this machine no route of agents is open', () =>
  server.attack(async () => {
    for (const [method, path] of [
      ...([
        ['POST', '/hitl/register'],
        ['POST', '/hitl/request'],
        ['POST', '/hitl/cancel'],
      ] as const),
      ...([
        ['POST', '/hitl/deactivate'],
        ['GET', '/hitl/poll'],
        ['GET', '/hitl/status'],
      ] as const),
      ...([
        ['GET', '/hitl/pending'],
        ['GET', '/hitl/stream'],
        ['GET', '/ws'],
      ] as const),
    ]) {
      const url = `${server.app.url}${path}?session_id=${line.id}`
      const { status, text } = await ask(url, { method, headers: elsewhere })
      expect([path, status]).toEqual([path, 401])
      expect(text).not.toContain(line.id)
    }
  }))

test('defect 25: a person who logged in is known on the routes of persons', async () => {
  const headers = await signUp('dora')
  await server.attack(async () => {
    expect((await server.app.get('/api/user/apikeys', headers)).status).toBe(200)
    expect((await keyOf(headers)).raw_key).toMatch(/^lk_pub_[0-9a-f]{64}$/)
  })
})

test('defect 26: whoever registers a session again can not turn its questions to himself', async () => {
  const mine = await Line.open(server.app, { telegram_id: 1_001 })
  await server.attack(async () => {
    const names = { session_id: mine.id, client_id: mine.clientId }
    for (const fields of [
      { telegram_id: 6_666 },
      { telegram_id: -6_666 },
      { approvers: [6_666] },
    ]) {
      expect((await post('/hitl/register', { ...names, ...fields })).status).toBe(403)
    }
  })
  const { body } = await server.app.get<{ telegram_id: number }>(
    `/hitl/status?session_id=${mine.id}`,
  )
  expect(body.telegram_id).toBe(1_001)
})

test('defect 27: nobody asks in the session of another client', () =>
  server.attack(async () => {
    const body = { session_id: line.id, client_id: 'somebody-else', message: 'Deploy?' }
    expect((await post('/hitl/request', body)).status).toBe(403)
    expect((await post('/hitl/register', body)).status).toBe(403)
  }))

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

test('defect 30: a key is worth nothing after its time', async () => {
  const headers = await signUp('erin')
  const soon = new Date(Date.now() + 60_000).toISOString()
  const { id, raw_key } = await keyOf(headers, { expires_at: soon })
  const key = { 'x-api-key': raw_key }
  server.keepSecret(raw_key)
  expect((await server.app.get('/hitl/pending', key)).status).toBe(200)
  await server.store.database.db
    .updateTable('api_keys')
    .set({ expires_at: new Date(Date.now() - 1_000) })
    .where('id', '=', id)
    .execute()
  await server.attack(async () => {
    expect((await server.app.get('/hitl/pending', key)).status).toBe(401)
  })
})

test('defect 31: users have ids of their own, and nobody sees or ends the keys of another', async () => {
  const [frank, grace] = [await signUp('frank'), await signUp('grace')]
  const { id, raw_key } = await keyOf(frank)
  await server.attack(async () => {
    expect((await server.app.get('/api/user/apikeys', grace)).body).toEqual([])
    const ended = await ask(`${server.app.url}/api/user/apikeys/${id}`, {
      method: 'DELETE',
      headers: grace,
    })
    expect(ended.status).toBe(404)
    expect((await server.app.get('/hitl/pending', { 'x-api-key': raw_key })).status).toBe(200)
  })
})

test('defect 32: after ten wrong passwords for a user, no more are looked at', async () => {
  await signUp('heidi')
  await server.attack(async () => {
    const statuses: number[] = []
    for (let i = 0; i < 14; i++) {
      const answer = await post('/api/auth/login', { username: 'heidi', password: `wrong ${i}` })
      statuses.push(answer.status)
    }
    expect(statuses.slice(0, 10)).toEqual(Array(10).fill(401))
    expect(new Set(statuses.slice(10))).toEqual(new Set([429]))
  })
})

test('defect 33: a long password is one, and a name that two want at once is one user', async () => {
  await server.attack(async () => {
    for (const length of [72, 73, 400]) {
      const user = { username: `long-${length}`, password: 'p'.repeat(length) }
      expect((await post('/api/auth/register', user)).status).toBe(201)
      const cut = { ...user, password: user.password.slice(0, -1) }
      expect((await post('/api/auth/login', cut)).status).toBe(401)
      expect((await post('/api/auth/login', user)).status).toBe(200)
    }
    const user = { username: 'twice', password: PASSWORD }
    const answers = await Promise.all([1, 2, 3, 4].map(() => post('/api/auth/register', user)))
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409])
  })
})

test('defect 34: a token of another algorithm, issuer or audience, or from another time, is none', () =>
  server.attack(async () => {
    const secret = new TextEncoder().encode(JWT_SECRET)
    const make = (claims: object, alg = 'HS256', audience = 'loopgate:person', end = '1h') =>
      new SignJWT({ tenant: 'local', channel: 'console', name: 'x', iss: 'loopgate', ...claims })
        .setProtectedHeader({ alg })
        .setSubject('x')
        .setAudience(audience)
        .setExpirationTime(end)
        .sign(secret)
    const status = async (token: string) =>
      (await server.app.get('/hitl/pending', { authorization: `Bearer ${token}` })).status
    expect(await status(await make({}))).toBe(200)
    const none = Buffer.from('{"alg":"none"}').toString('base64url')
    const [, payload = ''] = (await make({})).split('.')
    for (const token of [
      ...[await make({}, 'HS512'), await make({}, 'HS384'), await make({ iss: 'another' })],
      ...[await make({}, 'HS256', 'another'), await make({}, 'HS256', 'loopgate:person', '-1s')],
      ...[
        await make({ nbf: Date.now() / 1_000 + 3_600 }),
        `${none}.${payload}.`,
        `${none}.${payload}.x`,
      ],
      ...[await make({ tenant: 'nobody' }), `${payload}`, 'a.b.c', '..'],
    ]) {
      expect([token, await status(token)]).toEqual([token, 401])
    }
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

test('defect 48: health says what is so, and every variable of .env.example is one that is read', async () => {
  const { body } = await server.app.get<{ status: string; database: string }>('/health')
  expect(body).toMatchObject({ status: 'healthy', database: 'up' })
  const read = (name: string) => readFileSync(join(ROOT, name), 'utf8')
  const named = read('.env.example').match(/^#?\s*([A-Z][A-Z_]+)(?==)/gm) ?? []
  const source = ['src/config.ts', 'src/channels/telegram/settings.ts'].map(read).join('\n')
  expect(named.length).toBeGreaterThan(10)
  for (const name of named) expect(source).toContain(name.replace(/^#?\s*/, ''))
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

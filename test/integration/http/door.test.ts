import { describe, expect, test } from 'vitest'
import { ask, problemOf } from '../../support/readers/http.ts'
import { openServer, personOf, serve } from '../../support/readers/server.ts'
import { Wire } from '../../support/readers/wire.ts'

const app = serve('postgres')

/** One of every kind of route, and one that is none. */
const ROUTES = [
  ['POST', '/hitl/register'],
  ['POST', '/sessions/register'],
  ['POST', '/hitl/request'],
  ['POST', '/hitl/deactivate'],
  ['POST', '/hitl/cancel'],
  ['POST', '/api/auth/link'],
  ['POST', '/api/auth/register'],
  ['POST', '/api/auth/login'],
  ['POST', '/api/tickets'],
  ['POST', '/api/user/apikeys'],
  ['GET', '/api/user/apikeys'],
  ['DELETE', '/api/user/apikeys/x'],
  ['POST', '/api/requests/x/decision'],
  ['GET', '/hitl/poll?session_id=x'],
  ['GET', '/hitl/status?session_id=x'],
  ['GET', '/hitl/pending'],
  ['GET', '/hitl/stream?session_id=x'],
  ['GET', '/ws'],
  ['GET', '/socket.io/?EIO=4&transport=polling'],
  ['GET', '/socket.io/?EIO=4&transport=polling&sid=x'],
  ['POST', '/socket.io/?EIO=4&transport=polling&sid=x'],
  ['OPTIONS', '/socket.io/?EIO=4&transport=polling'],
  ['GET', '/console'],
  ['GET', '/console/page.js'],
  ['GET', '/health'],
  ['GET', '/livez'],
  ['GET', '/readyz'],
  ['GET', '/metrics'],
  ['GET', '/nothing'],
  ['OPTIONS', '/hitl/request'],
  ['HEAD', '/livez'],
] as const

const knock = (method: string, path: string, headers: Record<string, string>) =>
  ask(app().url + path, {
    method,
    headers: { ...headers, ...(method === 'POST' && { 'content-type': 'application/json' }) },
    ...(method === 'POST' && { body: '{}' }),
  })

const FOREIGN = {
  'a foreign Origin': { origin: 'https://evil.example' },
  'the Origin of a file or a sandbox': { origin: 'null' },
  'an Origin on another port': { origin: 'http://127.0.0.1:1' },
  'a foreign Host': { host: 'evil.example' },
  'a Host that begins like ours': { host: 'localhost.evil.example' },
  'a foreign Host and its own Origin': { host: 'evil.example', origin: 'http://evil.example' },
} as const

describe.each(ROUTES)('%s %s', (method, path) => {
  test.each(Object.entries(FOREIGN))('with %s is 403', async (_, headers) => {
    expect((await knock(method, path, headers)).status).toBe(403)
  })

  test('with the own Origin, or none, and any name of this machine is let in', async () => {
    const { port } = new URL(app().url)
    for (const name of ['127.0.0.1', 'localhost', '[::1]', 'LOCALHOST']) {
      // As a user, because on some of the routes 403 is also what everybody else gets.
      const authorization = `Bearer ${await personOf(app(), 'tenant')}`
      const headers = { authorization, host: `${name}:${port}` }
      expect((await knock(method, path, headers)).status).not.toBe(403)
      const origin = `http://${headers.host}`
      expect((await knock(method, path, { ...headers, origin })).status).not.toBe(403)
    }
  })
})

describe('a Socket.IO connection that is there already', () => {
  const FOREIGN_ORIGIN = { Origin: 'https://evil.example' }
  const polling = '/socket.io/?EIO=4&transport=polling'

  /** The address of a connection, opened as one may. */
  async function connection(): Promise<string> {
    const { text } = await ask(app().url + polling)
    const { sid } = JSON.parse(text.slice(1)) as { sid: string }
    await ask(`${app().url}${polling}&sid=${sid}`, { method: 'POST', body: '40' })
    return sid
  }

  test('is neither read nor written from a foreign page', async () => {
    const path = `${polling}&sid=${await connection()}`
    for (const method of ['GET', 'POST']) {
      const body = method === 'POST' ? { body: '42["cancel",{}]' } : {}
      const answer = await ask(app().url + path, { method, headers: FOREIGN_ORIGIN, ...body })
      expect(answer.status).toBe(403)
      expect(problemOf(answer)).toMatchObject({ code: 'FORBIDDEN' })
    }
    expect((await ask(app().url + path)).status).toBe(200)
  })

  test('is not upgraded from a foreign page, nor is a new one opened: 403', async () => {
    for (const query of ['', `&sid=${await connection()}`]) {
      using wire = await Wire.open(app().url)
      wire.request('GET', `/socket.io/?EIO=4&transport=websocket${query}`, {
        ...{ Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13' },
        ...{ 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', ...FOREIGN_ORIGIN },
      })
      await wire.closed()
      expect(wire.text).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/)
      expect(wire.text).toContain('"code":"FORBIDDEN"')
    }
  })
})

test('every answer has the secure headers', async () => {
  for (const path of ['/health', '/nothing', '/hitl/pending', '/api/user/apikeys', '/console']) {
    const { headers } = await ask(app().url + path)
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
      'cross-origin-resource-policy': 'same-origin',
      'content-security-policy': expect.stringMatching(
        /^default-src 'none';.*frame-ancestors 'none'$/,
      ),
    })
  }
})

test('a preflight of an unknown page is refused, and no answer is open to every page', async () => {
  for (const path of ['/hitl/request', '/api/auth/login', '/socket.io/?EIO=4&transport=polling']) {
    const headers = { origin: 'https://evil.example', 'access-control-request-method': 'POST' }
    const answer = await ask(app().url + path, { method: 'OPTIONS', headers })
    expect(answer.status).toBe(403)
    expect(answer.headers['access-control-allow-origin']).toBeUndefined()
    expect(answer.headers['access-control-allow-credentials']).toBeUndefined()
  }
})

test('the refusal is a problem', async () => {
  const answer = await knock('GET', '/hitl/pending', FOREIGN['a foreign Origin'])
  expect(answer.headers['content-type']).toContain('application/problem+json')
  expect(problemOf(answer)).toMatchObject({ status: 403, code: 'FORBIDDEN' })
})

describe('what came through a proxy', () => {
  const AGENT_ROUTES = ROUTES.filter(([, path]) => path.startsWith('/hitl/'))
  test.each(AGENT_ROUTES)('is not local on %s %s: 401', async (method, path) => {
    for (const headers of [
      { 'x-forwarded-for': '127.0.0.1' },
      { 'x-forwarded-proto': 'https' },
      { 'x-forwarded-host': 'localhost' },
      { 'X-Forwarded-Anything': '' },
      { forwarded: 'for=127.0.0.1' },
    ]) {
      const answer = await knock(method, path, headers as Record<string, string>)
      // OPTIONS leads nowhere, with or without a credential.
      expect(answer.status).toBe(method === 'OPTIONS' ? 404 : 401)
    }
  })

  test('is let in with a credential', async () => {
    const authorization = `Bearer ${await personOf(app(), 'tenant')}`
    const headers = { 'x-forwarded-for': '203.0.113.7', authorization }
    expect((await knock('GET', '/hitl/pending', headers)).status).toBe(200)
  })

  test('is not a person of this machine either', async () => {
    const headers = { 'x-forwarded-for': '127.0.0.1' }
    expect((await knock('GET', '/metrics', headers)).status).toBe(401)
    expect((await knock('POST', '/api/requests/x/decision', headers)).status).toBe(401)
  })
})

describe('with AUTH=required', () => {
  test('every route of agents needs a credential, and any Host is served', async () => {
    await using server = await openServer('postgres', { AUTH: 'required' })
    const authorization = `Bearer ${await personOf(server.app, 'tenant')}`
    for (const [method, path] of ROUTES) {
      if (!path.startsWith('/hitl/') || method === 'OPTIONS') continue
      const answer = await ask(server.app.url + path, { method })
      expect([path, answer.status]).toEqual([path, 401])
      expect(answer.headers['www-authenticate']).toMatch(/^Bearer/)
    }
    const headers = { host: 'gate.example.com', authorization }
    expect((await ask(`${server.app.url}/hitl/pending`, { headers })).status).toBe(200)
    const foreign = { ...headers, origin: 'https://evil.example' }
    expect((await ask(`${server.app.url}/hitl/pending`, { headers: foreign })).status).toBe(403)
  })

  test('ALLOWED_ORIGINS and PUBLIC_URL are let in, and nothing that looks like them', async () => {
    await using server = await openServer('postgres', {
      PUBLIC_URL: 'https://gate.example.com/base',
      ALLOWED_ORIGINS: 'https://app.example.com, http://localhost:3000',
    })
    const authorization = `Bearer ${await personOf(server.app, 'tenant')}`
    const status = async (origin: string) =>
      (await ask(`${server.app.url}/hitl/pending`, { headers: { authorization, origin } })).status
    for (const origin of [
      ...['https://gate.example.com', 'https://app.example.com', 'http://localhost:3000'],
    ]) {
      expect([origin, await status(origin)]).toEqual([origin, 200])
    }
    for (const origin of [
      ...['http://gate.example.com', 'https://app.example.com:8443', 'http://localhost:3001'],
      ...['https://app.example.com.evil.example', 'https://evil-app.example.com'],
      ...['https://app.example.com/', 'null'],
    ]) {
      expect([origin, await status(origin)]).toEqual([origin, 403])
    }
  })
})

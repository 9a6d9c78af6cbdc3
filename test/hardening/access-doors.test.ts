import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { bearer } from '../support/accounts.ts'
import { ask } from '../support/readers/http.ts'
import { emit, openSocketIo } from '../support/readers/socketio.ts'
import { FrameSocket } from '../support/readers/websocket.ts'
import { from, SAME, twoTenants } from '../support/tenants.ts'

/** A01, A11, A12 and defect 24: who is let in, and that no agent decides. */

const here = twoTenants()

/** What nobody reaches without a credential. `:id` stands for a request or a key of a tenant. */
const CLOSED = [
  ['POST', '/hitl/register'],
  ['POST', '/sessions/register'],
  ['POST', '/hitl/request'],
  ['GET', '/hitl/poll?request_id=:id'],
  ['GET', '/hitl/poll?session_id=same&since=earliest'],
  ['GET', '/hitl/status?session_id=same'],
  ['POST', '/hitl/deactivate'],
  ['GET', '/hitl/pending'],
  ['POST', '/hitl/cancel'],
  ['POST', '/hitl/consume'],
  ['GET', '/hitl/stream?session_id=same'],
  ['GET', '/hitl/stream?request_id=:id'],
  ['GET', '/ws'],
  ['GET', '/api/requests/:id/cards'],
  ['GET', '/api/requests/:id/callbacks'],
  ['POST', '/api/requests/:id/callbacks/resend'],
  ['POST', '/api/requests/:id/decision'],
  ['POST', '/api/user/apikeys'],
  ['GET', '/api/user/apikeys'],
  ['DELETE', '/api/user/apikeys/:id'],
  ['POST', '/api/tickets'],
  ['POST', '/mcp'],
  ['GET', '/mcp'],
  ['DELETE', '/mcp'],
  ['GET', '/mcp/tools'],
  ['GET', '/mcp/capabilities'],
  // Open to Prometheus on this machine; from elsewhere a credential is needed.
  ['GET', '/metrics'],
] as const

/** What tells nobody anything of a tenant, or asks for a secret of its own. */
const OPEN = [
  ...['/health', '/livez', '/readyz', '/console', '/.well-known/webhook-key'],
  ...['/api/auth/register', '/api/auth/login', '/api/auth/link', '/telegram/webhook'],
  ...['/.well-known/jwks.json', '/socket.io/', '/register'],
]

const JSON_TYPE = { 'content-type': 'application/json' }

const knock = (method: string, path: string, headers: Record<string, string>, body?: string) =>
  ask(here().app.url + path, {
    method,
    headers: { ...from('203.0.113.7'), ...headers, ...(method === 'POST' && JSON_TYPE) },
    ...(method === 'POST' && { body: body ?? JSON.stringify({ ...SAME, message: 'Deploy?' }) }),
  })

/** Every route that the source names. */
function routes(): string[] {
  const root = join(import.meta.dirname, '../../src')
  return ['http', 'transports', 'channels'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) => {
        const source = readFileSync(join(root, folder, name), 'utf8')
        const paths = source.replaceAll(/invalid\([^)]*/g, '').matchAll(/'(\/[a-z.][^' ]*)'/g)
        return [...paths].map(([, path = '']) => path).filter((path) => !path.startsWith('/proc'))
      }),
  )
}

test('A01: every route that the source names is looked at here', () => {
  const known = [...OPEN, ...CLOSED.map(([, path]) => path.split('?')[0])]
  expect(routes()).toEqual(expect.arrayContaining(['/hitl/request', '/ws', '/api/tickets']))
  expect(routes().filter((path) => !known.includes(path))).toEqual([])
})

test.for(CLOSED)('A01, defect 24: %s %s is 401 without a credential', ([method, path]) =>
  here().server.attack(async () => {
    const { asked } = here().ours
    const answers = await Promise.all([
      knock(method, path.replace(':id', asked.request_id), {}),
      // Neither what does not exist nor what can not be read is told from what is there.
      knock(method, path.replace(':id', 'nobody').replace('same', 'nobody'), {}),
      knock(method, path.replace(':id', asked.request_id), {}, '{"half":'),
      knock(method, path, { cookie: `token=${here().ours.key.key}` }),
    ])
    for (const { status, headers, text } of answers) {
      expect([status, headers['www-authenticate']]).toEqual([401, 'Bearer realm="loopgate"'])
      expect(text).toBe(answers[0]?.text)
    }
    expect(JSON.parse(answers[0]?.text ?? '')).toMatchObject({ code: 'UNAUTHORIZED' })
  }),
)

describe('A01, defect 24: a socket is not opened', () => {
  const WRONG = [
    ...['lk_pub_', `lk_pub_${'0'.repeat(64)}`, 'null', 'undefined', '[object Object]', '*'],
    ...['a.b.c', '..', 'local', "' OR 1=1--", '{"$ne":null}', 'x'.repeat(5_000)],
  ]

  test('without a credential, or with a wrong one, by an upgrade', () =>
    here().server.attack(async () => {
      const { url } = here().app
      for (const query of ['', '?session_id=same', `?request_id=${here().ours.asked.request_id}`]) {
        const opened = FrameSocket.open(url, { query })
        await expect(opened).rejects.toMatchObject({ status: 401 })
      }
      for (const [i, wrong] of WRONG.entries()) {
        const headers = { ...from(`198.51.100.${i}`), ...bearer(wrong) }
        const opened = FrameSocket.open(url, { headers })
        await expect(opened).rejects.toMatchObject({ status: 401 })
      }
    }))

  test('without a credential, or with a wrong one, by Socket.IO', () =>
    here().server.attack(async () => {
      const refused = { data: { code: 'UNAUTHORIZED' } }
      const auths: object[] = [{}, { token: null }, { token: {} }, { token: [here().ours.key.key] }]
      for (const [i, auth] of [...auths, ...WRONG.map((token) => ({ token }))].entries()) {
        const opened = openSocketIo(here().app.url, {
          ...{ auth, transports: ['websocket'] },
          extraHeaders: from(`192.0.2.${i}`),
        })
        await expect(opened).rejects.toMatchObject(refused)
      }
    }))

  test('to another namespace, which there is none of, with or without a credential', () =>
    here().server.attack(async () => {
      for (const token of [undefined, here().ours.key.key]) {
        for (const name of ['admin', 'same', here().ours.account.id, '%2f', '__proto__']) {
          const opened = openSocketIo(`${here().app.url}/${name}`, {
            ...(token !== undefined && { auth: { token } }),
          })
          await expect(opened).rejects.toThrow('Invalid namespace')
        }
      }
    }))
})

/** Every way in which something might decide that holds no more than an agent's key. */
describe('A11: an agent does not decide', () => {
  const decisionOf = (id: string) => `/api/requests/${id}/decision`

  test.for<readonly [string, (key: string) => Record<string, string>]>([
    ['its key', (key) => bearer(key)],
    ['its key in the other header', (key) => ({ 'x-api-key': key })],
    ['its key and what looks like a person', (key) => ({ ...bearer(key), 'x-user-id': 'local' })],
    ['its key and another method', (key) => ({ ...bearer(key), 'x-http-method-override': 'PUT' })],
    ['its key from this machine', (key) => ({ ...bearer(key), ...from('127.0.0.1') })],
  ])('with %s', ([, headersOf]) =>
    here().server.attack(async () => {
      const { ours } = here()
      const headers = headersOf(ours.key.key)
      for (const id of [ours.asked.request_id, here().theirs.asked.request_id, 'nobody']) {
        for (const body of ['{"option":"Yes"}', '{"response":"yes"}', '{"half":']) {
          const { status, text } = await knock('POST', decisionOf(id), headers, body)
          expect([status, JSON.parse(text).code]).toEqual([403, 'FORBIDDEN'])
        }
      }
    }),
  )

  test('with a ticket, its own or a person’s', () =>
    here().server.attack(async () => {
      const { app, ours, server } = here()
      for (const { headers } of [ours.key, ours.account]) {
        const { body } = await app.post<{ ticket: string }>('/api/tickets', {}, headers)
        server.keepSecret(body.ticket)
        const path = `${decisionOf(ours.asked.request_id)}?ticket=${body.ticket}`
        expect((await knock('POST', path, {}, '{"option":"Yes"}')).status).toBe(401)
        const asToken = bearer(body.ticket)
        expect((await knock('POST', path, asToken, '{"option":"Yes"}')).status).toBe(401)
      }
    }))

  test('by making itself a person', () =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const { key, headers } = ours.key
      const { username } = ours.account
      const login = await app.post('/api/auth/login', { username, password: key }, headers)
      expect(login.status).toBe(401)
      expect((await app.post('/api/auth/link', { code: key }, headers)).status).toBe(401)
      expect((await app.post('/api/user/apikeys', {}, headers)).status).toBe(403)
      const taken = { username, password: 'another password' }
      expect((await app.post('/api/auth/register', taken, headers)).status).toBe(409)
    }))

  test('by asking what is answered already', async () => {
    const { app, server, ours } = here()
    const answered = {
      ...{ status: 'completed', outcome: 'approved', completed: true, approved: true },
      ...{ response: 'Yes', decided_by: { channel: 'console', id: 'local', name: 'Ann' } },
      ...{ option: 'Yes', tenant: 'local', principal: { type: 'person' }, settled_by: 'person' },
    }
    const body = { ...SAME, idempotency_key: 'answered', message: 'Deploy?', ...answered }
    await server.attack(
      async () => {
        const views = [(await app.post('/hitl/request', body, ours.key.headers)).body]
        await using socket = await FrameSocket.open(app.url, { headers: ours.key.headers })
        socket.send({ type: 'request', id: 1, body: { ...body, idempotency_key: 'by-frame' } })
        views.push((await socket.answer(1)).body as never)
        const client = await openSocketIo(app.url, { auth: { token: ours.key.key } })
        views.push(
          (await emit(client, 'request', { ...body, idempotency_key: 'by-event' })) as never,
        )
        client.disconnect()
        for (const view of views) {
          expect(view).toMatchObject({ status: 'pending', outcome: null, approved: false })
          expect(view).toMatchObject({ response: null, decided_by: null, responded_at: null })
        }
      },
      { mayAdd: true },
    )
  })
})

/** A bridge to a chat, or a tool, that would carry "approve" for whoever holds a key. */
describe('A12: no command of an agent approves,', () => {
  const COMMANDS = [
    ...['decide', 'decision', 'approve', 'resolve', 'answer', 'respond', 'settle', 'press'],
    ...['request.decided', 'callback_query', 'update', 'consume', 'hitl_approve', 'tools/call'],
  ]

  test('as a frame of a WebSocket', () =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const { request_id } = ours.asked
      await using socket = await FrameSocket.open(app.url, { headers: ours.key.headers })
      for (const [id, type] of COMMANDS.entries()) {
        const says = { option: 'Yes', response: 'yes', approved: true }
        socket.send({ type, id, request_id, ...says, body: { request_id, ...says } })
        expect(await socket.answer(id)).toMatchObject({ type: 'error', code: 'INVALID_INPUT' })
      }
    }))

  test('as an event of Socket.IO', () =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const { request_id } = ours.asked
      const socket = await openSocketIo(app.url, { auth: { token: ours.key.key } })
      const answers: unknown[] = []
      for (const event of COMMANDS) {
        socket.emit(event, { request_id, option: 'Yes' }, (answer: unknown) => answers.push(answer))
      }
      // Packets are handled in order: by now the server has seen them all.
      expect(await emit(socket, 'subscribe', { session_id: 'same' })).toMatchObject({ ok: true })
      expect(answers).toEqual([])
      socket.disconnect()
    }))

  test('as another way to write the route, or to cancel', () =>
    here().server.attack(async () => {
      const { ours } = here()
      const { request_id } = ours.asked
      const paths = [
        ...[`/api/requests/${request_id}/approve`, `/api/requests/${request_id}`],
        ...[`/api/requests/${request_id}/decision/`, `//api/requests/${request_id}/decision`],
        ...[`/API/requests/${request_id}/decision`, '/hitl/decide', '/hitl/approve'],
        ...['/hitl/respond', '/telegram/webhook', '/console/approve'],
      ]
      for (const path of paths) {
        for (const method of ['POST', 'PUT', 'PATCH']) {
          const { status } = await knock(method, path, ours.key.headers, '{"option":"Yes"}')
          expect([method, path, status]).toEqual([method, path, 404])
        }
      }
      const cancel = JSON.stringify({ request_id: 'nobody', outcome: 'approved', approved: true })
      expect((await knock('POST', '/hitl/cancel', ours.key.headers, cancel)).status).toBe(404)
    }))
})

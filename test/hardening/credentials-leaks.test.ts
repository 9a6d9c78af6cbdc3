import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Scene } from '../integration/telegram/scene.ts'
import { bearer, login, makeKey, openAccount, PASSWORD, register } from '../support/accounts.ts'
import { openWatchedScene, type WatchedServer } from '../support/hardening.ts'
import { ask } from '../support/readers/http.ts'
import { emit, openSocketIo } from '../support/readers/socketio.ts'
import { FrameSocket } from '../support/readers/websocket.ts'
import { from } from '../support/tenants.ts'

/** A62 and defect 35: what an answer, a log or a metric says of secrets and of the inside. */

let scene: Scene
let server: WatchedServer
beforeAll(async () => {
  const opened = await openWatchedScene({
    env: { JWT_SECRET: randomBytes(24).toString('hex'), TRUST_PROXY: 'loopback' },
  })
  scene = opened.scene
  server = opened.server
})
afterAll(() => scene[Symbol.asyncDispose]())

/** Sends it everywhere that a careless client would, and returns what was answered. */
async function spill(secret: string, caller: Record<string, string>, key: string) {
  const { url } = scene.app
  const answers: string[] = []
  const call = async (path: string, headers: object = {}, body?: object) => {
    const answer = await ask(url + path, {
      method: body ? 'POST' : 'GET',
      headers: { ...caller, ...headers, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    })
    answers.push(JSON.stringify(answer.headers), answer.text)
  }
  const encoded = encodeURIComponent(secret)
  for (const headers of [bearer(secret), { 'x-api-key': secret }, { authorization: secret }]) {
    await call('/hitl/pending', headers)
  }
  await call('/hitl/pending', { cookie: `token=${secret}`, referer: `http://x/?token=${encoded}` })
  for (const name of ['ticket', 'token', 'code', 'since', 'request_id']) {
    await call(`/hitl/stream?session_id=nobody&${name}=${encoded}`, bearer(key))
    await call(`/hitl/poll?session_id=nobody&${name}=${encoded}`, bearer(key))
    await call(`/%zz?${name}=${encoded}`)
    await call(`/socket.io/?EIO=4&transport=x&${name}=${encoded}`)
  }
  await call('/api/auth/link', {}, { code: secret })
  await call('/api/auth/login', {}, { username: secret, password: secret })
  await call('/api/auth/register', {}, { username: 'x', password: secret, [secret]: 1 })
  await call('/hitl/cancel', bearer(key), { request_id: secret })
  await call('/hitl/request', { ...bearer(key), 'idempotency-key': secret }, { message: 1 })
  const asked = { session_id: 'nobody', client_id: 'c', message: 'x', callback_url: secret }
  await call('/hitl/request', bearer(key), asked)
  await call('/hitl/request', bearer(key), { ...asked, callback_url: `https://u:${encoded}@x.io/` })
  await call('/telegram/webhook', { 'x-telegram-bot-api-secret-token': secret }, {})
  const opened = openSocketIo(url, { auth: { token: secret }, extraHeaders: caller })
  await opened.then(
    (socket) => socket.disconnect(),
    (error: Error) => answers.push(error.message, JSON.stringify(error)),
  )
  const client = await openSocketIo(url, { auth: { token: key }, extraHeaders: caller })
  answers.push(JSON.stringify(await emit(client, 'cancel', { request_id: secret })))
  client.emit(secret, secret)
  await using socket = await FrameSocket.open(url, { headers: { ...bearer(key), ...caller } })
  for (const frame of [`{"type":"x","token":"${secret}`, `"${secret}"`]) socket.send(frame)
  socket.send({ type: 'cancel', id: 1, request_id: secret, token: secret })
  await socket.answer(1)
  answers.push(JSON.stringify(socket.frames.items))
  client.disconnect()
  return answers
}

test('A62: no secret of a whole run is in a log, in /metrics, or in what others are answered', async () => {
  const { app, tg } = scene
  const account = await openAccount(app)
  const made = await makeKey(app, account)
  const revoked = await makeKey(app, account)
  const names = { session_id: 's', client_id: 'c' }
  const session = await app.post<{ webhook_secret: string }>('/hitl/register', names, made.headers)
  const { body } = await app.post<{ ticket: string }>('/api/tickets', {}, made.headers)
  const kept = await server.store.database.db.selectFrom('secrets').select('value').execute()
  const secrets = [
    ...[account.token, made.key, revoked.key, session.body.webhook_secret, body.ticket, tg.token],
    ...[PASSWORD, `${PASSWORD}!`, `lk_pub_${randomBytes(32).toString('hex')}`],
    ...kept.map(({ value }) => value),
  ]
  server.keepSecret(...secrets)
  const answers: string[] = []
  await server.attack(
    async () => {
      await login(app, account.username, `${PASSWORD}!`)
      for (const [i, secret] of secrets.entries()) {
        answers.push(...(await spill(secret, from(`10.0.${i}.1`), revoked.key)))
      }
      // What goes wrong between the server and Telegram has its address, and the token in it.
      const ann = scene.person('Ann')
      tg.failNext('sendMessage', { mode: 'reset' })
      const asked = await scene.ask(await scene.line(ann.id), { options: ['Yes', 'No'] })
      const description = 'Bad Request: chat not found'
      tg.failNext('sendMessage', { mode: 'error', status: 400, description })
      const line = await scene.line(ann.id)
      const failed = await scene.submit(line)
      const news = await scene.news(line, failed.request_id)
      answers.push(JSON.stringify([await scene.view(asked.id), news]))
      for (const path of [
        '/metrics',
        '/health',
        '/readyz',
        '/livez',
        '/console',
        '/console/page.js',
      ]) {
        answers.push((await ask(app.url + path)).text)
      }
      await fetch(`${app.url}/api/user/apikeys/${revoked.id}`, {
        ...{ method: 'DELETE', headers: account.headers },
      })
      answers.push(
        ...(await app.get<unknown[]>('/api/user/apikeys', account.headers)).body.map(String),
      )
    },
    { mayAdd: true, mayComplain: true },
  )
  expect(answers.length).toBeGreaterThan(400)
  expect(answers.join('\n')).toContain('loopgate_')
  expect(await server.leaks(answers)).toEqual([])
  expect(server.log.lines.join('')).toContain('Telegram could not be reached')
})

/** What a database, a driver or a stack says. */
const INSIDE =
  /relation|column|syntax|constraint|duplicate key|SELECT|INSERT|requests_|kysely|postgres|pg_|node_modules|\.ts\b|at \w+ \(|ECONN|stack|away_/i

describe('defect 35: what goes wrong inside is told to nobody outside,', () => {
  test('over HTTP and sockets, with tables that are gone', async () => {
    const { app } = scene
    const account = await openAccount(app)
    const { key, headers } = await makeKey(app, account)
    const names = { session_id: 's', client_id: 'c' }
    await app.post('/hitl/register', names, headers)
    const client = await openSocketIo(app.url, { auth: { token: key } })
    await using socket = await FrameSocket.open(app.url, { headers })
    const { db } = server.store.database
    const said: unknown[] = []
    const from500 = server.log.lines.length
    await sql`ALTER TABLE sessions RENAME TO away_sessions`.execute(db)
    await sql`ALTER TABLE requests RENAME TO away_requests`.execute(db)
    try {
      const question = { ...names, message: 'Deploy?' }
      const id = '00000000-0000-4000-8000-000000000000'
      said.push(
        await app.post('/hitl/register', names, headers),
        await app.post('/hitl/request', question, headers),
        await app.post('/hitl/cancel', { request_id: id }, headers),
        await app.post(`/api/requests/${id}/decision`, { option: 'Yes' }, account.headers),
        await app.get(`/hitl/poll?request_id=${id}`, headers),
        await app.get('/hitl/poll?session_id=s', headers),
        await app.get('/hitl/stream?session_id=s', headers),
        await app.get('/hitl/pending', headers),
        await emit(client, 'request', question),
        await emit(client, 'subscribe', { session_id: 's' }),
      )
      socket.send({ type: 'request', id: 1, body: question })
      socket.send({ type: 'cancel', id: 2, request_id: id })
      said.push(await socket.answer(1), await socket.answer(2))
    } finally {
      await sql`ALTER TABLE away_sessions RENAME TO sessions`.execute(db)
      await sql`ALTER TABLE away_requests RENAME TO requests`.execute(db)
    }
    for (const answer of said) {
      expect(JSON.stringify(answer)).toMatch(/"code":"(INTERNAL|UNAVAILABLE)"/)
      expect(JSON.stringify(answer)).not.toMatch(INSIDE)
    }
    // Whoever runs the server is told.
    expect(server.log.lines.slice(from500).join('')).toMatch(/does not exist/)
    client.disconnect()
    await server.attack(async () => undefined)
  })

  test('when users can not be looked up or written', async () => {
    const { app } = scene
    const { username } = await openAccount(app)
    const { db } = server.store.database
    await sql`ALTER TABLE users RENAME TO away_users`.execute(db)
    const said: readonly { status: number; body: unknown }[] = await Promise.all([
      login(app, username),
      register(app, username),
      app.get('/hitl/pending', bearer('a'.repeat(64))),
    ]).finally(() => sql`ALTER TABLE away_users RENAME TO users`.execute(db))
    for (const { body } of said) expect(JSON.stringify(body)).not.toMatch(INSIDE)
    expect(said.slice(0, 2).map(({ status }) => status)).toEqual([500, 500])
    await server.attack(async () => undefined)
  })
})

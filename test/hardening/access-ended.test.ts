import { createHash, randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { bearer, login, makeKey, openAccount, PASSWORD, revokeKey } from '../support/accounts.ts'
import { startTestApp } from '../support/app.ts'
import { eventually } from '../support/eventually.ts'
import { ask } from '../support/readers/http.ts'
import { BareClient, McpClient, ModernClient } from '../support/readers/mcp.ts'
import { emit, openSocketIo } from '../support/readers/socketio.ts'
import { FrameSocket } from '../support/readers/websocket.ts'
import { Wire } from '../support/readers/wire.ts'
import { from, NOWHERE, SAME, startGuarded, twoTenants } from '../support/tenants.ts'

/** A08, A09 and defects 30 and 34: who is not let in any more is out at once, and soon off his line. */

const here = twoTenants()

/** What the contract gives a live socket that is not authorized any more. */
const SOON_MS = 5_000

/** Everything that stays open, for one key. Each resolves when the server has ended it. */
async function openAll(key: string, requestId: string) {
  const { app } = here()
  const headers = bearer(key)
  const socket = await FrameSocket.open(app.url, { headers, query: '?session_id=same' })
  await socket.first('subscribed')
  const client = await openSocketIo(app.url, { auth: { token: key } })
  const closing = new Promise<{ code: number; reconnect: boolean }>((resolve) => {
    client.on('closing', resolve)
  })
  expect(await emit(client, 'subscribe', { session_id: 'same' })).toMatchObject({ ok: true })
  const wire = await Wire.open(app.url)
  wire.request('GET', '/hitl/stream?session_id=same', { 'X-API-Key': key, Connection: 'close' })
  await wire.until('recovered')
  const waiting = [
    app.get(`/hitl/poll?request_id=${requestId}&wait=30`, headers),
    app.get('/hitl/poll?session_id=same&wait=30', headers),
    ask(`${app.url}/hitl/request?wait=30`, {
      ...{ method: 'POST', headers: { ...headers, 'content-type': 'application/json' } },
      body: JSON.stringify({ ...SAME, message: 'Whose?', options: ['Yes', 'No'] }),
    }),
  ]
  return { socket, client, closing, wire, waiting, mcp: await openMcp(key, requestId) }
}

/** What MCP holds open, by every revision. */
async function openMcp(key: string, requestId: string) {
  const { app } = here()
  const options = { headers: bearer(key) }
  const client = await McpClient.open(app, options)
  const modern = new ModernClient(app, options)
  const wait = ['check_request_status', { request_id: requestId, wait_seconds: 60 }] as const
  const resourceSubscriptions = [`loopgate://requests/${requestId}`]
  const streams = [
    await client.listen(),
    client.call(...wait),
    client.request('tasks/result', { taskId: requestId }),
    modern.call(...wait),
    modern.request('subscriptions/listen', { notifications: { resourceSubscriptions } }),
  ]
  for (const { head } of streams) expect((await head).status).toBe(200)
  return { streams, bare: new BareClient(app, options).call(...wait) }
}

/** Every stream and every call that waits ends within the time, says why, and tells nothing more. */
async function expectAllEnd(opened: Awaited<ReturnType<typeof openAll>>): Promise<void> {
  const { socket, client, closing, wire, waiting, mcp } = opened
  const began = performance.now()
  expect((await socket.closed).code).toBe(3500)
  expect(await closing).toMatchObject({ code: 3500, reconnect: false })
  // The end of the chunked body: whoever reads knows that nothing follows.
  await wire.until('\r\n0\r\n\r\n')
  for (const { status } of await Promise.all(waiting)) expect(status).toBe(401)
  await Promise.all(mcp.streams.map(({ ended }) => ended))
  expect((await mcp.bare.head).status).toBe(401)
  expect(performance.now() - began).toBeLessThan(SOON_MS)
  await eventually(async () => client.connected).toBe(false)
  expect(socket.frames.items.filter(({ type }) => type.startsWith('request.'))).toEqual([])
  client.disconnect()
}

/** Each comes from an address of its own: wrong credentials of one are slowed down. */
let callers = 1

/** By every way in, also as a client that comes back. */
async function expectShut(key: string): Promise<void> {
  const { app, ours } = here()
  const unauthorized = { status: 401, body: { code: 'UNAUTHORIZED' } }
  for (const credential of [bearer(key), { 'x-api-key': key }]) {
    const headers = { ...credential, ...from(`2001:db8:${(callers++).toString(16)}::1`) }
    expect(await app.get('/hitl/pending', headers)).toMatchObject(unauthorized)
    expect(await app.post('/api/tickets', {}, headers)).toMatchObject(unauthorized)
    const cancel = app.post('/hitl/cancel', { request_id: ours.asked.request_id }, headers)
    expect(await cancel).toMatchObject(unauthorized)
    const since = { ...headers, 'last-event-id': ours.asked.cursor }
    expect((await app.get('/hitl/stream?session_id=same', since)).status).toBe(401)
    await expect(FrameSocket.open(app.url, { headers })).rejects.toMatchObject({ status: 401 })
    await expect(McpClient.open(app, { headers })).rejects.toMatchObject({ status: 401 })
    for (const mcp of [new ModernClient(app, { headers }), new BareClient(app, { headers })]) {
      const call = mcp.call('cancel_request', { request_id: ours.asked.request_id })
      await expect(call.answer()).rejects.toMatchObject({ status: 401 })
    }
  }
  for (const transport of ['polling', 'websocket']) {
    const again = openSocketIo(app.url, {
      ...{ auth: { token: key }, transports: [transport] },
      extraHeaders: from(`2001:db8:${(callers++).toString(16)}::1`),
    })
    await expect(again).rejects.toMatchObject({ data: { code: 'UNAUTHORIZED' } })
  }
}

test('A08, defect 30: a key that was revoked, or whose time is over, is refused at once, and is off every line in 5 seconds', () =>
  here().server.attack(async () => {
    const { app, server, ours } = here()
    const { request_id } = ours.asked
    const expires_at = new Date(Date.now() + 1_500).toISOString()
    const expiring = await makeKey(app, ours.account, { expires_at })
    const revoked = await makeKey(app, ours.account)
    server.keepSecret(expiring.key, revoked.key)
    const opened = await Promise.all([expiring, revoked].map(({ key }) => openAll(key, request_id)))
    await revokeKey(app, ours.account, revoked.id)
    const ended = Promise.all(opened.map(expectAllEnd))
    await expectShut(revoked.key)
    const look = async () => (await app.get('/hitl/pending', expiring.headers)).status
    await eventually(look).toBe(401)
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(expires_at))
    await ended
    // Nor is a client let in that comes back to go on where it was.
    for (const { key } of [expiring, revoked]) await expectShut(key)
  }))

describe('A09: what is changed in the database holds without a restart:', () => {
  test.for(['UPDATE', 'DELETE', 'ROTATE'] as const)('a key, by %s', (how) =>
    here().server.attack(async () => {
      const { app, server, ours } = here()
      const { id, key } = await makeKey(app, ours.account)
      const next = `lk_pub_${randomBytes(32).toString('hex')}`
      server.keepSecret(key, next)
      expect((await app.get('/hitl/pending', bearer(key))).status).toBe(200)
      const { db } = server.store.database
      if (how === 'DELETE') await db.deleteFrom('api_keys').where('id', '=', id).execute()
      else {
        const digest = createHash('sha256').update(next).digest('hex')
        const change = how === 'ROTATE' ? { digest } : { revoked_at: new Date() }
        await db.updateTable('api_keys').set(change).where('id', '=', id).execute()
      }
      await expectShut(key)
      const status = how === 'ROTATE' ? 200 : 401
      expect((await app.get('/hitl/pending', bearer(next))).status).toBe(status)
    }),
  )

  test('defect 34: a user who is gone, with his token, his keys and his lines', () =>
    here().server.attack(async () => {
      const { app, server } = here()
      const gone = await openAccount(app)
      const { key } = await makeKey(app, gone)
      server.keepSecret(key, gone.token)
      await using socket = await FrameSocket.open(app.url, { headers: gone.headers })
      const { db } = server.store.database
      await db.deleteFrom('users').where('id', '=', gone.id).execute()
      await expectShut(key)
      await expectShut(gone.token)
      expect((await login(app, gone.username, PASSWORD)).status).toBe(401)
      expect((await app.post('/api/user/apikeys', {}, gone.headers)).status).toBe(401)
      const decision = `/api/requests/${NOWHERE}/decision`
      expect((await app.post(decision, { option: 'Yes' }, gone.headers)).status).toBe(401)
      expect((await socket.closed).code).toBe(3500)
    }))

  test('a signing secret, and no token of the one before', async () => {
    await using server = await startGuarded({ JWT_SECRET: 'the-first-secret-of-this-server-01' })
    const { app } = server
    const account = await openAccount(app)
    const { headers } = await makeKey(app, account)
    server.keepSecret(account.token)
    const env = { AUTH: 'required', DATABASE_URL: server.store.url ?? '' }
    await using next = await startTestApp(
      { ...env, JWT_SECRET: 'the-second-secret-of-this-server-2' },
      { logger: server.log.logger },
    )
    await server.attack(async () => {
      expect((await next.get('/hitl/pending', account.headers)).status).toBe(401)
      expect((await next.get('/hitl/pending', headers)).status).toBe(200)
    })
  })
})

import { type Kysely, sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { openDatabase } from '../../../src/storage/database.ts'
import type { Tables } from '../../../src/storage/schema.ts'
import { type Account, makeKey, openAccount, revokeKey } from '../../support/accounts.ts'
import type { TestApp } from '../../support/app.ts'
import { type OpenServer, openServer, startOn } from '../../support/readers/server.ts'
import { openSocketIo } from '../../support/readers/socketio.ts'
import { FrameSocket } from '../../support/readers/websocket.ts'

/** What the contract allows, from the revocation on. */
const LIMIT_MS = 5_000

const REQUIRED = { AUTH: 'required' }
const SESSION = { session_id: 's', client_id: 'c' }

/** How everything that was open ended. */
interface Ends {
  readonly [transport: string]: unknown
}

/** Everything that stays open, with one credential. Resolves when all of it is. */
async function openAll({ url }: TestApp, token: string): Promise<{ ends: Promise<Ends> }> {
  const headers = { authorization: `Bearer ${token}` }
  const framed = await FrameSocket.open(url, { query: '?session_id=s', headers })
  await framed.first('subscribed')
  const [websocket, polling] = [await joined('websocket'), await joined('polling')]
  const stream = await fetch(`${url}/hitl/stream?session_id=s`, { headers })
  const waiting = fetch(`${url}/hitl/poll?session_id=s&wait=50`, { headers })
  const ends = async () => ({
    websocket: [await framed.first('disconnect'), await framed.closed],
    socketio: await websocket.ended,
    'socketio polling': await polling.ended,
    sse: (await stream.text()).includes('event: hello'),
    poll: (await waiting).status,
    'asked anew': (await fetch(`${url}/hitl/stream?session_id=s`, { headers })).status,
  })
  return { ends: ends() }

  /** Joins, and resolves with what ends it. */
  async function joined(transport: 'websocket' | 'polling') {
    const options = { transports: [transport], auth: { token }, reconnection: true }
    const socket = await openSocketIo(url, options)
    expect(await socket.emitWithAck('subscribe', { session_id: 's' })).toMatchObject({ ok: true })
    const said: unknown[] = []
    socket.on('closing', (farewell: unknown) => said.push(farewell))
    const { promise, resolve } = Promise.withResolvers<unknown>()
    socket.on('disconnect', (reason) => {
      resolve([...said, reason, socket.active])
      socket.close()
    })
    return { ended: promise }
  }
}

const FAREWELL = { code: 3500, reason: 'no longer authorized', reconnect: false }
const ENDED = {
  websocket: [FAREWELL, { code: 3500, reason: 'no longer authorized' }],
  socketio: [FAREWELL, 'io server disconnect', false],
  'socketio polling': [FAREWELL, 'io server disconnect', false],
  sse: true,
  poll: 401,
  'asked anew': 401,
}

async function openDb({ place }: OpenServer) {
  const opened = await openDatabase({ type: 'postgres', url: place['DATABASE_URL'] ?? '' })
  return { db: opened.db, [Symbol.asyncDispose]: () => opened.close() }
}

/** A user with a session, whose key is in use. */
async function scene(server: OpenServer): Promise<Account> {
  const ann = await openAccount(server.app)
  await server.app.post('/hitl/register', SESSION, ann.headers)
  return ann
}

async function within(ends: Promise<Ends>, since: number): Promise<Ends> {
  const seen = await ends
  expect(performance.now() - since).toBeLessThan(LIMIT_MS)
  return seen
}

describe.each(['pglite', 'postgres'] as const)('W3: what is open with a key, on %s,', (kind) => {
  test('ends when the key is revoked, and nothing comes any more', async () => {
    await using server = await openServer(kind, REQUIRED)
    const ann = await scene(server)
    const { id, key } = await makeKey(server.app, ann)
    const other = await makeKey(server.app, ann)
    const { ends } = await openAll(server.app, key)
    await using stays = await FrameSocket.open(server.app.url, { headers: other.headers })
    const revokedAt = performance.now()
    await revokeKey(server.app, ann, id)
    expect(await within(ends, revokedAt)).toMatchObject(ENDED)
    stays.send({ type: 'subscribe', session_id: 's' })
    expect(await stays.first('subscribed')).toMatchObject({ session_id: 's' })
  })
})

describe('what is open', () => {
  test('ends when the key is revoked in another process', async () => {
    await using server = await openServer('postgres', REQUIRED)
    await using other = await startOn(server.place, REQUIRED)
    const ann = await scene(server)
    const { id, key } = await makeKey(server.app, ann)
    const { ends } = await openAll(server.app, key)
    const revokedAt = performance.now()
    await revokeKey(other, ann, id)
    expect(await within(ends, revokedAt)).toMatchObject(ENDED)
  })

  test('ends when the key expires', async () => {
    await using server = await openServer('postgres', REQUIRED)
    const ann = await scene(server)
    const expiresAt = performance.now() + 2_000
    const expires_at = new Date(Date.now() + 2_000).toISOString()
    const { key } = await makeKey(server.app, ann, { expires_at })
    const { ends } = await openAll(server.app, key)
    expect(await within(ends, expiresAt)).toMatchObject(ENDED)
    expect(performance.now()).toBeGreaterThanOrEqual(expiresAt)
  })

  test('with a person’s token ends with the user', async () => {
    await using server = await openServer('postgres', REQUIRED)
    const ann = await scene(server)
    const { ends } = await openAll(server.app, ann.token)
    await using at = await openDb(server)
    const goneAt = performance.now()
    await deleteUser(at.db, ann.id)
    expect(await within(ends, goneAt)).toMatchObject(ENDED)
  })
})

const deleteUser = (db: Kysely<Tables>, id: string) =>
  sql`DELETE FROM users WHERE id = ${id}`.execute(db)

import pg from 'pg'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { ask } from '../../support/readers/http.ts'
import { Line } from '../../support/readers/line.ts'
import { type OpenServer, openServer, startOn } from '../../support/readers/server.ts'
import { emit, openSocketIo } from '../../support/readers/socketio.ts'
import { FrameSocket } from '../../support/readers/websocket.ts'
import { Wire } from '../../support/readers/wire.ts'
import { TcpSwitch } from '../../support/tcp-switch.ts'

const UPGRADE = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
}

/** More than a stop closes in its first step: the others are closed when time passes. */
const MANY = 60

/** A server for which time passes when the test says so: a stop lasts as long as we look at it. */
async function openInFakeTime(): Promise<OpenServer> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  return openServer('postgres', { SHUTDOWN_GRACE: '10' })
}

/** Lets a stop come to its end. */
async function finish(stopped: Promise<void>): Promise<void> {
  const ticking = setInterval(() => void vi.advanceTimersByTimeAsync(100), 5)
  try {
    await stopped
  } finally {
    clearInterval(ticking)
  }
}

afterEach(() => {
  vi.useRealTimers()
})

const UNAVAILABLE = { code: 'UNAVAILABLE', retry_after_ms: expect.any(Number) }

describe('while the server stops', () => {
  test('frames on a WebSocket that is still open are refused, and it is closed in its turn', async () => {
    await using server = await openInFakeTime()
    const line = await Line.open(server.app)
    await using stack = new AsyncDisposableStack()
    const sockets: FrameSocket[] = []
    for (let i = 0; i < MANY; i++) {
      sockets.push(stack.use(await FrameSocket.open(server.app.url)))
    }
    const [first] = sockets
    const last = sockets.at(-1)
    await last?.first('hello')
    const stopped = server.app.app.stop()
    expect(await first?.closed).toMatchObject({ code: 1012 })
    const body = { session_id: line.id, client_id: line.clientId, message: 'Now?' }
    last?.send({ type: 'request', id: 'ask', body })
    last?.send({ type: 'cancel', id: 'cancel', request_id: 'any' })
    last?.send({ type: 'subscribe', id: 'sub', session_id: line.id })
    expect(await last?.answer('ask')).toMatchObject({ type: 'error', ...UNAVAILABLE })
    expect(await last?.answer('cancel')).toMatchObject({ type: 'error', ...UNAVAILABLE })
    expect(last?.socket.readyState).toBe(last?.socket.OPEN)
    await finish(stopped)
    expect(await last?.closed).toMatchObject({ code: 1012 })
    const hints = sockets.map(({ frames }) => frames.items.at(-1)?.retry_after_ms)
    expect(new Set(hints).size).toBeGreaterThan(MANY / 2)
  })

  test('packets on Socket.IO and handshakes are refused, and new work and streams over HTTP', async () => {
    await using server = await openInFakeTime()
    const { url } = server.app
    const line = await Line.open(server.app)
    const options = { transports: ['websocket'] }
    const sockets = await Promise.all(
      Array.from({ length: MANY }, () => openSocketIo(url, options)),
    )
    const hints: number[] = []
    const reasons: string[] = []
    for (const socket of sockets) {
      socket.on('closing', ({ retry_after_ms }) => hints.push(retry_after_ms))
      socket.on('disconnect', (reason) => reasons.push(reason))
    }
    const stopped = server.app.app.stop()
    const open = sockets.filter(({ connected }) => connected).at(-1)
    if (!open) throw new Error('all were closed at once')
    const body = { session_id: line.id, client_id: line.clientId, message: 'Now?' }
    expect(await emit(open, 'request', body)).toMatchObject({ ok: false, ...UNAVAILABLE })
    expect(await emit(open, 'subscribe', line.target)).toMatchObject({ ok: false, ...UNAVAILABLE })

    expect((await ask(`${url}/livez`)).status).toBe(200)
    const ready = await ask(`${url}/readyz`)
    expect([ready.status, ready.text]).toEqual([503, expect.stringContaining('draining')])
    for (const path of [
      `/hitl/stream?session_id=${line.id}`,
      `/hitl/poll?session_id=${line.id}&wait=5`,
      '/socket.io/?EIO=4&transport=polling',
    ]) {
      const refused = await ask(`${url}${path}`)
      expect([path, refused.status]).toEqual([path, 503])
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
      expect(refused.text).toContain('"code":"UNAVAILABLE"')
    }
    for (const path of ['/ws', '/socket.io/?EIO=4&transport=websocket']) {
      using wire = await Wire.open(url)
      wire.request('GET', path, UPGRADE)
      expect(await wire.closed()).toMatch(/^HTTP\/1.1 503 [\s\S]*^retry-after: [1-9]/im)
    }

    await finish(stopped)
    await expect.poll(() => reasons.length, { timeout: 5_000 }).toBe(MANY)
    expect(new Set(reasons)).toEqual(new Set(['transport close']))
    expect(new Set(hints).size).toBeGreaterThan(MANY / 2)
  })

  test('each SSE stream is told when to come back, each another time, and ends', async () => {
    await using server = await openInFakeTime()
    const line = await Line.open(server.app)
    using stack = new DisposableStack()
    const wires: Wire[] = []
    for (let i = 0; i < MANY; i++) {
      const wire = stack.use(await Wire.open(server.app.url))
      wire.request('GET', `/hitl/stream?session_id=${line.id}`)
      await wire.until('recovered')
      wires.push(wire)
    }
    await finish(server.app.app.stop())
    const hints = await Promise.all(
      wires.map(async (wire) => /\nretry: (\d+)\n\n[^:]*$/.exec(await wire.closed())?.[1]),
    )
    for (const hint of hints) expect(Number(hint)).toBeGreaterThan(0)
    expect(new Set(hints).size).toBeGreaterThan(MANY / 2)
  })

  test('whoever waits is answered at once with what there is', async () => {
    await using server = await openInFakeTime()
    const line = await Line.open(server.app)
    const { cursor, request_id } = await line.ask()
    using bySession = await Wire.open(server.app.url)
    bySession.request('GET', `/hitl/poll?session_id=${line.id}&since=${cursor}&wait=50`)
    using byRequest = await Wire.open(server.app.url)
    byRequest.request('GET', `/hitl/poll?request_id=${request_id}&wait=50`)
    // Both have come in when an answer to something later is there.
    await server.app.get('/livez')
    await finish(server.app.app.stop())
    expect(await bySession.closed()).toMatch(/^HTTP\/1.1 (200 [\s\S]*"events":\[\]|503 )/)
    expect(await byRequest.closed()).toMatch(/^HTTP\/1.1 (200 [\s\S]*"status":"pending"|503 )/)
  })
})

async function connectTo({ place }: OpenServer): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: place['DATABASE_URL'] })
  await client.connect()
  return client
}

/** Holds a session's row, so that whoever asks in it waits until `release`. */
async function hold(server: OpenServer, sessionId: string) {
  const holder = await connectTo(server)
  // Another one looks on: inside a transaction, what the others do is seen as of the first look.
  const watcher = await connectTo(server)
  await holder.query('BEGIN')
  await holder.query('SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE', [sessionId])
  const connections = async (isWaiting: boolean) => {
    const { rows } = await watcher.query(
      `SELECT query FROM pg_stat_activity
       WHERE application_name = 'loopgate' AND datname = current_database()
         AND (wait_event_type IS NOT DISTINCT FROM 'Lock') = $1`,
      [isWaiting],
    )
    return rows
  }
  return {
    release: () => holder.query('COMMIT'),
    /** Until so many statements of the server wait for the row. */
    blocks: (count: number) =>
      expect.poll(async () => (await connections(true)).length, { timeout: 5_000 }).toBe(count),
    /** The server's other connections. */
    others: () => connections(false),
    async [Symbol.asyncDispose]() {
      await holder.end()
      await watcher.end()
    },
  }
}

test('what was begun on a socket is answered before a stop closes it', async () => {
  await using server = await openServer('postgres', { SHUTDOWN_GRACE: '10' })
  const line = await Line.open(server.app)
  await using socket = await FrameSocket.open(server.app.url)
  const client = await openSocketIo(server.app.url, { transports: ['websocket'] })
  await using held = await hold(server, line.id)
  try {
    const body = { session_id: line.id, client_id: line.clientId, message: 'Now?' }
    socket.send({ type: 'request', id: 1, body })
    const acknowledged = emit(client, 'request', body)
    await held.blocks(2)
    const stopped = server.app.app.stop()
    await held.release()
    expect(await socket.answer(1)).toMatchObject({ type: 'ack', ok: true })
    expect(await acknowledged).toMatchObject({ ok: true, status: 'pending' })
    expect(await socket.closed).toMatchObject({ code: 1012 })
    await stopped
  } finally {
    client.disconnect()
  }
})

test('a stop leaves no connection to the database behind, also when a statement hangs', async () => {
  await using server = await openServer('postgres', { SHUTDOWN_GRACE: '1' })
  const line = await Line.open(server.app)
  await using socket = await FrameSocket.open(server.app.url)
  await using held = await hold(server, line.id)
  const body = { session_id: line.id, client_id: line.clientId, message: 'Now?' }
  socket.send({ type: 'request', id: 1, body })
  await held.blocks(1)
  await server.app.app.stop()
  await socket.closed
  // Of the one that hangs PostgreSQL will see that nobody is there when it has the row.
  await expect.poll(held.others, { timeout: 5_000 }).toEqual([])
}, 30_000)

test('a stop does not wait for a database that has gone silent', async () => {
  await using server = await openServer('postgres')
  const url = new URL(server.place['DATABASE_URL'] ?? '')
  await using proxy = await TcpSwitch.start(url.href)
  url.port = new URL(proxy.url).port
  const other = await startOn({ DATABASE_URL: url.href }, { SHUTDOWN_GRACE: '1' })
  await other.register()
  proxy.freeze()
  // Whoever asks now waits for a statement that never ends.
  const asked = other.get('/hitl/pending').catch(() => undefined)
  await other.app.stop()
  await asked
}, 20_000)

test('a stop does not wait for a Socket.IO connection that nobody has joined on', async () => {
  await using server = await openServer('postgres', { SHUTDOWN_GRACE: '60' })
  using wire = await Wire.open(server.app.url)
  wire.request('GET', '/socket.io/?EIO=4&transport=websocket', UPGRADE)
  await wire.until('pingInterval')
  await server.app.app.stop()
  await wire.closed()
}, 20_000)

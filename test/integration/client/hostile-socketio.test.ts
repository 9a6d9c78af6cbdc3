import { Server as SocketServer } from 'socket.io'
import { beforeEach, expect, test } from 'vitest'
import { Loopgate, type Retry } from '../../../client/index.ts'
import { APPROVED, decided, FakeServer, PENDING, QUESTION } from './fake-server.ts'
import { FAST } from './server.ts'

let fake: FakeServer
let retries: Retry[]

beforeEach(async () => {
  fake = await FakeServer.start()
  fake.answer('POST /hitl/request', { success: true, ...PENDING })
  retries = []
  return () => fake[Symbol.asyncDispose]()
})

/** A client of a Socket.IO server that says what the test wants. */
async function clientOf(io: SocketServer) {
  io.attach(fake.http)
  const gate = new Loopgate({
    url: fake.url,
    transports: ['socketio'],
    timing: FAST,
    onRetry: (retry) => retries.push(retry),
  })
  return {
    gate,
    async [Symbol.asyncDispose]() {
      await gate.close()
      await io.close()
    },
  }
}

const hello = { ok: true, session_id: 's1', cursor: 'e-1', recovered: true }

test('a refused credential ends the wait', async () => {
  const io = new SocketServer()
  io.use((_, next) =>
    next(Object.assign(new Error('no'), { data: { code: 'UNAUTHORIZED', message: 'no' } })),
  )
  await using client = await clientOf(io)

  await expect(client.gate.request(QUESTION)).rejects.toMatchObject({
    code: 'UNAUTHORIZED',
    status: 401,
  })
})

test('a close for good ends the wait', async () => {
  const io = new SocketServer()
  io.on('connection', (socket) => {
    socket.on('subscribe', (_body, acknowledge) => {
      acknowledge(hello)
      socket.emit('closing', { code: 3500, reason: 'no longer authorized', reconnect: false })
      socket.conn.close()
    })
  })
  await using client = await clientOf(io)

  await expect(client.gate.request(QUESTION)).rejects.toMatchObject({
    code: 'DISCONNECTED',
    status: 3500,
  })
})

test('after a close for now it comes back as late as it was asked to, with its cursor', async () => {
  const bodies: unknown[] = []
  const io = new SocketServer()
  io.on('connection', (socket) => {
    socket.on('subscribe', (body, acknowledge) => {
      bodies.push(body)
      acknowledge({ ...hello, cursor: bodies.length === 1 ? 'e-7' : 'e-8' })
      if (bodies.length === 2) socket.emit('request.decided', decided(APPROVED, { id: 'e-9' }))
      const news = { code: 1012, reason: 'restart', reconnect: true, retry_after_ms: 300 }
      socket.emit('closing', news)
      socket.conn.close()
    })
  })
  await using client = await clientOf(io)

  expect(await client.gate.request(QUESTION)).toMatchObject({ approved: true })
  expect(bodies).toEqual([
    { session_id: 's1', since: 'e-1' },
    { session_id: 's1', since: 'e-7' },
  ])
  expect(retries[0]?.delayMs).toBeGreaterThanOrEqual(300)
})

test('what was left and taken up again hears nothing of before', async () => {
  const io = new SocketServer()
  io.on('connection', (socket) => {
    const seen = new Set<string>()
    socket.on('subscribe', ({ session_id }: { session_id: string }, acknowledge) => {
      if (seen.has(session_id)) socket.emit('request.decided', decided())
      seen.add(session_id)
      acknowledge({ ...hello, session_id, cursor: 'e-9' })
      socket.emit('request.decided', decided(APPROVED, { id: 'e-10' }))
    })
  })
  await using client = await clientOf(io)
  const { gate } = client
  const heard: string[] = []
  const listen = () => gate.on('*', ({ id }) => heard.push(id), { sessionId: 's1' })
  gate.on('*', () => undefined, { sessionId: 's2', onError: () => undefined })

  const off = listen()
  await expect.poll(() => heard).toEqual(['e-10'])
  off()
  listen()
  await expect.poll(() => heard).toEqual(['e-10', 'e-10'])
})

test('a subscription that the server ends is made again', async () => {
  let subscriptions = 0
  const io = new SocketServer()
  io.on('connection', (socket) => {
    socket.on('subscribe', (_body, acknowledge) => {
      subscriptions++
      acknowledge(hello)
      if (subscriptions === 2) socket.emit('request.decided', decided())
      else socket.emit('unsubscribed', { session_id: 's1', reason: 'too many' })
    })
  })
  await using client = await clientOf(io)

  expect(await client.gate.request(QUESTION)).toMatchObject({ approved: true })
})

test.each([
  ['a refusal that says nothing', { ok: false }],
  ['an acknowledgement without a place', { ok: true, cursor: 7 }],
  ['nothing', null],
])('%s as acknowledgement is thrown', async (_, answer) => {
  const io = new SocketServer()
  io.on('connection', (socket) => {
    socket.on('subscribe', (_body, acknowledge) => acknowledge(answer))
  })
  await using client = await clientOf(io)

  await expect(client.gate.request(QUESTION)).rejects.toMatchObject({ code: 'MALFORMED_ANSWER' })
})

test('garbage as an event is thrown', async () => {
  const io = new SocketServer()
  io.on('connection', (socket) => {
    socket.on('subscribe', (_body, acknowledge) => {
      acknowledge(hello)
      socket.emit('request.decided', 'approved')
    })
  })
  await using client = await clientOf(io)

  await expect(client.gate.request(QUESTION)).rejects.toMatchObject({ code: 'MALFORMED_ANSWER' })
})

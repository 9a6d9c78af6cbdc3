import type { Socket } from 'socket.io-client'
import { describe, expect, test } from 'vitest'
import type { Envelope } from '../../../src/protocol/types.ts'
import { Line } from '../../support/readers/line.ts'
import { serve } from '../../support/readers/server.ts'
import { emit, type Options, openSocketIo } from '../../support/readers/socketio.ts'
import { Inbox } from '../../support/readers/watch.ts'

const app = serve('postgres', { MAX_CONCURRENT_REQUESTS: '5000' })

/** A client that is disconnected in the end. */
async function open(options: Options = { transports: ['websocket'] }) {
  const socket = await openSocketIo(app().url, options)
  return { socket, [Symbol.dispose]: () => socket.disconnect() }
}

const questionOf = (line: Line, fields: object = {}) => ({
  session_id: line.id,
  client_id: line.clientId,
  message: 'Deploy?',
  ...fields,
})

describe.each(['websocket', 'polling'])('over %s alone', (transport) => {
  const options = { transports: [transport] }

  test('a request is acknowledged with its view', async () => {
    const line = await Line.open(app())
    using client = await open(options)
    const ack = await emit(client.socket, 'request', questionOf(line, { options: ['Yes'] }))
    const { ok, ...view } = ack
    expect(ok).toBe(true)
    expect(view).toEqual(await app().view(String(ack['request_id'])))
    expect(client.socket.io.engine.transport.name).toBe(transport)
  })

  test('an event arrives under its type, with the envelope as its one argument', async () => {
    const line = await Line.open(app())
    using client = await open(options)
    const arrived = new Inbox<unknown[]>()
    client.socket.on('request.decided', (...args: unknown[]) => arrived.push(args))
    const { cursor } = await line.ask()
    const ack = await emit(client.socket, 'subscribe', { session_id: line.id })
    expect(ack).toEqual({ ok: true, session_id: line.id, cursor, recovered: true })
    const decided = await line.settled()
    const [args] = await arrived.take(1)
    const [last] = (await line.log()).slice(-1)
    expect(args).toEqual([last])
    expect(last?.id).toBe(decided.cursor)
  })

  test('a cancellation is acknowledged, also again, and refused after a decision', async () => {
    const line = await Line.open(app())
    const [asked, decided] = [await line.ask(), await line.settled()]
    using client = await open(options)
    const first = await emit(client.socket, 'cancel', { request_id: asked.request_id })
    expect(first).toMatchObject({ ok: true, outcome: 'canceled', request_id: asked.request_id })
    expect(await emit(client.socket, 'cancel', { request_id: asked.request_id })).toEqual(first)
    const late = await emit(client.socket, 'cancel', { request_id: decided.request_id })
    expect(late).toMatchObject({ ok: false, code: 'REQUEST_ALREADY_SETTLED' })
    expect(late['request']).toEqual(await app().view(decided.request_id))
  })
})

test('a client left to its own devices starts by polling and really upgrades', async () => {
  const line = await Line.open(app())
  using client = await open({})
  const { engine } = client.socket.io
  const { promise, resolve } = Promise.withResolvers<void>()
  engine.once('upgrade', () => resolve())
  if (engine.transport.name !== 'websocket') await promise
  expect(engine.transport.name).toBe('websocket')
  const arrived = new Inbox<Envelope>()
  client.socket.on('request.decided', (event: Envelope) => arrived.push(event))
  await emit(client.socket, 'subscribe', { session_id: line.id })
  const { cursor } = await line.settled()
  await arrived.find(({ id }) => id === cursor)
})

test('events during the upgrade are neither lost nor repeated', async () => {
  const line = await Line.open(app())
  const socket = await openSocketIo(app().url)
  try {
    const arrived = new Inbox<string>()
    socket.onAny((_, event: Envelope) => arrived.push(event.id))
    const subscribed = emit(socket, 'subscribe', { session_id: line.id, since: 'earliest' })
    const settled = await Promise.all(Array.from({ length: 30 }, () => line.settled()))
    expect(await subscribed).toMatchObject({ ok: true })
    expect(settled).toHaveLength(30)
    const ids = (await line.log()).map(({ id }) => id)
    expect(await arrived.take(ids.length)).toEqual(ids)
  } finally {
    socket.disconnect()
  }
})

const deep = (depth: number): unknown => {
  let value: unknown = 'x'
  for (let i = 0; i < depth; i++) value = [value]
  return value
}

/** Emits text that was serialized by hand: the client's own JSON.stringify can not nest so deep. */
function emitRaw(socket: Socket, event: string, json: string): Promise<{ code?: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code?: string }>()
  const id = 7_777
  socket.io.engine.on('data', (data: unknown) => {
    const [, answer] = new RegExp(`^3${id}\\[([\\s\\S]*)\\]$`).exec(String(data)) ?? []
    // Without the "4" of engine.io, which the client has taken off.
    if (answer !== undefined) resolve(JSON.parse(answer))
  })
  socket.io.engine.write(`2${id}["${event}",${json}]`)
  return promise
}

const WRONG: Readonly<Record<string, readonly [event: string, args: unknown[], code: string]>> = {
  'a request without a body': ['request', [], 'INVALID_INPUT'],
  'a request of null': ['request', [null], 'INVALID_INPUT'],
  'a request of text': ['request', ['{"message":"x"}'], 'INVALID_INPUT'],
  'a request of bytes': ['request', [Buffer.from('x')], 'INVALID_INPUT'],
  'a request of a list': ['request', [[]], 'INVALID_INPUT'],
  'a request nested too deep': ['request', [{ metadata: deep(40) }], 'INVALID_INPUT'],
  'a request of over 256 KiB': ['request', [{ x: 'x'.repeat(300_000) }], 'PAYLOAD_TOO_LARGE'],
  'a cancellation of nothing': ['cancel', [{}], 'INVALID_INPUT'],
  'a cancellation of a number': ['cancel', [{ request_id: 1 }], 'INVALID_INPUT'],
  'a cancellation of what is not there': [
    'cancel',
    [{ request_id: 'nobody' }],
    'REQUEST_NOT_FOUND',
  ],
  'a subscription to nothing': ['subscribe', [{}], 'INVALID_INPUT'],
  'a subscription to two things': [
    'subscribe',
    [{ session_id: 's', request_id: 'r' }],
    'INVALID_INPUT',
  ],
  'a subscription with a cursor of another type': [
    'subscribe',
    [{ session_id: 's', since: {} }],
    'INVALID_INPUT',
  ],
  'a subscription to what is not there': [
    'subscribe',
    [{ session_id: 'nobody' }],
    'SESSION_NOT_FOUND',
  ],
  'a subscription with NUL in it': ['subscribe', [{ session_id: 'a\0b' }], 'INVALID_INPUT'],
}

test.each(Object.entries(WRONG))(
  '%s is acknowledged with what is wrong, and the connection lives',
  async (_, [event, args, code]) => {
    const line = await Line.open(app())
    using client = await open()
    const ack = await emit(client.socket, event, ...args)
    expect(ack).toMatchObject({ ok: false, code, message: expect.any(String) })
    expect(await emit(client.socket, 'request', questionOf(line))).toMatchObject({ ok: true })
  },
)

test('an error says which field of the body is wrong', async () => {
  const line = await Line.open(app())
  using client = await open()
  const ack = await emit(client.socket, 'request', questionOf(line, { message: 1 }))
  expect(ack['errors']).toEqual([{ path: '/message', message: expect.any(String) }])
})

test.each(['request', 'subscribe', 'cancel'])(
  'a %s nested absurdly deep is the client’s mistake, not the server’s',
  async (event) => {
    using client = await open()
    const depth = 100_000
    const json = `${'['.repeat(depth)}${']'.repeat(depth)}`
    expect(await emitRaw(client.socket, event, json)).toMatchObject({ code: 'INVALID_INPUT' })
  },
)

test('unknown events, and those that nobody wants acknowledged, are harmless', async () => {
  const line = await Line.open(app())
  using client = await open()
  const { socket } = client
  for (const event of ['decide', 'nothing', 'constructor', '__proto__', 'message', 'error']) {
    socket.emit(event, { session_id: line.id }, () => undefined)
    socket.emit(event)
  }
  socket.emit('request')
  socket.emit('subscribe', { session_id: 'nobody' })
  socket.emit('cancel', null)
  socket.emit('request', questionOf(line, { message: 'asked without an answer' }))
  const ack = await emit(socket, 'subscribe', { session_id: line.id, since: 'earliest' })
  expect(ack).toMatchObject({ ok: true })
  await expect
    .poll(async () => (await line.log()).map(({ data }) => data.message))
    .toEqual(['asked without an answer'])
})

test('unsubscribe ends the events', async () => {
  const line = await Line.open(app())
  using client = await open()
  const arrived = new Inbox<string>()
  client.socket.onAny((type: string) => arrived.push(type))
  await emit(client.socket, 'subscribe', { session_id: line.id })
  await emit(client.socket, 'unsubscribe', { session_id: line.id })
  await line.settled()
  await emit(client.socket, 'unsubscribe', { session_id: line.id })
  expect(arrived.items.filter((type) => type.startsWith('request.'))).toEqual([])
})

test('150 requests at once are all taken, as there is no limit to their rate', async () => {
  const line = await Line.open(app(), { client_id: 'eager' })
  using client = await open()
  const acks = await Promise.all(
    Array.from({ length: 150 }, () => emit(client.socket, 'request', questionOf(line))),
  )
  expect(acks.filter(({ ok }) => !ok).map(({ code }) => code)).toEqual([])
  expect(new Set(acks.map((ack) => ack['request_id'])).size).toBe(150)
})

test('every subscribe is acknowledged, also one that another follows at once', async () => {
  const line = await Line.open(app())
  using client = await open()
  const { socket } = client
  const acks = Promise.all([
    emit(socket, 'subscribe', { session_id: line.id }),
    emit(socket, 'subscribe', { session_id: line.id }),
    emit(socket, 'unsubscribe', { session_id: line.id }),
    emit(socket, 'subscribe', { session_id: line.id }),
  ])
  expect((await acks).map(({ ok }) => typeof ok)).toEqual(Array(4).fill('boolean'))
  const arrived = new Inbox<string>()
  socket.on('request.decided', ({ id }: Envelope) => arrived.push(id))
  const { cursor } = await line.settled()
  expect(await arrived.take(1)).toEqual([cursor])
})

test('packets that can not be read end their own connection and no other', async () => {
  const line = await Line.open(app())
  using other = await open()
  for (const packet of ['2["request",', '9', '2{"a":1}', '4x']) {
    using client = await open()
    const { promise, resolve } = Promise.withResolvers<string>()
    client.socket.on('disconnect', resolve)
    client.socket.io.engine.write(packet)
    await promise
  }
  // Nothing is wrong with these yet: an event without a name, and one whose bytes are to follow.
  using odd = await open()
  for (const packet of ['2', '2[1]', '51-["request"]']) odd.socket.io.engine.write(packet)
  expect(await emit(other.socket, 'request', questionOf(line))).toMatchObject({ ok: true })
})

test('a packet over 1 MiB ends its own connection and no other', async () => {
  const line = await Line.open(app())
  using other = await open()
  using client = await open()
  const { promise, resolve } = Promise.withResolvers<string>()
  client.socket.on('disconnect', resolve)
  client.socket.emit('request', { x: 'x'.repeat(1_100_000) })
  await promise
  expect(await emit(other.socket, 'request', questionOf(line))).toMatchObject({ ok: true })
})

import { describe, expect, test } from 'vitest'
import type { Envelope } from '../../../src/protocol/types.ts'
import { ask } from '../../support/readers/http.ts'
import { Line } from '../../support/readers/line.ts'
import { openServer, personOf, serve, startOn } from '../../support/readers/server.ts'
import { emit, type Options, openSocketIo } from '../../support/readers/socketio.ts'
import { Inbox } from '../../support/readers/watch.ts'
import { FrameSocket } from '../../support/readers/websocket.ts'

const app = serve('postgres')

interface ConnectError extends Error {
  readonly data?: { readonly code?: string; readonly message?: string }
}

async function refusal(url: string, options: Options): Promise<ConnectError> {
  try {
    const socket = await openSocketIo(url, options)
    socket.disconnect()
    throw new Error('it was let in')
  } catch (error) {
    return error as ConnectError
  }
}

describe.each(['websocket', 'polling'])('at the door, over %s', (transport) => {
  const options = { transports: [transport] }

  test('a wrong token is a connect_error with a code', async () => {
    const error = await refusal(app().url, { ...options, auth: { token: 'wrong' } })
    expect(error.data).toMatchObject({ code: 'UNAUTHORIZED', message: expect.any(String) })
  })

  test('with AUTH=required so is no token, and a good one is let in', async () => {
    await using server = await openServer('postgres', { AUTH: 'required' })
    const { url } = server.app
    const token = await personOf(server.app, 'tenant')
    expect((await refusal(url, options)).data?.code).toBe('UNAUTHORIZED')
    expect((await refusal(url, { ...options, auth: { token: 7 } })).data?.code).toBe('UNAUTHORIZED')
    const headers = { extraHeaders: { authorization: `Bearer ${token}` } }
    for (const good of [{ auth: { token } }, headers]) {
      const socket = await openSocketIo(url, { ...options, ...good })
      socket.disconnect()
    }
  })

  test('a foreign Origin is kept out', async () => {
    const extraHeaders = { Origin: 'https://evil.example' }
    const error = await refusal(app().url, { ...options, extraHeaders })
    expect(error.message).toMatch(/xhr poll error|websocket error/)
  })

  test('what came through a proxy is not local', async () => {
    const extraHeaders = { 'x-forwarded-for': '127.0.0.1' }
    const error = await refusal(app().url, { ...options, extraHeaders })
    expect(error.data?.code).toBe('UNAUTHORIZED')
  })
})

test('a foreign Origin or Host is 403 to the first request', async () => {
  const url = `${app().url}/socket.io/?EIO=4&transport=polling`
  expect((await ask(url, { headers: { origin: 'https://evil.example' } })).status).toBe(403)
  expect((await ask(url, { headers: { host: 'evil.example' } })).status).toBe(403)
  expect((await ask(url)).status).toBe(200)
})

test('WebSockets at /ws beside it work as if it were not there', async () => {
  const line = await Line.open(app())
  const client = await openSocketIo(app().url, { transports: ['websocket'] })
  try {
    await emit(client, 'subscribe', { session_id: line.id })
    await using socket = await FrameSocket.open(app().url, { query: `?session_id=${line.id}` })
    await socket.first('subscribed')
    const both = new Inbox<string>()
    client.on('request.decided', ({ id }: Envelope) => both.push(id))
    const { cursor } = await line.settled()
    await socket.answer(cursor)
    expect(await both.take(1)).toEqual([cursor])
  } finally {
    client.disconnect()
  }
})

test.each(['websocket', 'polling'])(
  'a stop is told as closing, and closes so that a client on %s comes back',
  async (transport) => {
    await using server = await openServer('postgres')
    const socket = await openSocketIo(server.app.url, { transports: [transport] })
    try {
      const said = new Inbox<unknown>()
      socket.on('closing', (closing: unknown) => said.push(closing))
      socket.on('disconnect', (reason) => said.push(reason))
      // Meanwhile a client that polls has begun to wait for the next answer.
      for (let i = 0; i < 5; i++) await ask(`${server.app.url}/livez`)
      await server.app.app.stop()
      const [closing, reason] = await said.take(2)
      expect(closing).toEqual({
        code: expect.toBeOneOf([1012, 3001]),
        reason: expect.any(String),
        reconnect: true,
        retry_after_ms: expect.any(Number),
      })
      // After "io server disconnect" it would not.
      expect(reason).toMatch(/^transport (close|error)$/)
    } finally {
      socket.disconnect()
    }
  },
)

test.each([
  ['websocket', 'pglite'],
  ['polling', 'postgres'],
] as const)(
  'a client on %s comes back by itself after a restart on %s, and goes on from its cursor',
  async (transport, kind) => {
    await using server = await openServer(kind)
    const { url } = server.app
    const line = await Line.open(server.app)
    const socket = await openSocketIo(url, {
      transports: [transport],
      reconnection: true,
      reconnectionDelay: 20,
      reconnectionDelayMax: 100,
    })
    try {
      const ids = new Inbox<string>()
      const connects = new Inbox<true>()
      socket.onAny((type: string, { id }: Envelope) => {
        if (type.startsWith('request.')) ids.push(id)
      })
      socket.on('connect', () => connects.push(true))
      await emit(socket, 'subscribe', { session_id: line.id })
      const open = await line.ask()
      await ids.take(1)
      await server.app.app.stop()
      await using again = await startOn(server.place, { SERVER_PORT: new URL(url).port })
      await connects.take(1)
      const { body: decided } = await again.decide(open.request_id, { option: 'Yes' })
      const since = ids.items.at(-1)
      const ack = await emit(socket, 'subscribe', { session_id: line.id, since })
      expect(ack).toMatchObject({ ok: true, cursor: open.cursor, recovered: true })
      const { cursor }: { cursor: string } = decided
      expect(await ids.take(2)).toEqual([open.cursor, cursor])
    } finally {
      socket.disconnect()
    }
  },
  60_000,
)

import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { eventually } from '../support/eventually.ts'
import { WatchedServer } from '../support/hardening.ts'
import { ask } from '../support/readers/http.ts'
import { emit, openSocketIo } from '../support/readers/socketio.ts'
import { Inbox } from '../support/readers/watch.ts'
import { FrameSocket } from '../support/readers/websocket.ts'
import { Wire } from '../support/readers/wire.ts'

/** Clients that are many, loud, or gone. */

let server: WatchedServer
beforeAll(async () => {
  server = await WatchedServer.start({ MAX_CONCURRENT_REQUESTS: '10000' })
  await server.app.register()
})
afterAll(() => server[Symbol.asyncDispose]())

const TO_SOCKET_IO = '/socket.io/?EIO=4&transport=websocket'
const wsUrl = (path: string) => server.app.url.replace('http', 'ws') + path

/** A client of Socket.IO that says what it likes. */
async function rude() {
  const socket = new WebSocket(wsUrl(TO_SOCKET_IO))
  const heard = new Inbox<string>()
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  socket.on('message', (data) => heard.push(data.toString()))
  socket.on('error', () => undefined)
  socket.on('close', () => resolve())
  await heard.find((packet) => packet.startsWith('0'))
  socket.send('40')
  await heard.find((packet) => packet.startsWith('40'))
  return { socket, heard, closed, [Symbol.dispose]: () => socket.terminate() }
}

/** How many streams the server has open. */
async function streams(transport: string): Promise<number> {
  const { text } = await ask(`${server.app.url}/metrics`)
  const name = `loopgate_stream_connections{transport="${transport}"} `
  return Number(text.slice(text.indexOf(name) + name.length).split('\n', 1)[0])
}

/** Ends its own connection, or is nothing to anybody. */
const PACKETS: Readonly<Record<string, readonly (string | Buffer)[]>> = {
  'an event that nobody knows': ['42["decide",{"option":"Yes"}]', '421["approve",{}]'],
  'the name "error"': ['42["error",{"a":1}]', '42["error"]'],
  'the name "connect"': ['42["connect",{}]', '42["connect_error",{}]'],
  'the name "disconnect"': ['42["disconnect","x"]', '42["disconnecting"]'],
  'the name "newListener"': ['42["newListener"]', '42["removeListener"]'],
  'a name that every object has': ['42["constructor"]', '42["__proto__",{}]', '42["toString",1]'],
  'a name that is no text': ['42[1]', '42[null]', '42[{}]', '42[]', '42{}', '42"x"'],
  'no wish for an answer': ['42["request"]', '42["subscribe",{}]', '42["cancel",null]'],
  'eleven attachments': [
    `4511-["request",${JSON.stringify(Array.from({ length: 11 }, (_, num) => ({ _placeholder: true, num })))}]`,
    ...Array.from({ length: 11 }, (_, i) => Buffer.from([i])),
  ],
  'an attachment that never comes': ['451-["request",{"_placeholder":true,"num":0}]', '42["x"]'],
  'a placeholder that leads nowhere': [
    '451-["request",{"_placeholder":true,"num":99}]',
    Buffer.from('x'),
  ],
  'bytes that nobody waits for': [Buffer.alloc(1_000)],
  'another namespace': ['40/admin,{}', '42/admin,["request",{}]', '40/__proto__,'],
  'an acknowledgement that nobody asked for': ['43999["x"]', '430[]'],
  'a second handshake': ['40{"token":"x"}', '40'],
  'what is no packet': ['9', '4x', '', '42["request",'],
  'an old protocol': ['5', '6', '1', '2probe', '3probe'],
  'two megabytes': [`42["request",${JSON.stringify('x'.repeat(2_000_000))}]`],
}

test.for(Object.entries(PACKETS))('A68: %s is nothing to anybody else', ([, packets]) =>
  server.attack(async () => {
    using other = await rude()
    using client = await rude()
    for (const packet of packets) client.socket.send(packet)
    other.socket.send('427["cancel",{"request_id":"nobody"}]')
    const answer = await other.heard.find((packet) => packet.startsWith('437'))
    expect(answer).toContain('REQUEST_NOT_FOUND')
  }),
)

test('A68: a packet over 1 MiB ends its connection, before it is all there', () =>
  server.attack(async () => {
    using client = await rude()
    client.socket.send(`42["request",${JSON.stringify('x'.repeat(2_000_000))}]`)
    await client.closed
    await using frames = await FrameSocket.open(server.app.url)
    frames.socket.send('x'.repeat(2_000_000))
    expect(await frames.closed).toMatchObject({ code: 1009 })
  }))

test('A68: a thousand events a second from one holds up nobody else', () =>
  server.attack(async () => {
    using loud = await rude()
    for (let i = 0; i < 3_000; i++) loud.socket.send(`42${i}["subscribe",{"session_id":"nobody"}]`)
    const socket = await openSocketIo(server.app.url)
    const start = performance.now()
    const answer = await emit(socket, 'subscribe', { session_id: 's1' })
    const waited = performance.now() - start
    expect(answer).toMatchObject({ ok: true })
    expect(waited).toBeLessThan(2_000)
    socket.disconnect()
    // Each of the three thousand has its answer.
    await loud.heard.find((packet) => packet.startsWith('432999'))
  }))

test('A68: a storm of clients that come and go leaves nothing behind', () =>
  server.attack(async () => {
    const before = await streams('socketio')
    for (let round = 0; round < 10; round++) {
      await Promise.all(
        Array.from({ length: 40 }, async (_, i) => {
          if (i % 2) {
            using _client = await rude()
            return
          }
          // Gone in the middle of the handshake.
          const socket = new WebSocket(wsUrl(TO_SOCKET_IO))
          socket.on('error', () => undefined)
          const { promise, resolve } = Promise.withResolvers<void>()
          socket.on('open', () => resolve())
          await promise
          socket.terminate()
        }),
      )
    }
    await eventually(() => streams('socketio')).toBe(before)
  }))

const LISTENERS = 300

test('A69: hundreds who are idle, or never read, cost little, and are gone when they go', async () => {
  global.gc?.()
  const before = process.memoryUsage().rss
  const idle = await Promise.all(
    Array.from({ length: LISTENERS }, async (_, i) => {
      if (i % 3 === 0) return FrameSocket.open(server.app.url, { query: '?session_id=s1' })
      const wire = await Wire.open(server.app.url)
      wire.request('GET', '/hitl/stream?session_id=s1')
      await wire.until('recovered')
      if (i % 3 === 1) wire.socket.pause()
      return wire
    }),
  )
  await server.attack(
    async () => {
      // Those who read have it at once, whoever does not.
      const { request_id } = await server.app.ask()
      const [reader] = idle.filter((one) => one instanceof FrameSocket)
      await reader?.first('request.created')
      await server.app.post('/hitl/cancel', { request_id })
      await reader?.first('request.canceled')
      expect(process.memoryUsage().rss - before).toBeLessThan(LISTENERS * 400 * 1024)
    },
    { mayAdd: true },
  )
  for (const one of idle) {
    if (one instanceof FrameSocket) one.socket.terminate()
    else one[Symbol.dispose]()
  }
  await eventually(() => streams('sse')).toBe(0)
  await eventually(() => streams('websocket')).toBe(0)
})

test('A69: whoever never reads is cut when too much waits, and goes on where he was', async () => {
  const from = (await server.app.ask()).cursor
  using slow = await Wire.open(server.app.url)
  slow.request('GET', `/hitl/stream?session_id=s1&since=${from}`)
  await slow.until('recovered')
  slow.socket.pause()
  await server.attack(
    async () => {
      // About 110 KB an event, and more in all than the kernel and the server hold.
      const large = { message: '😀'.repeat(20_000), metadata: { text: 'x'.repeat(30_000) } }
      for (let i = 0; i < 100 && (await streams('sse')) > 0; i++) await server.app.ask(large)
      await eventually(() => streams('sse')).toBe(0)
    },
    { mayAdd: true },
  )
  const { status, body } = await server.app.get<{ events: object[]; recovered: boolean }>(
    `/hitl/poll?session_id=s1&since=${from}`,
  )
  expect({ status, recovered: body.recovered }).toEqual({ status: 200, recovered: true })
  expect(body.events.length).toBeGreaterThan(5)
}, 60_000)

test('A70: a thousand long-polls whose clients hang up leave nothing behind', async () => {
  const { request_id } = await server.app.ask()
  const connections = () =>
    process
      .getActiveResourcesInfo()
      .filter((name) => name === 'TCPServerWrap' || name === 'TCPSocketWrap').length
  const before = connections()
  await server.attack(async () => {
    const path = `/hitl/poll?request_id=${request_id}&wait=50`
    for (let round = 0; round < 5; round++) {
      const waiting = await Promise.all(
        Array.from({ length: 200 }, async () => {
          const wire = await Wire.open(server.app.url)
          wire.request('GET', path)
          return wire
        }),
      )
      // The server has them when it has what was sent after them.
      expect((await server.app.get('/livez')).status).toBe(200)
      for (const wire of waiting) wire[Symbol.dispose]()
    }
    await eventually(connections).toBeLessThan(before + 20)
  })
  // Nobody who left is woken, and one who waits still is.
  const held = server.app.get(`/hitl/poll?request_id=${request_id}&wait=20`)
  await server.app.post('/hitl/cancel', { request_id })
  expect((await held).body.outcome).toBe('canceled')
}, 30_000)

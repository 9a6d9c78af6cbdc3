import { channel } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { ask } from '../../support/readers/http.ts'
import { READERS } from '../../support/readers/index.ts'
import { Line } from '../../support/readers/line.ts'
import { serve } from '../../support/readers/server.ts'
import { connectSse } from '../../support/readers/sse.ts'
import { Inbox } from '../../support/readers/watch.ts'
import { connectWebSocket, FrameSocket } from '../../support/readers/websocket.ts'
import { Wire } from '../../support/readers/wire.ts'

const app = serve('postgres', { MAX_CONCURRENT_REQUESTS: '10000', SHUTDOWN_GRACE: '5' })

/** As large as a request may be: about 110 KB on the wire, twice, with its cancellation. */
const LARGE = { message: '😀'.repeat(20_000), metadata: { text: 'x'.repeat(30_000) } }

const POLL = { timeout: 8_000, interval: 20 }

/** On the wire, about. */
const LARGE_BYTES = 120_000

/** In all more than what the kernel holds for a connection, and 1 MiB. */
const TURNS = 40

/** The sockets of the server, which is in this process. */
const sockets = new Set<Socket>()

/** Bytes that wait in this process for somebody to take them. The kernel's own are not among them. */
const buffered = (): number =>
  [...sockets].reduce((bytes, { writableLength }) => bytes + writableLength, 0)

function opened(message: unknown): void {
  const { socket } = message as { socket: Socket }
  sockets.add(socket)
  socket.once('close', () => sockets.delete(socket))
}

beforeAll(() => channel('net.server.socket').subscribe(opened))
afterAll(() => void channel('net.server.socket').unsubscribe(opened))

async function largeTurn(line: Line): Promise<void> {
  await line.cancel(await line.ask(LARGE))
}

async function connections(transport: string): Promise<number> {
  const { text } = await ask(`${app().url}/metrics`)
  const line = `loopgate_stream_connections{transport="${transport}"} `
  return Number(text.slice(text.indexOf(line) + line.length).split('\n', 1)[0])
}

describe('a reader that reads', () => {
  let line: Line
  beforeAll(async () => {
    line = await Line.open(app())
    for (let i = 0; i < TURNS; i++) await largeTurn(line)
  }, 60_000)

  test.each(Object.entries(READERS))(
    'is not cut on %s, however much it catches up on at once',
    async (_, connect) => {
      const end = await line.end()
      await using reader = await connect(app().url, { target: line.target, since: 'earliest' })
      expect(await reader.upTo(end)).toHaveLength(2 * TURNS)
    },
  )
})

/** Each begins to read the session, and then takes nothing any more. */
const STALLED: Readonly<Record<string, (line: Line) => Promise<Disposable>>> = {
  async sse(line) {
    const wire = await Wire.open(app().url)
    wire.request('GET', `/hitl/stream?session_id=${line.id}`)
    await wire.until('recovered')
    wire.socket.pause()
    return wire
  },
  async websocket(line) {
    const { socket, frames } = await FrameSocket.open(app().url, {
      query: `?session_id=${line.id}`,
    })
    await frames.find(({ type }) => type === 'subscribed')
    socket.pause()
    return { [Symbol.dispose]: () => socket.terminate() }
  },
  async socketio(line) {
    const url = `${app().url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`
    const socket = new WebSocket(url)
    socket.on('error', () => undefined)
    const packets = new Inbox<string>()
    socket.on('message', (data) => packets.push(data.toString()))
    await packets.find((packet) => packet.startsWith('0'))
    socket.send('40')
    await packets.find((packet) => packet.startsWith('40'))
    socket.send(`420${JSON.stringify(['subscribe', { session_id: line.id }])}`)
    await packets.find((packet) => packet.startsWith('430'))
    socket.pause()
    return { [Symbol.dispose]: () => socket.terminate() }
  },
}

describe('a reader that does not read', () => {
  test.each(Object.entries(STALLED))(
    'is cut on %s, and slows nobody',
    async (transport, stall) => {
      const line = await Line.open(app())
      const connect = transport === 'sse' ? connectWebSocket : connectSse
      using _stalled = await stall(line)
      await using other = await connect(app().url, { target: line.target })
      expect(await connections(transport)).toBe(1)
      let most = 0
      for (let i = 0; i < TURNS; i++) {
        await largeTurn(line)
        // The other one takes it all: what still waits is the stalled one's.
        await expect.poll(() => other.events.length, POLL).toBe(2 * (i + 1))
        most = Math.max(most, buffered())
      }
      // Of Socket.IO's it is a part: the packets behind the first wait in engine.io.
      expect(most).toBeGreaterThan(0)
      // What may wait, the event that is too much, and the close.
      expect(most).toBeLessThan(1024 * 1024 + 2 * LARGE_BYTES)
      await expect.poll(() => connections(transport), POLL).toBe(0)
      expect(buffered()).toBe(0)
    },
    40_000,
  )

  test('is told 3008 on a WebSocket when it reads again, and is to come back', async () => {
    const line = await Line.open(app())
    const { cursor } = await line.ask()
    await using slow = await FrameSocket.open(app().url, { query: `?session_id=${line.id}` })
    await slow.first('subscribed')
    slow.socket.pause()
    for (let i = 0; i < TURNS; i++) await largeTurn(line)
    slow.socket.resume()
    const { code } = await slow.closed
    // 1006 when the server had given up on the handshake before it was read.
    expect([3008, 1006]).toContain(code)
    const last = slow.frames.items.filter(({ type }) => type.startsWith('request.')).at(-1)
    const page = `/hitl/poll?session_id=${line.id}&since=${last?.id ?? cursor}`
    const { status, body } = await app().get<{ recovered: boolean }>(page)
    expect({ status, recovered: body.recovered }).toEqual({ status: 200, recovered: true })
  })
})

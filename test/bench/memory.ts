import { Agent, get } from 'node:http'
import { WebSocket } from 'ws'
import { inParallel, post } from './calls.ts'
import { type Running, run } from './processes.ts'
import { table } from './report.ts'

type Open = (address: string, i: number) => Promise<() => void>

interface Kind {
  readonly name: string
  /** Goal in KB a connection. */
  readonly goal: number
  readonly ours: Open
  readonly bare: Open
}

const KINDS: readonly Kind[] = [
  {
    name: 'WebSocket',
    goal: 12,
    ours: (address, i) =>
      webSocket(`${address.replace('http', 'ws')}/ws?session_id=m${i}`, /"subscribed"/),
    bare: (address) => webSocket(`${address.replace('http', 'ws')}/ws`),
  },
  {
    name: 'SSE',
    goal: 14,
    ours: (address, i) => stream(`${address}/hitl/stream?session_id=m${i}`),
    bare: (address) => stream(`${address}/sse`),
  },
  {
    name: 'Socket.IO',
    goal: 20,
    ours: (address, i) => socketIo(address, `m${i}`),
    bare: (address) => socketIo(address),
  },
]

/** Resident memory that one idle, subscribed connection costs the server, beside the bare library. */
export async function measureMemory(databaseUrl: string, count: number): Promise<string> {
  await registerAll(databaseUrl, count)
  const rows: string[][] = []
  for (const kind of KINDS) {
    const ours = await measure(count, kind.ours, async () => {
      const server = serve(databaseUrl)
      const [, address = ''] = await server.said(/listening on (\S+)/)
      return { server, address }
    })
    const bare = await measure(count, kind.bare, async () => {
      const server = run('test/bench/bare.ts')
      const [, address = '', socketio = ''] = await server.said(/listening on (\S+) (\S+)/)
      return { server, address: kind.name === 'Socket.IO' ? socketio : address }
    })
    rows.push([
      kind.name,
      ours.toFixed(1),
      bare.toFixed(1),
      (ours - bare).toFixed(1),
      `${kind.goal}`,
    ])
  }
  return table(['', 'KB each', 'bare library', 'Loopgate adds', 'goal'], rows)
}

async function measure(
  count: number,
  open: Open,
  start: () => Promise<{ server: Running; address: string }>,
): Promise<number> {
  const { server, address } = await start()
  await using _ = server
  // What is loaded and compiled once is not a connection's.
  const warm = await inParallel(Math.min(200, count), (i) => open(address, i))
  for (const close of warm) close()
  await server.memory()
  const before = await server.memory()
  const closers = await inParallel(count, (i) => open(address, i))
  const after = await server.memory()
  for (const close of closers) close()
  return (after - before) / count / 1024
}

const serve = (databaseUrl: string): Running =>
  run('src/main.ts', [], { DATABASE_URL: databaseUrl, SERVER_PORT: '0', LOG_LEVEL: 'error' })

/** By a server of its own: what this leaves free in a heap would hide what connections take. */
async function registerAll(databaseUrl: string, count: number): Promise<void> {
  await using server = serve(databaseUrl)
  const [, address = ''] = await server.said(/listening on (\S+)/)
  await inParallel(count, (i) =>
    post(`${address}/hitl/register`, { session_id: `m${i}`, client_id: 'bench' }),
  )
}

function webSocket(url: string, ready?: RegExp): Promise<() => void> {
  const { promise, resolve, reject } = Promise.withResolvers<() => void>()
  const socket = new WebSocket(url, { perMessageDeflate: false })
  const done = () => resolve(() => socket.terminate())
  socket.on('error', reject)
  if (ready) {
    socket.on('message', (data) => {
      if (ready.test(data.toString())) done()
    })
  } else socket.on('open', done)
  return promise
}

const streams = new Agent({ keepAlive: false, maxSockets: Number.POSITIVE_INFINITY })

function stream(url: string): Promise<() => void> {
  const { promise, resolve, reject } = Promise.withResolvers<() => void>()
  const call = get(url, { agent: streams }, (response) => {
    response.once('data', () => resolve(() => call.destroy()))
  })
  call.on('error', reject)
  return promise
}

/** engine.io 4 and Socket.IO 5 by hand, because 5,000 real clients would not fit beside the server. */
function socketIo(address: string, sessionId?: string): Promise<() => void> {
  const { promise, resolve, reject } = Promise.withResolvers<() => void>()
  const url = `${address.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`
  const socket = new WebSocket(url, { perMessageDeflate: false })
  const done = () => resolve(() => socket.terminate())
  socket.on('error', reject)
  socket.on('message', (data) => {
    const text = data.toString()
    if (text.startsWith('0')) socket.send('40')
    else if (text === '2') socket.send('3')
    else if (text.startsWith('40')) {
      if (sessionId === undefined) done()
      else socket.send(`420${JSON.stringify(['subscribe', { session_id: sessionId }])}`)
    } else if (text.startsWith('430')) done()
  })
  return promise
}

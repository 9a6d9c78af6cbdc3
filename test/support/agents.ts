import { type ClientRequest, get, type IncomingMessage } from 'node:http'
import { createParser } from 'eventsource-parser'
import { WebSocket } from 'ws'

/** How an agent of a test reaches its server. */
export interface Line {
  /** Where a new connection goes. */
  readonly url: () => string
  readonly token: string
  readonly sessionId: string
  /** The cursor to go on from. */
  readonly since: string
}

interface Ears {
  /** Reading has begun, or a page of it is there. */
  placed(recovered: boolean): void
  event(cursor: string): void
}

/** One connection, until it ends. Resolves with how long the server asked to wait, if it did. */
type Connection = (line: Line, ears: Ears, signal: AbortSignal) => Promise<number | undefined>

const auth = (token: string) => ({ authorization: `Bearer ${token}` })

const sse: Connection = (line, ears, signal) => {
  const { promise, resolve } = Promise.withResolvers<number | undefined>()
  let hint: number | undefined
  let isPlaced = false
  const parser = createParser({
    onRetry: (ms) => {
      if (isPlaced) hint = ms
    },
    onEvent: ({ event, id = '', data }) => {
      if (event === 'hello') ears.placed(JSON.parse(data).recovered)
      else ears.event(id)
      isPlaced = true
    },
  })
  const headers = { ...auth(line.token), 'last-event-id': line.since }
  const path = `${line.url()}/hitl/stream?session_id=${line.sessionId}`
  const request: ClientRequest = get(path, { headers, agent: false, signal }, (response) => {
    if (response.statusCode !== 200) hint = retryAfter(response)
    else response.setEncoding('utf8').on('data', (text: string) => parser.feed(text))
    response.on('error', () => undefined).on('close', () => resolve(hint))
    response.resume()
  })
  request.on('error', () => resolve(undefined))
  return promise
}

const websocket: Connection = (line, ears, signal) => {
  const query = `?session_id=${line.sessionId}&since=${line.since}`
  return frames(`${line.url().replace('http', 'ws')}/ws${query}`, line, signal, (text, socket) => {
    const frame = JSON.parse(text)
    if (frame.type === 'error') socket.close()
    if (frame.type === 'subscribed') ears.placed(frame.recovered)
    else if (frame.type.startsWith('request.')) ears.event(frame.id)
    return frame.type === 'disconnect' || frame.type === 'error' ? frame.retry_after_ms : undefined
  })
}

/** Socket.IO's packets by hand: a client library for each of thousands is what would be measured. */
const socketio: Connection = (line, ears, signal) => {
  const url = `${line.url().replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`
  return frames(url, line, signal, (packet, socket) => {
    const [, type = '', json = 'null'] = /^(\d+)(.*)$/s.exec(packet) ?? []
    const body = JSON.parse(json || 'null')
    switch (type) {
      case '0':
        socket.send(`40${JSON.stringify({ token: line.token })}`)
        return undefined
      case '2':
        socket.send('3')
        return undefined
      case '40':
        socket.send(
          `420${JSON.stringify(['subscribe', { session_id: line.sessionId, since: line.since }])}`,
        )
        return undefined
      case '430':
        return answered(body[0], ears, socket)
      case '42':
        return told(body, ears)
      default:
        return undefined
    }
  })
}

interface Acknowledgement {
  readonly ok: boolean
  readonly recovered: boolean
  readonly retry_after_ms?: number
}

function answered(answer: Acknowledgement, ears: Ears, socket: WebSocket): number | undefined {
  if (answer.ok) ears.placed(answer.recovered)
  else socket.close()
  return answer.retry_after_ms
}

type Told = readonly [name: string, body: { readonly id: string; readonly retry_after_ms?: number }]

function told([name, body]: Told, ears: Ears): number | undefined {
  if (name === 'closing') return body.retry_after_ms
  ears.event(body.id)
  return undefined
}

function frames(
  url: string,
  { token }: Line,
  signal: AbortSignal,
  take: (text: string, socket: WebSocket) => number | undefined,
): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | undefined>()
  let hint: number | undefined
  const socket = new WebSocket(url, { headers: auth(token), perMessageDeflate: false })
  const leave = () => socket.terminate()
  signal.addEventListener('abort', leave)
  socket.on('message', (data) => {
    hint = take(data.toString(), socket) ?? hint
  })
  socket.on('unexpected-response', (request, response) => {
    hint = retryAfter(response)
    request.destroy()
    socket.terminate()
  })
  socket.on('error', () => undefined)
  socket.on('close', () => {
    signal.removeEventListener('abort', leave)
    resolve(hint)
  })
  return promise
}

interface Page {
  readonly events: readonly { readonly id: string }[]
  readonly cursor: string
}

const poll: Connection = async (line, ears, signal) => {
  let since = line.since
  for (let wait = 0; ; wait = 20) {
    const query = `session_id=${line.sessionId}&since=${since}&wait=${wait}`
    const url = `${line.url()}/hitl/poll?${query}`
    const page = await readPage(url, line, signal)
    if (typeof page !== 'object') {
      if (page === 'gone') ears.placed(false)
      return typeof page === 'number' ? page : undefined
    }
    ears.placed(true)
    for (const { id } of page.events) ears.event(id)
    since = page.cursor
  }
}

/** A page, or when to come back; undefined when nobody answered. */
async function readPage(
  url: string,
  { token }: Line,
  signal: AbortSignal,
): Promise<Page | number | 'gone' | undefined> {
  try {
    const response = await fetch(url, { headers: auth(token), signal })
    const text = await response.text()
    if (response.status === 410) return 'gone'
    if (response.status === 200) return JSON.parse(text) as Page
    return Number(response.headers.get('retry-after') ?? 0) * 1_000
  } catch {
    return undefined
  }
}

const retryAfter = ({ headers }: IncomingMessage): number | undefined =>
  headers['retry-after'] === undefined ? undefined : Number(headers['retry-after']) * 1_000

export const CONNECTIONS = { sse, websocket, socketio, poll } as const

export type ConnectionName = keyof typeof CONNECTIONS

/** An agent that reads one session and comes back whenever it is cut off, with its cursor. */
export class RollingAgent {
  readonly sessionId: string
  /** Every event, in the order of coming. */
  readonly heard: string[] = []
  /** Times at which reading began. */
  readonly placed: number[] = []
  /** Times at which a connection ended. */
  readonly lost: number[] = []
  gaps = 0
  readonly #connect: Connection
  readonly #line: Omit<Line, 'since'>
  readonly #stop = new AbortController()
  #since: string
  #running: Promise<void> | undefined

  constructor(name: ConnectionName, line: Line) {
    this.#connect = CONNECTIONS[name]
    this.#line = line
    this.#since = line.since
    this.sessionId = line.sessionId
  }

  start(): void {
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    for (let attempt = 0; !signal.aborted; attempt++) {
      const before = this.placed.length
      const hint = await this.#connect({ ...this.#line, since: this.#since }, this.#ears(), signal)
      if (signal.aborted) return
      this.lost.push(performance.now())
      if (this.placed.length > before) attempt = 0
      // What the server asks for, and a little; else full jitter, as loopgate-client does.
      const ms = hint === undefined ? Math.min(8_000, 250 * 2 ** attempt) : 250
      await pause((hint ?? 0) + Math.random() * ms, signal)
    }
  }

  #ears(): Ears {
    return {
      placed: (recovered) => {
        this.placed.push(performance.now())
        if (!recovered) this.gaps++
      },
      event: (cursor) => {
        this.heard.push(cursor)
        this.#since = cursor
      },
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  signal.addEventListener('abort', () => resolve(), { once: true })
  return promise.finally(() => clearTimeout(timer))
}

import { WebSocket } from 'ws'
import type { Envelope } from '../../../src/protocol/types.ts'
import { bearer, type Connect, Reader, Refused } from './reader.ts'
import { Inbox } from './watch.ts'

/** A frame of the server, which is an envelope or one of those that have a `type` of their own. */
export interface Frame {
  readonly type: string
  readonly id?: string | number
  readonly code?: string | number
  readonly message?: string
  readonly session_id?: string
  readonly request_id?: string
  readonly cursor?: string
  readonly recovered?: boolean
  readonly reason?: string
  readonly reconnect?: boolean
  readonly retry_after_ms?: number
  readonly ok?: boolean
  readonly body?: Readonly<Record<string, unknown>>
  readonly request?: Readonly<Record<string, unknown>>
  readonly errors?: readonly { readonly path: string }[]
}

export interface Closed {
  readonly code: number
  readonly reason: string
}

const HANDSHAKE_MS = 20_000

/** A WebSocket at /ws, whose frames are kept as they come. */
export class FrameSocket implements AsyncDisposable {
  readonly socket: WebSocket
  readonly frames = new Inbox<Frame>()
  readonly closed: Promise<Closed>

  private constructor(socket: WebSocket) {
    this.socket = socket
    const { promise, resolve } = Promise.withResolvers<Closed>()
    this.closed = promise
    socket.on('message', (data) => this.frames.push(JSON.parse(data.toString())))
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }))
    // What was wrong shows in how it was closed.
    socket.on('error', () => undefined)
  }

  /** @throws {Refused} with the status of an upgrade that was refused. */
  static async open(
    url: string,
    { query = '', headers = {} }: { query?: string; headers?: Record<string, string> } = {},
  ): Promise<FrameSocket> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws${query}`, {
      headers,
      handshakeTimeout: HANDSHAKE_MS,
    })
    const framed = new FrameSocket(socket)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    socket.once('open', resolve)
    socket.once('error', reject)
    socket.once('unexpected-response', (request, response) => {
      reject(new Refused(String(response.headers['content-type']), response.statusCode))
      request.destroy()
    })
    await promise
    return framed
  }

  send(frame: unknown): void {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
  }

  /** The first frame of this type, past or to come. */
  first(type: string): Promise<Frame> {
    return this.frames.find((frame) => frame.type === type)
  }

  /** The answer to what was sent with this id. */
  answer(id: string | number): Promise<Frame> {
    return this.frames.find((frame) => frame.id === id)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.terminate()
    await this.closed
  }
}

/** Subscribes by a frame, after `hello`. */
export const connectWebSocket: Connect = async (url, { target, since, token }) => {
  const socket = await FrameSocket.open(url, { headers: bearer(token) })
  const reader = readerOf(socket)
  await socket.first('hello')
  socket.send({ type: 'subscribe', ...target, since })
  return begun(reader)
}

/** Subscribes by the query of the address, as a client does that never sends anything. */
export const connectWebSocketByQuery: Connect = async (url, { target, since, token }) => {
  const query = new URLSearchParams({ ...target, ...(since !== undefined && { since }) })
  const socket = await FrameSocket.open(url, { query: `?${query}`, headers: bearer(token) })
  return begun(readerOf(socket))
}

async function begun(reader: Reader): Promise<Reader> {
  try {
    return await reader.begun()
  } catch (error) {
    await reader[Symbol.asyncDispose]()
    throw error
  }
}

function readerOf(framed: FrameSocket): Reader {
  const reader = new Reader(() => framed[Symbol.asyncDispose]())
  const take = (frame: Frame) => {
    switch (frame.type) {
      case 'hello':
        break
      case 'subscribed':
        reader.started({ cursor: frame.cursor ?? '', recovered: frame.recovered === true })
        break
      case 'unsubscribed':
        reader.over()
        break
      case 'error':
        reader.failed(new Refused(String(frame.code)))
        break
      default:
        reader.heard(frame as unknown as Envelope)
    }
  }
  for (const frame of framed.frames.items) take(frame)
  framed.socket.on('message', (data) => take(JSON.parse(data.toString())))
  framed.socket.on('close', (code) => reader.failed(new Error(`closed with ${code}`)))
  return reader
}

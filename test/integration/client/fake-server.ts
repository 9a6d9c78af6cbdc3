import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { RequestView } from '../../../src/protocol/types.ts'

type Handler = (response: ServerResponse, request: IncomingMessage, url: URL) => void

/** A server that says what a test wants it to say. */
export class FakeServer implements AsyncDisposable {
  /** By `METHOD /path`. What is not there is 404, with no code. */
  readonly routes = new Map<string, Handler>()
  /** `METHOD /path?query` of every request. */
  readonly seen: string[] = []
  readonly http: Server

  private constructor() {
    this.http = createServer((request, response) => {
      const url = new URL(request.url ?? '/', 'http://fake')
      this.seen.push(`${request.method} ${request.url}`)
      const handler = this.routes.get(`${request.method} ${url.pathname}`)
      if (handler) handler(response, request, url)
      else response.writeHead(404).end('nothing here')
    })
  }

  static async start(): Promise<FakeServer> {
    const fake = new FakeServer()
    await new Promise<void>((resolve) => fake.http.listen(0, '127.0.0.1', resolve))
    return fake
  }

  get url(): string {
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`
  }

  answer(route: string, body: unknown, status = 200, headers: Record<string, string> = {}): void {
    this.routes.set(route, (response) => send(response, body, status, headers))
  }

  count(part: string): number {
    return this.seen.filter((seen) => seen.includes(part)).length
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.http.close(resolve))
    this.http.closeAllConnections()
    await closed
  }
}

export function send(
  response: ServerResponse,
  body: unknown,
  status = 200,
  headers: Record<string, string> = {},
): void {
  response
    .writeHead(status, { 'content-type': 'application/json', ...headers })
    .end(typeof body === 'string' ? body : JSON.stringify(body))
}

/** Begins an event stream, with a hello. */
export function stream(
  response: ServerResponse,
  hello: unknown = { cursor: 'e-1', recovered: true },
) {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const say = (event: string, data: unknown) => {
    const text = typeof data === 'string' ? data : JSON.stringify(data)
    response.write(`event: ${event}\ndata: ${text}\n\n`)
  }
  say('hello', hello)
  return { say, heartbeat: () => response.write(':\n\n') }
}

/** What is asked of it, */
export const QUESTION = { sessionId: 's1', clientId: 'c1', message: 'Deploy?' }

/** and what it says to that. */
export const PENDING: RequestView = {
  request_id: 'r1',
  session_id: 's1',
  client_id: 'c1',
  message: 'Deploy?',
  request_type: 'confirmation',
  options: [],
  metadata: {},
  status: 'pending',
  outcome: null,
  completed: false,
  approved: false,
  response: null,
  comment: null,
  decided_by: null,
  delivery: [],
  created_at: '2026-01-01T00:00:00.000Z',
  expires_at: '2026-01-01T00:05:00.000Z',
  responded_at: null,
  timestamp: '2026-01-01T00:00:00.000Z',
  cursor: 'e-1',
  receipt: null,
}

export const APPROVED: RequestView = {
  ...PENDING,
  status: 'completed',
  outcome: 'approved',
  completed: true,
  approved: true,
  response: 'yes',
  decided_by: { channel: 'console', id: 'local', name: 'local reviewer' },
  responded_at: '2026-01-01T00:01:00.000Z',
  timestamp: '2026-01-01T00:01:00.000Z',
  cursor: 'e-2',
}

export const decided = (data: object = APPROVED, more: object = {}) => ({
  id: 'e-2',
  type: 'request.decided',
  session_id: 's1',
  request_id: 'r1',
  timestamp: '2026-01-01T00:01:00.000Z',
  data,
  ...more,
})

import {
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { connect } from 'node:net'

/** What the proxy does to a request. */
export type Verdict =
  | 'pass'
  /** 403, with a page of the proxy's own. */
  | 'refuse'
  /** Never answered. */
  | 'hang'
  /** Passed on; the answer is thrown away and the connection cut. */
  | 'drop-answer'
  /** Passed on; of the answer only the headers come. */
  | 'hold-body'
  /** Cut before anything is passed on. */
  | 'cut'

/** Stands between client and server, and does what networks do. */
export class FlakyProxy implements AsyncDisposable {
  /** Asked for every request and upgrade. */
  rule: (request: IncomingMessage) => Verdict = () => 'pass'
  /** Every request there was, `GET /hitl/poll?…`. */
  readonly seen: string[] = []
  /** Where the server is. */
  target: string
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #streams = new Map<Socket, string>()

  private constructor(target: string) {
    this.target = target
    this.#server = createServer((incoming, response) => this.#request(incoming, response))
    this.#server.on('connection', (socket) => this.#track(socket))
    this.#server.on('upgrade', (incoming, socket: Socket, head) =>
      this.#upgrade(incoming, socket, head),
    )
  }

  static async start(target: string): Promise<FlakyProxy> {
    const proxy = new FlakyProxy(target)
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Connections on which an answer of this path has begun and goes on, or is held by the server. */
  open(path: string): number {
    return [...this.#streams.values()].filter((open) => open.startsWith(path)).length
  }

  get connections(): number {
    return this.#sockets.size
  }

  /** Breaks every connection there is. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** From now on nothing gets through, in either direction, and nobody is told. */
  freeze(): void {
    for (const socket of this.#sockets) socket.unpipe().pause()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.cut()
    await closed
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      this.#sockets.delete(socket)
      this.#streams.delete(socket)
    })
  }

  #judge(incoming: IncomingMessage): Verdict {
    this.seen.push(`${incoming.method} ${incoming.url}`)
    return this.rule(incoming)
  }

  #request(incoming: IncomingMessage, response: ServerResponse): void {
    const verdict = this.#judge(incoming)
    if (verdict === 'hang') return
    if (verdict === 'cut') {
      incoming.socket.destroy()
      return
    }
    if (verdict === 'refuse') {
      response.writeHead(403, { 'content-type': 'text/html' }).end('<h1>Forbidden by proxy</h1>')
      return
    }
    const { method, url, headers } = incoming
    const outgoing = request(new URL(url ?? '/', this.target), { method, headers }, (answer) => {
      if (verdict === 'drop-answer') {
        incoming.socket.destroy()
        return
      }
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      response.flushHeaders()
      if (verdict === 'hold-body') return
      this.#streams.set(incoming.socket, url ?? '/')
      answer.on('end', () => this.#streams.delete(incoming.socket))
      answer.pipe(response)
    })
    if (url?.includes('wait=25')) this.#streams.set(incoming.socket, url)
    outgoing.on('error', () => incoming.socket.destroy())
    response.once('close', () => outgoing.destroy())
    incoming.pipe(outgoing)
  }

  #upgrade(incoming: IncomingMessage, socket: Socket, head: Buffer): void {
    const verdict = this.#judge(incoming)
    if (verdict === 'hang') return
    if (verdict !== 'pass') {
      socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
      return
    }
    const { hostname, port } = new URL(this.target)
    const upstream = connect(Number(port), hostname, () => {
      const lines = incoming.rawHeaders.map((text, i) =>
        i % 2 === 0 ? `${text}: ` : `${text}\r\n`,
      )
      upstream.write(`GET ${incoming.url} HTTP/1.1\r\n${lines.join('')}\r\n`)
      upstream.write(head)
      upstream.pipe(socket)
      socket.pipe(upstream)
    })
    upstream.once('data', () => this.#streams.set(socket, incoming.url ?? '/'))
    upstream.on('error', () => socket.destroy())
    upstream.on('close', () => socket.destroy())
    socket.on('close', () => upstream.destroy())
  }
}

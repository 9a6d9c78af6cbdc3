import { connect, type Socket } from 'node:net'
import { Watch } from './watch.ts'

/** A TCP connection to a server, for what no well-behaved client does. */
export class Wire implements Disposable {
  readonly socket: Socket
  readonly #watch = new Watch()
  #text = ''
  #isClosed = false

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      this.#text += chunk
      this.#watch.changed()
    })
    socket.on('close', () => {
      this.#isClosed = true
      this.#watch.changed()
    })
    // A reset shows as closed.
    socket.on('error', () => undefined)
  }

  static async open(url: string): Promise<Wire> {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    socket.once('connect', resolve)
    socket.once('error', reject)
    await promise
    return new Wire(socket)
  }

  /** Everything that came. */
  get text(): string {
    return this.#text
  }

  write(...lines: string[]): void {
    this.socket.write(lines.join('\r\n'))
  }

  /** Sends a request without a body. */
  request(method: string, path: string, headers: Readonly<Record<string, string>> = {}): void {
    const lines = Object.entries({ Host: '127.0.0.1', ...headers }).map((pair) => pair.join(': '))
    this.write(`${method} ${path} HTTP/1.1`, ...lines, '', '')
  }

  /** Everything that came, as soon as it has this. */
  until(part: string | RegExp): Promise<string> {
    const has = () => (typeof part === 'string' ? this.#text.includes(part) : part.test(this.#text))
    return this.#watch.until(
      () => (has() ? this.#text : undefined),
      () => `${part} in ${JSON.stringify(this.#text.slice(-1_000))}`,
    )
  }

  /** Everything that came before the server closed it. */
  closed(): Promise<string> {
    return this.#watch.until(
      () => (this.#isClosed ? this.#text : undefined),
      () => `the end after ${JSON.stringify(this.#text.slice(-1_000))}`,
    )
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}

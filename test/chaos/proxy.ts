import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/**
 * What happens to bytes: `half-open` swallows what the server says while what it is told arrives,
 * `blackhole` swallows both, and neither side is told. `reset` lets nothing begin. `slow` holds each
 * chunk up, `narrow` lets 20 kB a second through.
 */
export type Weather = 'fair' | 'slow' | 'narrow' | 'half-open' | 'blackhole' | 'reset'

const BYTES_PER_MS = 20

interface Pair {
  readonly client: Socket
  readonly server: Socket
  /** Bytes to the client until the cut. */
  left: number
}

/** A TCP proxy in which the network can be bad. */
export class TcpProxy implements AsyncDisposable {
  weather: Weather = 'fair'
  /** Milliseconds for each chunk while it is `slow`. */
  delayMs = 100
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  readonly #target: () => { readonly host: string; readonly port: number } | undefined

  private constructor(target: () => { host: string; port: number } | undefined) {
    this.#target = target
    this.#server = createServer((client) => this.#open(client))
  }

  static async start(
    target: () => { host: string; port: number } | undefined,
    port = 0,
  ): Promise<TcpProxy> {
    const proxy = new TcpProxy(target)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    proxy.#server.once('error', reject)
    proxy.#server.listen(port, '127.0.0.1', resolve)
    await promise
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get connections(): number {
    return this.#pairs.size
  }

  /** Every connection there is breaks, after so many more bytes to the client. */
  cut(bytes = 0): void {
    for (const pair of this.#pairs) {
      pair.left = bytes
      if (bytes === 0) breakOff(pair)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server.close(() => resolve())
    this.cut()
    await promise
  }

  #open(client: Socket): void {
    const target = this.#target()
    client.on('error', () => undefined)
    if (!target || this.weather === 'reset') {
      client.resetAndDestroy()
      return
    }
    const server = connect(target.port, target.host)
    // A proxy that collects bytes would add 40 ms to whatever comes in several pieces.
    client.setNoDelay()
    server.setNoDelay()
    const pair: Pair = { client, server, left: Number.POSITIVE_INFINITY }
    this.#pairs.add(pair)
    server.on('error', () => client.resetAndDestroy())
    server.on('close', () => client.destroy())
    client.on('close', () => {
      this.#pairs.delete(pair)
      server.destroy()
    })
    client.on('data', (chunk) => this.#pass(client, server, chunk))
    server.on('data', (chunk) => this.#back(pair, chunk))
  }

  #back(pair: Pair, chunk: Buffer): void {
    if (this.weather === 'half-open') return
    const whole = chunk.subarray(0, Math.min(chunk.length, pair.left))
    pair.left -= whole.length
    this.#pass(pair.server, pair.client, whole)
    if (pair.left <= 0) breakOff(pair)
  }

  #delayOf({ length }: Buffer): number {
    if (this.weather === 'slow') return this.delayMs
    return this.weather === 'narrow' ? length / BYTES_PER_MS : 0
  }

  #pass(from: Socket, to: Socket, chunk: Buffer): void {
    if (this.weather === 'blackhole') return
    const write = () => {
      if (!to.destroyed && !to.write(chunk)) {
        from.pause()
        to.once('drain', () => from.resume())
      }
    }
    const ms = this.#delayOf(chunk)
    if (ms === 0) {
      write()
      return
    }
    from.pause()
    setTimeout(() => {
      write()
      from.resume()
    }, ms)
  }
}

/** What was written before arrives; then it is over. */
function breakOff({ client, server }: Pair): void {
  client.end()
  server.destroy()
}

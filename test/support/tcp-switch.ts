import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** A load balancer: new connections go where it points to now, those that are open stay. */
export class TcpSwitch implements AsyncDisposable {
  /** `http://127.0.0.1:8080` */
  target: string
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(target: string) {
    this.target = target
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#join(socket))
  }

  static async start(target: string): Promise<TcpSwitch> {
    const self = new TcpSwitch(target)
    const { promise, resolve } = Promise.withResolvers<void>()
    self.#server.listen({ host: '127.0.0.1', port: 0, backlog: 4_096 }, resolve)
    await promise
    return self
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** From now on nothing gets through, in either direction, and nobody is told. */
  freeze(): void {
    for (const socket of this.#sockets) socket.unpipe().pause()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #join(socket: Socket): void {
    const { hostname, port } = new URL(this.target)
    const upstream = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    for (const [one, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      this.#sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        this.#sockets.delete(one)
        other.destroySoon()
      })
      one.pipe(other)
    }
  }
}

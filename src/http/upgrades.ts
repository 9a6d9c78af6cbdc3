import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'

/** Shares the upgrades of one HTTP server between WebSocket servers that do not know each other. */
export class Upgrades {
  readonly #claimed: string[] = []
  readonly #paths: string[] = []
  readonly #sockets = new Set<Duplex>()
  readonly #others = new EventEmitter()
  #server: Server | undefined

  /** Whether somebody takes this request as an upgrade. */
  takes({ url = '', headers, method }: IncomingMessage): boolean {
    const [path = ''] = url.split('?', 1)
    return (
      method === 'GET' &&
      headers.upgrade?.toLowerCase() === 'websocket' &&
      (this.#isClaimed(url) || this.#paths.includes(path))
    )
  }

  attach(server: Server): void {
    this.#server = server
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
      if (!this.#isClaimed(request.url ?? '')) this.#others.emit('upgrade', request, socket, head)
    })
  }

  /** The server to attach to, for all paths that begin with the prefix. */
  claim(prefix: string): Server {
    if (!this.#server) throw new Error('upgrades are claimed before there is a server')
    this.#claimed.push(prefix)
    return this.#server
  }

  /** What emits `upgrade` for the path; nothing else of a server is there. */
  share(path: string): Server {
    this.#paths.push(path)
    return this.#others as Server
  }

  /** Cuts what is left of them: closing an HTTP server does not touch upgraded connections. */
  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #isClaimed(url: string): boolean {
    return this.#claimed.some((prefix) => url.startsWith(prefix))
  }
}

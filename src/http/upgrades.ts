import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'

/** Shares the upgrades of one HTTP server between WebSocket servers that do not know each other. */
export class Upgrades {
  readonly #server: Server
  readonly #claimed: string[] = []
  readonly #sockets = new Set<Duplex>()
  /** Emits `upgrade` for every path that nobody claimed; nothing else of a server is there. */
  readonly others: Server

  constructor(server: Server) {
    this.#server = server
    const others = new EventEmitter()
    this.others = others as Server
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
      if (this.#claimed.some((prefix) => request.url?.startsWith(prefix))) return
      others.emit('upgrade', request, socket, head)
    })
  }

  /** Cuts what is left of them: closing an HTTP server does not touch upgraded connections. */
  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  claim(prefix: string): Server {
    this.#claimed.push(prefix)
    return this.#server
  }
}

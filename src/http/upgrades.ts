import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'

/** Shares the upgrades of one HTTP server between WebSocket servers that do not know each other. */
export class Upgrades {
  readonly #server: Server
  readonly #claimed: string[] = []
  /** Emits `upgrade` for every path that nobody claimed; nothing else of a server is there. */
  readonly others: Server

  constructor(server: Server) {
    this.#server = server
    const others = new EventEmitter()
    this.others = others as Server
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (this.#claimed.some((prefix) => request.url?.startsWith(prefix))) return
      others.emit('upgrade', request, socket, head)
    })
  }

  claim(prefix: string): Server {
    this.#claimed.push(prefix)
    return this.#server
  }
}

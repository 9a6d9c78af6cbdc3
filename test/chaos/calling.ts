import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import type { Envelope } from '../../src/protocol/types.ts'
import { heardOf } from './facts.ts'
import type { History } from './history.ts'
import { Random } from './random.ts'

const HANG_MS = 20_000

/**
 * The server of the agents that want to be called back. It fails a callback once at most: the next
 * try comes after 5 s, the one after that only after 5 minutes.
 */
export class CallbackReceiver implements AsyncDisposable {
  /** Requests whose callback was taken. */
  readonly taken = new Set<string>()
  readonly #server: Server
  readonly #history: History
  readonly #random: Random
  readonly #canHang: boolean
  readonly #secrets = new Map<string, string>()
  readonly #failed = new Set<string>()
  #isWell = false

  private constructor(history: History, seed: number, canHang: boolean) {
    this.#history = history
    this.#random = new Random(seed, 'receiver of callbacks')
    this.#canHang = canHang
    this.#server = createServer((request, response) => {
      // Cut off by a process that dies: it was not taken.
      this.#receive(request, response).catch(() => response.destroy())
    })
  }

  /** `canHang`: a receiver that hangs is tried again after 20 s, which a short run has no time for. */
  static async start(history: History, seed: number, canHang: boolean): Promise<CallbackReceiver> {
    const receiver = new CallbackReceiver(history, seed, canHang)
    const { promise, resolve } = Promise.withResolvers<void>()
    receiver.#server.listen(0, '127.0.0.1', resolve)
    await promise
    return receiver
  }

  /** Where a session is called back, by whoever has its secret. */
  urlOf(session: string, secret: string): string {
    this.#secrets.set(session, secret)
    const { port } = this.#server.address() as AddressInfo
    return `http://127.0.0.1:${port}/${encodeURIComponent(session)}`
  }

  /** From now on it takes everything. */
  recover(): void {
    this.#isWell = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server.close(() => resolve())
    this.#server.closeAllConnections()
    await promise
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks).toString()
    const headers = request.headers as Record<string, string>
    const webhookId = headers['webhook-id'] ?? ''
    const session = decodeURIComponent((request.url ?? '').slice(1))
    const problem = problemOf(this.#secrets.get(session) ?? '', body, headers)
    const heard = heardOf(JSON.parse(body) as Envelope)
    this.#history.add({ t: 'called', at: Date.now(), webhookId, problem, to: session, ...heard })
    if (!this.#isWell && !this.#failed.has(webhookId) && this.#random.chance(0.3)) {
      this.#failed.add(webhookId)
      await this.#fail(response)
      return
    }
    if (problem !== null) {
      response.writeHead(401).end()
      return
    }
    this.taken.add(heard.request)
    response.end()
  }

  async #fail(response: ServerResponse): Promise<void> {
    const way = this.#random.pick(this.#canHang ? ['500', 'reset', 'hang'] : ['500', 'reset'])
    if (way === '500') response.writeHead(500).end()
    else if (way === 'reset') response.socket?.resetAndDestroy()
    else {
      await setTimeout(HANG_MS, undefined, { ref: false })
      response.destroy()
    }
  }
}

/** Why the library does not accept it; null when it does. */
function problemOf(secret: string, body: string, headers: Record<string, string>): string | null {
  try {
    new Webhook(secret).verify(body, headers)
    return null
  } catch (error) {
    return String(error)
  }
}

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Update } from '@grammyjs/types'

interface Answer {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly body?: object
}

interface Received {
  readonly update: Update
  readonly headers: NodeJS.Dict<string | string[]>
}

/** The bot's side of a webhook; answers 200 unless told otherwise. */
export class WebhookReceiver implements AsyncDisposable {
  readonly received: Received[] = []
  answer: (update: Update) => Answer = () => ({ status: 200 })
  readonly #server: Server

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk) => chunks.push(chunk))
      request.on('end', () => {
        const update: Update = JSON.parse(Buffer.concat(chunks).toString())
        this.received.push({ update, headers: request.headers })
        const { status, headers, body } = this.answer(update)
        response.writeHead(status, { 'Content-Type': 'application/json', ...headers })
        response.end(body ? JSON.stringify(body) : '')
      })
    })
  }

  static async start(): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver()
    const listening = Promise.withResolvers<void>()
    receiver.#server.listen(0, '127.0.0.1', listening.resolve)
    await listening.promise
    return receiver
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

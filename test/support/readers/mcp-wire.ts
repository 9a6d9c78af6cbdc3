import { createParser } from 'eventsource-parser'
import { Inbox } from './watch.ts'

/** What goes over the wire of MCP, whichever revision. */
export interface Message {
  readonly jsonrpc?: '2.0'
  readonly id?: string | number | null
  readonly method?: string
  readonly params?: Readonly<Record<string, unknown>>
  readonly result?: unknown
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown }
}

/** The server answered with an error of the protocol, or with none of it at all. */
export class McpError extends Error {
  override readonly name = 'McpError'
  readonly status: number
  readonly code: number | undefined
  readonly data: unknown

  constructor(status: number, error: Message['error'], text: string) {
    super(error?.message ?? text)
    this.status = status
    this.code = error?.code
    this.data = error?.data
  }
}

export interface Sending {
  readonly method?: 'POST' | 'GET' | 'DELETE'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Message | string
  /** JSON-RPC without `jsonrpc`, answered in kind. */
  readonly isBare?: boolean
}

/** One HTTP request, and what comes back for it, message by message. */
export class Exchange {
  /** Everything that came, in order. */
  readonly messages: Inbox<Message> = new Inbox()
  /** Resolves as soon as there is a status. */
  readonly head: Promise<Response>
  /** Resolves when the server has ended the response; never when we left. */
  readonly ended: Promise<void>
  readonly #stop = new AbortController()
  readonly #sending: Sending
  #text = ''
  #failure: Error | undefined

  constructor(url: string, sending: Sending) {
    this.#sending = sending
    const { method = 'POST', headers, body } = sending
    this.head = fetch(url, {
      method,
      headers: { ...headers },
      signal: this.#stop.signal,
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.ended = promise
    promise.catch(() => undefined)
    this.#read().then(resolve, (error: Error) => {
      if (this.#stop.signal.aborted) return
      this.#failure = error
      reject(error)
    })
  }

  /** Nobody reads any more, as when a client is gone. */
  leave(): void {
    this.#stop.abort()
  }

  /**
   * The result, when the response is complete.
   * @throws {McpError}
   */
  async answer<Result = Record<string, unknown>>(): Promise<Result> {
    const { status } = await this.head
    await this.ended
    const last = this.messages.items.at(-1)
    if (!last || last.error || !('result' in last)) {
      throw new McpError(status, last?.error, `${status} ${this.#text}`)
    }
    return last.result as Result
  }

  /** Resolves when there are so many notifications of this kind. */
  async notified(method: string, count = 1): Promise<Message[]> {
    const look = () => this.notifications(method).length >= count
    await this.messages.find(look)
    return this.notifications(method)
  }

  notifications(method: string): Message[] {
    return this.messages.items.filter((message) => message.method === method)
  }

  /** Resolves with the request that the server sends. */
  asked(method: string): Promise<Message> {
    return this.messages.find((message) => message.method === method && message.id !== undefined)
  }

  async #read(): Promise<void> {
    const response = await this.head
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') ?? false
    if (!isStream) {
      this.#text = await response.text()
      if (this.#text.startsWith('{')) this.#take(JSON.parse(this.#text) as Message)
      return
    }
    const parser = createParser({
      onEvent: ({ event, data }) => {
        if (event !== undefined && event !== 'message') throw new Error(`an event ${event}`)
        if (data !== '') this.#take(JSON.parse(data) as Message)
      },
    })
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) {
      parser.feed(decoder.decode(chunk as Uint8Array, { stream: true }))
    }
  }

  /** As strict as a client can be that keeps to the specification. */
  #take(message: Message): void {
    const { body, isBare = false } = this.#sending
    const isProblem = 'status' in message && 'code' in message
    const isMarked = message.jsonrpc === '2.0'
    if (!isProblem && isMarked === isBare) throw new Error(`not of its kind: ${text(message)}`)
    if (this.messages.items.some((before) => before.method === undefined)) {
      throw new Error(`after the answer: ${text(message)}`)
    }
    const asked = typeof body === 'object' ? body.id : undefined
    const isAnswer = message.method === undefined && !isProblem
    if (isAnswer && asked !== undefined && message.id !== asked && message.id !== null) {
      throw new Error(`an answer to something else: ${text(message)}`)
    }
    this.messages.push(message)
  }

  get failure(): Error | undefined {
    return this.#failure
  }
}

const text = (message: Message): string => JSON.stringify(message).slice(0, 500)

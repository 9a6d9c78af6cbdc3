import {
  INTERNAL_ERROR,
  INVALID_REQUEST,
  PARSE_ERROR,
  SERVER_ERROR,
} from '../transports/mcp/codes.ts'
import { Calls } from './calls.ts'
import type { Endpoint } from './endpoint.ts'
import { MAX_LINE_BYTES } from './lines.ts'
import {
  fail,
  idOf,
  type Message,
  type Notification,
  type Request,
  type Response,
  readMessage,
  revisionOf,
} from './messages.ts'
import { Session } from './session.ts'

/** Messages that are under way to the server. No client has nearly as many. */
const MAX_WORK = 1_000

/** The one revision with arrays of messages: the changelogs of 2025-03-26 and of 2025-06-18. */
const BATCHING = '2025-03-26'

interface BridgeParts {
  readonly endpoint: Endpoint
  /** Takes what is for the client. */
  readonly write: (message: Message | readonly Message[]) => void
  /** Takes what is for whoever looks after the bridge. */
  readonly log: (line: string) => void
}

/**
 * Between a client that speaks MCP on standard streams and a server that speaks it over HTTP. Keeps nothing but
 * the session and the calls that are under way.
 */
export class Bridge {
  readonly #write: BridgeParts['write']
  readonly #log: BridgeParts['log']
  readonly #ended = new AbortController()
  readonly #session: Session
  readonly #calls: Calls
  readonly #work = new Set<Promise<void>>()

  constructor({ endpoint, write, log }: BridgeParts) {
    this.#write = (message) => {
      if (!this.#ended.signal.aborted) write(message)
    }
    this.#log = log
    const parts = { endpoint, write: this.#write, log, signal: this.#ended.signal }
    this.#session = new Session(parts)
    this.#calls = new Calls({ ...parts, session: this.#session })
  }

  /** Takes a line of the client; undefined is one that was too long. */
  receive(line: string | undefined): void {
    if (line?.trim() === '') return
    const work = this.#answer(line).then((answer) => {
      if (answer) this.#write(answer)
    })
    this.#work.add(work)
    void work.finally(() => this.#work.delete(work))
  }

  /** Resolves when everything that was taken has its answer. */
  async idle(): Promise<void> {
    await Promise.all(this.#work)
  }

  /** Lets go of everything. What was asked stays open at the server. Never rejects. */
  async end(signal: AbortSignal): Promise<void> {
    this.#ended.abort()
    await this.#session.close(signal)
  }

  async #answer(line: string | undefined): Promise<Response | readonly Response[] | undefined> {
    if (line === undefined)
      return fail(
        null,
        INVALID_REQUEST,
        `the line is longer than ${MAX_LINE_BYTES / 1024 ** 2} MiB`,
      )
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      return fail(null, PARSE_ERROR, 'the line is no JSON')
    }
    if (!Array.isArray(value)) return this.#take(value)
    if (this.#calls.revision !== BATCHING || value.length === 0) {
      return fail(null, INVALID_REQUEST, 'an array is no message in this revision of MCP')
    }
    const answers = await Promise.all(value.map((one) => this.#take(one)))
    const given = answers.filter((answer) => answer !== undefined)
    return given.length === 0 ? undefined : given
  }

  async #take(value: unknown): Promise<Response | undefined> {
    const read = readMessage(value)
    if (!read) return fail(idOf(value), INVALID_REQUEST, 'the line is no message of JSON-RPC 2.0')
    const { type, message } = read
    const isTooMuch = this.#work.size > MAX_WORK
    if (type === 'request') {
      return isTooMuch ? tooMuch(message) : this.#ask(message)
    }
    if (isTooMuch) this.#log('too much at once; a message of the client was dropped')
    else if (type === 'notification') await this.#notify(message)
    else await this.#hand(message)
    return undefined
  }

  async #ask(request: Request): Promise<Response | undefined> {
    try {
      return await this.#calls.answer(request)
    } catch (error) {
      this.#log(`a fault: ${error instanceof Error ? error.stack : error}`)
      return fail(request.id, INTERNAL_ERROR, 'a fault of the bridge; see its log')
    }
  }

  async #notify(message: Notification): Promise<void> {
    const { method } = message
    if (method === 'notifications/cancelled') await this.#calls.cancel(message)
    // The revisions without sessions have no notification to a server but that one.
    else if (revisionOf(message) !== undefined) this.#log(`${method} is not handed on`)
    else if (method === 'notifications/initialized') await this.#session.initialized()
    else await this.#hand(message)
  }

  async #hand(message: Notification | Response): Promise<void> {
    const posting = { signal: this.#ended.signal, onMessage: this.#write }
    const posted = await this.#session.post(message, posting)
    if ('reason' in posted) this.#log(`a message of the client was lost: ${posted.reason}`)
  }
}

const tooMuch = ({ id }: Request) => fail(id, SERVER_ERROR, `more than ${MAX_WORK} calls at once`)

import { backOff } from './backoff.ts'
import type { Endpoint, PostResult } from './endpoint.ts'
import type { Message, Notification, Params, Request } from './messages.ts'

/** The newest revision that begins with `initialize`. */
const NEWEST_REVISION = '2025-11-25'
/** A server that takes longer to begin a session is as good as away. */
const OPEN_MS = 10_000
const MAX_LISTEN_PAUSE_MS = 10_000
/** A stream that stood so long was well: the pauses begin anew. */
const STOOD_MS = 10_000

const OPENING_ID = 'loopgate-session'
const INITIALIZED: Notification = { jsonrpc: '2.0', method: 'notifications/initialized' }

/** Of a client that calls without having introduced itself. */
const STRANGER: Params = {
  protocolVersion: NEWEST_REVISION,
  capabilities: {},
  clientInfo: { name: 'loopgate-mcp', version: '0' },
}

interface Opened {
  readonly type: 'opened'
  /** What the server answered to `initialize`. */
  readonly result: Params
  readonly headers: Readonly<Record<string, string>>
}

interface SessionParts {
  readonly endpoint: Endpoint
  /** Aborted when the bridge ends. */
  readonly signal: AbortSignal
  /** Takes what the server says by itself. */
  readonly write: (message: Message) => void
  readonly log: (line: string) => void
}

/**
 * The session of the revisions up to 2025-11-25. It is opened when it is first needed, and again, with what
 * the client said when it introduced itself, when the server does not know it any more.
 */
export class Session {
  readonly #parts: SessionParts
  #params = STRANGER
  #isInitialized = false
  #isListening = false
  #opened: Opened | undefined
  #opening: Promise<Opened | PostResult> | undefined

  constructor(parts: SessionParts) {
    this.#parts = parts
  }

  /** The client introduces itself. Returns the server's answer, or why there is none. */
  async initialize({ params = {} }: Request): Promise<Opened | PostResult> {
    this.#params = params
    this.#opened = undefined
    this.#isInitialized = false
    return this.#ensure()
  }

  /** The client is ready to hear what the server says by itself. */
  async initialized(): Promise<void> {
    this.#isInitialized = true
    if (this.#opened) await this.#tellInitialized(this.#opened)
    this.#listen()
  }

  /** Posts in the session; once more in a new one when the server does not know it any more. */
  async post(message: Message, posting: Parameters<Endpoint['post']>[1]): Promise<PostResult> {
    for (let attempt = 0; ; attempt++) {
      const opened = await this.#ensure()
      if (opened.type !== 'opened') return opened
      const headers = { ...posting.headers, ...opened.headers }
      const posted = await this.#parts.endpoint.post(message, { ...posting, headers })
      if (!isUnknown(posted) || attempt > 0) return posted
      this.#forget(opened)
    }
  }

  /** Tells the server that nobody comes back. Never rejects. */
  async close(signal: AbortSignal): Promise<void> {
    const opened = this.#opened
    this.#opened = undefined
    if (opened?.headers['mcp-session-id'] === undefined) return
    await this.#parts.endpoint.delete({ ...opened, signal, onMessage: this.#parts.write })
  }

  #ensure(): Promise<Opened | PostResult> {
    if (this.#opened) return Promise.resolve(this.#opened)
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #open(): Promise<Opened | PostResult> {
    const { endpoint, write } = this.#parts
    const params = this.#params
    const request = { jsonrpc: '2.0', id: OPENING_ID, method: 'initialize', params } as const
    const signal = AbortSignal.any([this.#parts.signal, AbortSignal.timeout(OPEN_MS)])
    const posted = await endpoint.post(request, { signal, onMessage: write })
    if (posted.type === 'left' && !this.#parts.signal.aborted) {
      return { type: 'away', reason: `no answer within ${OPEN_MS / 1_000} s` }
    }
    if (posted.type !== 'answered' || !('result' in posted.response)) return posted
    const opened = openedBy(posted.response.result as Params, posted.headers)
    // The client introduced itself anew while this was under way.
    if (params !== this.#params) return this.#open()
    this.#opened = opened
    if (this.#isInitialized) {
      await this.#tellInitialized(opened)
      this.#listen()
    }
    return opened
  }

  async #tellInitialized({ headers }: Opened): Promise<void> {
    const { endpoint, signal, write } = this.#parts
    await endpoint.post(INITIALIZED, { headers, signal, onMessage: write })
  }

  #forget(opened: Opened): void {
    if (this.#opened !== opened) return
    this.#opened = undefined
    this.#parts.log('the server does not know the session any more; beginning another')
  }

  #listen(): void {
    if (this.#isListening) return
    this.#isListening = true
    void this.#keepListening().finally(() => {
      this.#isListening = false
    })
  }

  /** Until the bridge ends, the server has no such stream, or it refuses the key. Never rejects. */
  async #keepListening(): Promise<void> {
    const { endpoint, signal, write } = this.#parts
    for (let attempt = 0; !signal.aborted; attempt++) {
      const opened = await this.#ensure()
      const from = performance.now()
      const posted =
        opened.type === 'opened'
          ? await endpoint.listen({ ...opened, signal, onMessage: write })
          : opened
      if (posted.type === 'refused' || isUnsupported(posted)) return
      if (opened.type === 'opened' && isUnknown(posted)) this.#forget(opened)
      if (performance.now() - from > STOOD_MS) attempt = 0
      await backOff(attempt, MAX_LISTEN_PAUSE_MS, signal)
    }
  }
}

function openedBy(result: Params, answered: Headers): Opened {
  const id = answered.get('mcp-session-id')
  const { protocolVersion: revision } = result
  return {
    type: 'opened',
    result,
    headers: {
      ...(id !== null && { 'mcp-session-id': id }),
      ...(typeof revision === 'string' && { 'mcp-protocol-version': revision }),
    },
  }
}

/** Streamable HTTP 2025-11-25, "Session Management": 404 for a session that ended. */
const isUnknown = (posted: PostResult): boolean => posted.type === 'failed' && posted.status === 404

const isUnsupported = (posted: PostResult): boolean =>
  posted.type === 'failed' && posted.status === 405

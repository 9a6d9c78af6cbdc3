import { createParser } from 'eventsource-parser'
import {
  type Id,
  type Message,
  type Read,
  type RpcError,
  type Response as RpcResponse,
  readError,
  readJson,
  readMessage,
} from './messages.ts'
import { loadRegistry } from './registry.ts'

/** Characters of one message of the server. Its answers are well below. */
const MAX_EVENT_LENGTH = 16 * 1024 * 1024
/** Bytes that any server takes. */
const SMALL_BYTES = 64 * 1024
/** What a proxy answers for a server that is away, and a server that stops or has no database. */
const AWAY = new Set([502, 503, 504])
/** Of a connection that stood, as undici says it; what was sent may have arrived. */
const BROKEN = new Set(['UND_ERR_SOCKET', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'])

/** What became of a message that was posted. */
export type PostResult =
  | { readonly type: 'answered'; readonly response: RpcResponse; readonly headers: Headers }
  /** A notification or a response was taken. */
  | { readonly type: 'accepted' }
  /** It did not arrive. */
  | { readonly type: 'away'; readonly reason: string }
  /** It may have arrived, and nothing more will come. */
  | { readonly type: 'broken'; readonly reason: string }
  /** The key is missing, wrong, or not for this. */
  | { readonly type: 'refused'; readonly reason: string }
  | {
      readonly type: 'failed'
      readonly status: number
      readonly reason: string
      readonly error: RpcError | undefined
    }
  /** Nobody here waits for it any more. */
  | { readonly type: 'left' }

interface Posting {
  readonly headers?: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  /** The server has it, and has not refused it: the answer has begun. */
  onTaken?(): void
  /** What comes before the answer. */
  onMessage(message: Message): void
}

/** `/mcp` of one server, over HTTP. Each call is one attempt. */
export class Endpoint {
  readonly url: URL
  readonly hasKey: boolean
  readonly #headers: Readonly<Record<string, string>>

  constructor(url: URL, apiKey: string | undefined) {
    this.url = url
    this.hasKey = apiKey !== undefined
    this.#headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }
  }

  /** Posts one message. Never rejects. */
  async post(message: Message, posting: Posting): Promise<PostResult> {
    const id = 'method' in message && 'id' in message ? message.id : undefined
    const body = JSON.stringify(message)
    if (body.length > SMALL_BYTES) {
      const { maxBodyBytes } = await loadRegistry()
      if (Buffer.byteLength(body) > maxBodyBytes) return tooLarge(maxBodyBytes)
    }
    return this.#attempt(posting, async () => {
      const response = await this.#fetch(posting, {
        method: 'POST',
        body,
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          ...posting.headers,
        },
      })
      if (!response.ok) return refusalOf(response)
      posting.onTaken?.()
      if (id === undefined || response.status === 202) {
        await response.body?.cancel()
        return { type: 'accepted' }
      }
      const answer = await readAnswer(response, id, posting)
      if (answer) return { type: 'answered', response: answer, headers: response.headers }
      if (!isStream(response)) return OF_SOMEBODY_ELSE
      return { type: 'broken', reason: 'the connection ended without an answer' }
    })
  }

  /** Reads the stream of what the server says by itself, until it ends. Never rejects. */
  async listen(posting: Posting): Promise<PostResult> {
    return this.#attempt(posting, async () => {
      const response = await this.#fetch(posting, {
        method: 'GET',
        headers: { accept: 'text/event-stream', ...posting.headers },
      })
      if (!response.ok) return refusalOf(response)
      posting.onTaken?.()
      await readAnswer(response, undefined, posting)
      return { type: 'broken', reason: 'the stream ended' }
    })
  }

  /** Ends a session. Never rejects. */
  async delete(posting: Posting): Promise<void> {
    await this.#attempt(posting, async () => {
      const { headers = {} } = posting
      const response = await this.#fetch(posting, { method: 'DELETE', headers })
      await response.body?.cancel()
      return { type: 'accepted' }
    })
  }

  /** A redirect is not followed: the key is for this address alone. */
  #fetch({ signal }: Posting, init: RequestInit): Promise<Response> {
    const headers = { ...this.#headers, ...(init.headers as Record<string, string>) }
    return fetch(this.url, { ...init, headers, signal, redirect: 'manual' })
  }

  async #attempt({ signal }: Posting, act: () => Promise<PostResult>): Promise<PostResult> {
    try {
      return await act()
    } catch (error) {
      if (signal.aborted) return { type: 'left' }
      const { reason, isBroken } = causeOf(error)
      return { type: isBroken ? 'broken' : 'away', reason }
    }
  }
}

/**
 * What the server would refuse with 413. It does so before it has read everything, and then its answer and
 * the broken connection race each other.
 */
const tooLarge = (maxBytes: number): PostResult => ({
  type: 'failed',
  status: 413,
  reason: `it is larger than ${maxBytes / 1024} KiB`,
  error: undefined,
})

const OF_SOMEBODY_ELSE: PostResult = {
  type: 'failed',
  status: 200,
  reason: 'what it answered is no MCP',
  error: undefined,
}

const isStream = ({ headers }: Response): boolean =>
  /^text\/event-stream\b/i.test(headers.get('content-type') ?? '')

/** Reads to the response with the id; undefined when there is none. Others are handed on. */
async function readAnswer(
  response: Response,
  id: Id | undefined,
  { onMessage }: Posting,
): Promise<RpcResponse | undefined> {
  let answer: RpcResponse | undefined
  const take = (text: string) => {
    const read = readText(text)
    if (!read) return
    if (id !== undefined && read.type === 'response' && read.message.id === id)
      answer = read.message
    else onMessage(read.message)
  }
  if (!isStream(response)) {
    take(await response.text())
    return answer
  }
  const parser = createParser({
    maxBufferSize: MAX_EVENT_LENGTH,
    onEvent: ({ data }) => take(data),
    onError: ({ type }) => {
      if (type === 'max-buffer-size-exceeded')
        throw new Error('a message of the server is too long')
    },
  })
  const decoder = new TextDecoder()
  for await (const chunk of response.body ?? []) {
    parser.feed(decoder.decode(chunk, { stream: true }))
    if (answer) break
  }
  return answer
}

/** What begins a stream, and keeps it alive, has no text. */
function readText(text: string): Read | undefined {
  if (text === '') return undefined
  return readMessage(readJson(text))
}

async function refusalOf(response: Response): Promise<PostResult> {
  const { status } = response
  const body = readJson(await response.text())
  const error = readError(body)
  const place = response.headers.get('location')
  const towards = place === null ? '' : ` and points to ${place}`
  const reason = `it answered ${status}${towards}${detailOf(body, error)}`
  if (status === 401 || status === 403) return { type: 'refused', reason }
  if (AWAY.has(status)) return { type: 'away', reason }
  return { type: 'failed', status, reason, error }
}

/** Of a JSON-RPC error, or of problem details (RFC 9457). */
function detailOf(body: unknown, error: RpcError | undefined): string {
  if (error) return `: ${error.message}`
  if (typeof body !== 'object' || body === null) return ''
  const detail = 'detail' in body ? body.detail : 'title' in body ? body.title : undefined
  return typeof detail === 'string' ? `: ${detail}` : ''
}

/** fetch says "fetch failed" or "terminated", and has the reason inside. */
function causeOf(error: unknown): { readonly reason: string; readonly isBroken: boolean } {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if (!(cause instanceof Error)) return { reason: String(cause), isBroken: true }
  const code = 'code' in cause ? String(cause.code) : ''
  const syscall = 'syscall' in cause ? cause.syscall : undefined
  return {
    // Of several addresses that were tried there is a code, and no message.
    reason: cause.message || code,
    isBroken: BROKEN.has(code) || syscall === 'read' || syscall === 'write',
  }
}

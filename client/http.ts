import type { RequestView } from '../src/protocol/types.ts'
import { within } from './abort.ts'
import { Disconnected, LoopgateError, toIssues } from './errors.ts'
import { isRecord } from './record.ts'
import type { Timing } from './timing.ts'
import { readJson, readView } from './wire.ts'

type Query = Readonly<Record<string, string | undefined>>

export interface Call {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly query?: Query
  readonly body?: object
  readonly headers?: Readonly<Record<string, string>>
  /** Other than the usual time for a call. */
  readonly timeoutMs?: number
}

export interface Answer {
  readonly headers: Headers
  readonly body: unknown
}

/** One server, over HTTP. Each call is one attempt. */
export class Http {
  readonly base: URL
  readonly apiKey: string | undefined
  readonly #headers: Headers
  readonly #timing: Timing

  /** @throws {TypeError} for a URL or key that can not be sent. */
  constructor(url: string | URL, apiKey: string | undefined, timing: Timing) {
    const base = new URL(url)
    if (!/^https?:$/.test(base.protocol) || base.username !== '' || base.password !== '') {
      throw new TypeError('url must look like https://gate.example.com')
    }
    base.search = ''
    base.hash = ''
    base.pathname = base.pathname.replace(/\/+$/, '')
    this.base = base
    this.apiKey = apiKey
    this.#headers = new Headers(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` })
    this.#timing = timing
  }

  /**
   * @throws {LoopgateError} when the server refuses.
   * @throws {Disconnected} when no whole answer came.
   */
  async call(call: Call, signal?: AbortSignal): Promise<Answer> {
    const { method, path, query, body, headers, timeoutMs = this.#timing.callMs } = call
    const json = body === undefined ? {} : { body: JSON.stringify(body) }
    return within(timeoutMs, signal, async (bounded) => {
      const response = await this.#fetch(path, query, {
        method,
        headers: this.#with({
          accept: 'application/json',
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        }),
        signal: bounded,
        ...json,
      })
      const text = await response.text().catch(lost)
      if (!response.ok) throw toError(response, text)
      return { headers: response.headers, body: readJson(text, `the answer to ${path}`) }
    })
  }

  /**
   * A response whose body goes on until the signal is aborted.
   * @throws as `call`.
   */
  async stream(path: string, query: Query, signal: AbortSignal): Promise<Response> {
    const headers = this.#with({ accept: 'text/event-stream', 'cache-control': 'no-cache' })
    const response = await this.#fetch(path, query, { headers, signal })
    if (!response.ok) throw toError(response, await response.text().catch(lost))
    return response
  }

  #with(more: Readonly<Record<string, string>>): Headers {
    const headers = new Headers(this.#headers)
    for (const [name, value] of Object.entries(more)) headers.set(name, value)
    return headers
  }

  /** A redirect is not followed: it would turn a question into a GET, or tell it to another server. */
  async #fetch(path: string, query: Query | undefined, init: RequestInit): Promise<Response> {
    const url = new URL(this.base)
    url.pathname = `${this.base.pathname.replace(/\/$/, '')}${path}`
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, value)
    }
    return fetch(url, { ...init, redirect: 'manual' }).catch(lost)
  }
}

function lost(cause: unknown): never {
  throw new Disconnected(describe(cause), { cause })
}

/** `fetch failed` alone helps nobody: what happened is in its cause. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  return cause instanceof Error ? `${error.message}: ${cause.message || cause.name}` : error.message
}

function toError({ status, headers }: Response, text: string): LoopgateError {
  const problem = asProblem(text)
  const code = problem['code']
  const detail = problem['detail']
  const isOurs = typeof code === 'string' && code !== ''
  return new LoopgateError(
    isOurs ? code : `HTTP_${status}`,
    isOurs && typeof detail === 'string' ? detail : `the server answered ${status}`,
    {
      status,
      errors: toIssues(problem['errors']),
      request: toWinner(problem['request']),
      retryAfterMs: toRetryAfterMs(headers.get('retry-after')),
    },
  )
}

function asProblem(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : {}
  } catch {
    // Not Loopgate's: a proxy's page. Its status says enough.
    return {}
  }
}

function toWinner(value: unknown): RequestView | undefined {
  try {
    return value === undefined ? undefined : readView(value)
  } catch {
    // The refusal holds without it.
    return undefined
  }
}

/** A longer pause than this is not believed; and a timer of more than 24 days would fire at once. */
const MAX_RETRY_AFTER_MS = 3_600_000

/** RFC 9110, section 10.2.3: seconds, or a date. */
function toRetryAfterMs(text: string | null): number | undefined {
  if (text === null) return undefined
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS)
}

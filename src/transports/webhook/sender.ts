import type { LookupFunction } from 'node:net'
import type { buildConnector, Client, Dispatcher } from 'undici'
import type { CallbackAnswer, CallbackSender, OwedCallback } from '../../core/callback.ts'
import type { Event } from '../../core/event.ts'
import type { HitlRequest } from '../../core/request.ts'
import { toEnvelope } from '../../protocol/view.ts'
import { type AddressPolicy, requireAllowed, vettedLookup } from './addresses.ts'
import type { Signer } from './signature.ts'

/** Standard Webhooks asks for 15 to 30 s. */
const TIMEOUT_MS = 15_000
/** Of an answer only the status counts. So much of its body is taken off the wire, and thrown away. */
const MAX_BODY_BYTES = 16 * 1024
const BODY_TIMEOUT_MS = 1_000
const MAX_HEADER_BYTES = 16 * 1024

export interface SenderOptions {
  readonly signer: Signer
  readonly policy: AddressPolicy
  readonly version: string
  /** In the place of the system's, for tests. */
  readonly lookup?: LookupFunction
  readonly timeoutMs?: number
}

/**
 * Posts over a connection of its own each time, to an address that was vetted: no proxy, no
 * redirect, no connection that is kept for the next one.
 */
export class HttpSender implements CallbackSender {
  readonly #options: SenderOptions
  #opening: Promise<(origin: string) => Client> | undefined

  constructor(options: SenderOptions) {
    this.#options = options
  }

  async send(owed: OwedCallback, signal: AbortSignal): Promise<CallbackAnswer> {
    const { timeoutMs = TIMEOUT_MS } = this.#options
    const start = performance.now()
    const url = new URL(owed.url)
    this.#opening ??= opener(this.#options)
    const client = (await this.#opening)(url.origin)
    const over = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    const durationMs = () => Math.round(performance.now() - start)
    try {
      const answer = await this.#post(client, url, owed, over)
      const retryAfterMs = retryAfter(answer.headers['retry-after'])
      return {
        statusCode: answer.statusCode,
        error: problemOf(answer.statusCode),
        durationMs: durationMs(),
        retryAfterMs,
      }
    } catch (error) {
      return { statusCode: null, error: textOf(error, over), durationMs: durationMs() }
    } finally {
      client.destroy().catch(() => undefined)
    }
  }

  async #post(client: Client, url: URL, owed: OwedCallback, signal: AbortSignal) {
    const body = JSON.stringify(toEnvelope(eventOf(owed.request)))
    const { signer, version } = this.#options
    const answer = await client.request({
      method: 'POST',
      path: `${url.pathname}${url.search}`,
      headers: {
        'content-type': 'application/json',
        'user-agent': `loopgate/${version}`,
        ...signer.headers(owed.id, owed.at, body, owed.secret),
      },
      body,
      signal,
    })
    await discard(answer, signal)
    return answer
  }
}

/** Loads undici (29 MB) when there is something to send. */
async function opener({
  policy,
  lookup,
  timeoutMs = TIMEOUT_MS,
}: SenderOptions): Promise<(origin: string) => Client> {
  const undici = await import('undici')
  const connect = undici.buildConnector({
    lookup: vettedLookup(policy, lookup),
    timeout: timeoutMs,
    allowH2: false,
  })
  const connectAllowed: buildConnector.connector = (to, callback) => {
    try {
      requireAllowed(to.hostname, policy)
    } catch (error) {
      callback(error as Error, null)
      return
    }
    connect(to, callback)
  }
  return (origin) =>
    new undici.Client(origin, {
      connect: connectAllowed,
      allowH2: false,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    })
}

/** A receiver whose body never ends has answered all the same. */
async function discard({ body }: Dispatcher.ResponseData, signal: AbortSignal): Promise<void> {
  try {
    const over = AbortSignal.any([signal, AbortSignal.timeout(BODY_TIMEOUT_MS)])
    await body.dump({ limit: MAX_BODY_BYTES, signal: over })
  } catch {
    body.destroy()
  }
}

/** The terminal event: nothing about a request changes after it. */
function eventOf({ question, state, cursor }: HitlRequest): Event {
  const { status, settledAt } = state
  if (status === 'pending' || settledAt === null) throw new Error('the request is not settled')
  return { cursor, type: `request.${status}`, at: settledAt, question, state }
}

function problemOf(statusCode: number): string | null {
  if (statusCode >= 200 && statusCode < 300) return null
  if (statusCode >= 300 && statusCode < 400) return `${statusCode}: redirects are not followed`
  return `the receiver answered ${statusCode}`
}

/** Short, and without what the other side wrote. */
function textOf(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return 'the receiver did not answer in time'
  if (!(error instanceof Error)) return 'the connection failed'
  if (error.name === 'AddressError') return error.message
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name
  return `the connection failed: ${code}`
}

/** RFC 9110, section 10.2.3: seconds, or a date. */
function retryAfter(value: string | string[] | undefined): number | undefined {
  if (typeof value !== 'string') return undefined
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000
  const at = Date.parse(value)
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now())
}

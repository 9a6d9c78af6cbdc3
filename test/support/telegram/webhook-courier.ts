import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'

export interface Delivery {
  readonly ok: boolean
  readonly status: number
  /** Seconds of the answer's Retry-After; 0 without one. */
  readonly retryAfter: number
  /** In getWebhookInfo's words; empty when Telegram records none. */
  readonly error: string
  readonly body: Buffer
  readonly contentType: string
}

const CONNECTION_ERRORS: Record<string, string> = {
  ECONNREFUSED: 'Connection refused',
  ECONNRESET: 'Connection reset by peer',
  ETIMEDOUT: 'Connection timed out',
  EHOSTUNREACH: 'No route to host',
  ENETUNREACH: 'Network is unreachable',
  EPIPE: 'Broken pipe',
}
const REPLY_MAX_BYTES = 1_048_576

/** Posts updates to one webhook over connections of its own. */
export class Courier {
  readonly #url: URL
  readonly #secretToken: string
  readonly #answerWithinMs: number
  readonly #agent: HttpAgent

  constructor(
    settings: {
      readonly url: string
      readonly secretToken: string
      readonly maxConnections: number
    },
    answerWithinMs: number,
  ) {
    this.#url = new URL(settings.url)
    this.#secretToken = settings.secretToken
    this.#answerWithinMs = answerWithinMs
    const options = { keepAlive: true, maxSockets: settings.maxConnections }
    this.#agent = this.#secure ? new HttpsAgent(options) : new HttpAgent(options)
  }

  /** Never rejects: what went wrong is in the delivery. */
  async post(body: string): Promise<Delivery> {
    const answer = Promise.withResolvers<Delivery>()
    const request = (this.#secure ? httpsRequest : httpRequest)(this.#url, {
      method: 'POST',
      agent: this.#agent,
      headers: this.#headers(body),
      timeout: this.#answerWithinMs,
    })
    request.on('timeout', () => request.destroy(new Error('Read timeout expired')))
    request.on('error', (error) => answer.resolve(failure(0, 0, describe(error))))
    request.on('response', (response) => {
      read(response).then(answer.resolve, () => answer.resolve(failure(0, 0, '')))
    })
    request.end(body)
    return answer.promise
  }

  close(): void {
    this.#agent.destroy()
  }

  get #secure(): boolean {
    return this.#url.protocol === 'https:'
  }

  #headers(body: string): Record<string, string | number> {
    const secret = { 'X-Telegram-Bot-Api-Secret-Token': this.#secretToken }
    return {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
      'Accept-Encoding': 'gzip, deflate',
      ...(this.#secretToken === '' ? {} : secret),
    }
  }
}

function failure(status: number, retryAfter: number, error: string): Delivery {
  return { ok: false, status, retryAfter, error, body: Buffer.alloc(0), contentType: '' }
}

function describe(error: Error): string {
  const code = 'code' in error ? String(error.code) : ''
  return CONNECTION_ERRORS[code] ?? error.message
}

async function read(response: IncomingMessage): Promise<Delivery> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response) {
    size += chunk.length
    if (size <= REPLY_MAX_BYTES) chunks.push(chunk)
  }
  const status = response.statusCode ?? 0
  const contentType = response.headers['content-type'] ?? ''
  if (status >= 200 && status <= 299) {
    return {
      ok: true,
      status,
      retryAfter: 0,
      error: '',
      body: Buffer.concat(chunks),
      contentType,
    }
  }
  const retryAfter = Number.parseInt(response.headers['retry-after'] ?? '', 10) || 0
  const error = `Wrong response from the webhook: ${status} ${response.statusMessage ?? ''}`.trim()
  return failure(status, retryAfter, error)
}

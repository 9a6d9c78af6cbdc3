import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ApiError } from '@grammyjs/types'
import type { CallLog, OpenCall } from './calls.ts'
import { ApiFailure, Described, tooManyRequests } from './errors.ts'
import type { Fault, Faults } from './faults.ts'
import { FILE_MAX_BYTES } from './limits.ts'
import { findMethod, isRefusedInReply, methodName } from './methods/methods.ts'
import { Params, type RawRequest, readParams } from './params.ts'
import type { Fields } from './values.ts'
import type { World } from './world.ts'

const BODY_MAX_BYTES = FILE_MAX_BYTES + 1024 * 1024

interface Answer {
  readonly status: number
  readonly body: object
}

/** The HTTP face: `/bot<token>/<method>`. */
export class Api {
  readonly #token: string
  readonly #world: World
  readonly #calls: CallLog
  readonly #faults: Faults

  constructor(parts: {
    readonly token: string
    readonly world: World
    readonly calls: CallLog
    readonly faults: Faults
  }) {
    this.#token = parts.token
    this.#world = parts.world
    this.#calls = parts.calls
    this.#faults = parts.faults
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://telegram.test')
    const hangUp = new AbortController()
    response.on('close', () => hangUp.abort())
    try {
      const name = this.#route(url.pathname)
      const raw: RawRequest = {
        query: url.searchParams,
        contentType: request.headers['content-type'] ?? '',
        body: await readBody(request),
      }
      await this.#serve(name, raw, response, hangUp.signal)
    } catch (error) {
      const hungUpEarly = request.destroyed && !request.complete
      if (!hungUpEarly) send(response, refusal(error))
    }
  }

  /** A call written in a webhook's answer: done and logged, its result goes nowhere. */
  async runReply(body: Buffer, contentType: string): Promise<void> {
    try {
      const params = readParams({ query: new URLSearchParams(), contentType, body })
      const name = params.text('method')
      if (name === '' || isRefusedInReply(name)) return
      const call = this.#calls.open(methodName(name), params, this.#world.clock.now())
      await this.#execute(call, params, new AbortController().signal)
      this.#calls.close(call, call.error ? 'error' : 'ok', this.#world.clock.now())
    } catch {
      // Telegram does not say what was wrong with a reply it could not read.
    }
  }

  /** The method a path names, when its token is this bot's. */
  #route(path: string): string {
    const [, token, name] = /^\/bot([^/]*)\/([^/]+)\/?$/.exec(decodePath(path)) ?? []
    if (token === undefined || name === undefined || !/^\d+:[\w-]+$/.test(token)) {
      throw new ApiFailure(404, 'Not Found')
    }
    if (token !== this.#token) throw new ApiFailure(401, 'Unauthorized')
    return methodName(name)
  }

  async #serve(name: string, raw: RawRequest, response: ServerResponse, signal: AbortSignal) {
    const params = this.#readLogged(name, raw)
    const call = this.#calls.open(name, params, this.#world.clock.now())
    const chatId = params.has('chat_id') ? Number(params.text('chat_id')) : undefined
    try {
      this.#world.rates.check(name, chatId)
    } catch (error) {
      return this.#answer(call, response, refusal(error))
    }
    const fault = this.#faults.take(name, params.values)
    const { mode } = fault?.options ?? {}
    if (mode === 'hang') return this.#close(call, 'hang')
    if (mode === 'reset') return this.#cut(call, response, 'reset')
    if (fault && mode !== 'drop-after-execute') {
      return this.#answer(call, response, refusal(this.#planned(fault, chatId)))
    }
    const answer = await this.#execute(call, params, signal)
    if (fault) return this.#cut(call, response, 'dropped')
    if (signal.aborted) return this.#close(call, 'abandoned')
    this.#answer(call, response, answer)
  }

  /** A call whose parameters cannot be read is logged too, without them. */
  #readLogged(name: string, raw: RawRequest): Params {
    try {
      return readParams(raw)
    } catch (error) {
      const now = this.#world.clock.now()
      const call = this.#calls.open(name, new Params({}), now)
      call.error = refusal(error).body as ApiError
      this.#calls.close(call, 'error', now)
      throw error
    }
  }

  #planned({ method, options }: Fault, chatId: number | undefined): Error {
    if (options.mode === 'too-many-requests') {
      const seconds = options.retryAfter ?? 1
      this.#world.rates.hold(method, chatId, seconds)
      return tooManyRequests(seconds)
    }
    return new ApiFailure(options.status ?? 500, options.description ?? 'Internal Server Error')
  }

  async #execute(call: OpenCall, params: Params, signal: AbortSignal): Promise<Answer> {
    try {
      const run = findMethod(call.method)
      if (!run) throw new ApiFailure(404, 'Not Found: method not found')
      const result = await run(this.#world, params, { signal })
      call.result = result instanceof Described ? result.result : result
      const extra = result instanceof Described ? { description: result.description } : {}
      return { status: 200, body: { ok: true, result: call.result, ...extra } }
    } catch (error) {
      const answer = refusal(error)
      call.error = answer.body as ApiError
      return answer
    }
  }

  #answer(call: OpenCall, response: ServerResponse, answer: Answer): void {
    if (answer.status !== 200) call.error = answer.body as ApiError
    send(response, answer)
    this.#close(call, answer.status === 200 ? 'ok' : 'error')
  }

  #cut(call: OpenCall, response: ServerResponse, outcome: 'reset' | 'dropped'): void {
    response.socket?.resetAndDestroy()
    this.#close(call, outcome)
  }

  #close(call: OpenCall, outcome: OpenCall['outcome']): void {
    this.#calls.close(call, outcome, this.#world.clock.now())
  }
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return ''
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    size += chunk.length
    if (size <= BODY_MAX_BYTES) chunks.push(chunk)
  }
  if (size > BODY_MAX_BYTES) throw new ApiFailure(413, 'Request Entity Too Large')
  return Buffer.concat(chunks)
}

function refusal(error: unknown): Answer {
  if (!(error instanceof ApiFailure)) {
    // A mistake of the fake itself must not look like a refusal by Telegram.
    console.error('fake Telegram failed', error)
    return { status: 500, body: failureBody(new ApiFailure(500, `fake failed: ${error}`)) }
  }
  return { status: error.code, body: failureBody(error) }
}

function failureBody({ code, message, parameters }: ApiFailure): Fields {
  const body = { ok: false, error_code: code, description: message }
  return parameters ? { ...body, parameters } : body
}

function send(response: ServerResponse, { status, body }: Answer): void {
  if (response.destroyed) return
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
  })
  response.end(text)
}

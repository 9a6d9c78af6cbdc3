import { type IncomingMessage, request } from 'node:http'
import { STATUS } from '../../support/error-statuses.ts'
import type { Call } from './http-doors.ts'

/** The codes of the contract, with their statuses. None of a mistake of the server is among them. */
const STATUS_OF: Readonly<Record<string, number>> = Object.fromEntries(
  Object.entries(STATUS).filter(([, status]) => status < 500),
)

/** What tells a stranger how the server is made. */
const INSIDES = /node_modules|\.ts:\d+|\bat async\b|postgres:\/\/|violates|SQLSTATE|ECONN/

/** Nobody waits longer than this for any answer. */
export const HANG_MS = 5_000

export interface Answered {
  readonly method: string
  readonly status: number
  readonly type: string
  readonly text: string
}

/** What Node answers before there is a request for anybody: a head too large, an expectation. */
const BELOW: readonly number[] = [417, 431]

/** @throws when it is no answer that a client may get. */
export function requireDocumented({ status, type, text, method }: Answered): void {
  const bad = (why: string) => new Error(`${why}: ${status} ${type} ${text.slice(0, 500)}`)
  if (INSIDES.test(text)) throw bad('it tells of its insides')
  if (status === 101 || (status >= 200 && status < 300)) return
  if (status < 400 || status > 499) throw bad('it is neither done nor refused')
  if (BELOW.includes(status) || method === 'HEAD') return
  if (!isDocumentedRefusal(type, JSON.parse(text), status)) {
    throw bad('it is no problem whose code is of this status, and no error of JSON-RPC')
  }
}

function isDocumentedRefusal(type: string, value: Refusal, status: number): boolean {
  if (type.startsWith('application/json')) return isRpcError(value)
  const isProblem = type.startsWith('application/problem+json')
  return isProblem && STATUS_OF[value.code ?? ''] === status && value.status === status
}

interface Refusal {
  readonly code?: string
  readonly status?: number
  readonly jsonrpc?: unknown
  readonly error?: { readonly code?: unknown }
}

/** What MCP refuses a message with: a code of JSON-RPC or of MCP, none of which is a mistake of ours. */
function isRpcError({ jsonrpc, error }: Refusal): boolean {
  const code = Number(error?.code)
  const isKnown = code === -32_700 || (code <= -32_000 && code >= -32_602)
  return jsonrpc === '2.0' && isKnown
}

/** @throws for an `error` frame or a refused acknowledgement that no client may get. */
export function requireDocumentedCode(answer: unknown): void {
  const text = JSON.stringify(answer)
  const { code } = answer as { readonly code?: unknown }
  if (STATUS_OF[String(code)] === undefined || INSIDES.test(text)) {
    throw new Error(`this is no documented refusal: ${text.slice(0, 500)}`)
  }
}

/**
 * Sends it on a connection of its own. Of a stream the first piece is taken. Undefined when the
 * server closed the connection on a body that it did not want to read.
 */
export async function send(url: string, call: Call): Promise<Answered | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Answered | undefined>()
  const { method, path, headers, body } = call
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  const sent = request(
    `${url}${path}`.replace(/#.*/, ''),
    { method, headers: { ...headers, ...length }, agent: false, path },
    (response) => {
      read(method, response).then(resolve, reject)
    },
  )
  const hung = setTimeout(() => sent.destroy(new Error('no answer in time')), HANG_MS)
  sent.on('upgrade', (_response, socket) => {
    socket.destroy()
    resolve({ method, status: 101, type: '', text: '' })
  })
  sent.on('error', (error: NodeJS.ErrnoException) => {
    const isCut = error.code === 'ECONNRESET' || error.code === 'EPIPE'
    if (isCut && (body?.length ?? 0) > 65_536) resolve(undefined)
    else reject(error)
  })
  sent.end(body)
  return promise.finally(() => clearTimeout(hung))
}

async function read(method: string, response: IncomingMessage): Promise<Answered> {
  const type = response.headers['content-type'] ?? ''
  const isStream = type.startsWith('text/event-stream')
  const chunks: Buffer[] = []
  for await (const chunk of response) {
    chunks.push(chunk as Buffer)
    if (isStream) break
  }
  response.destroy()
  const text = Buffer.concat(chunks).toString()
  return { method, status: response.statusCode ?? 0, type, text }
}

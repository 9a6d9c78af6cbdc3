import { randomUUID } from 'node:crypto'
import { CALL_ID_META, CLIENT_CALL_ID_META } from '../transports/mcp/discovery.ts'
import {
  type Message,
  type Notification,
  type Params,
  part,
  type Request,
  revisionOf,
} from './messages.ts'

/** MCP 2026-07-28, "Standard Request Headers", and of the tasks extension: what `Mcp-Name` mirrors. */
const NAMED_BY: Readonly<Record<string, string>> = {
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
  'tasks/get': 'taskId',
  'tasks/update': 'taskId',
  'tasks/cancel': 'taskId',
}

/** One request of the client, from its arrival to its answer. It may be sent more than once. */
export class Call {
  /** As the client sent it. */
  readonly request: Request
  /** The revision that the request names itself; undefined in the era of sessions. */
  readonly revision: string | undefined
  readonly callId: string | undefined
  readonly startedAt = performance.now()
  /** Aborted when nobody waits for the answer any more. */
  readonly left = new AbortController()
  readonly #taken = Promise.withResolvers<void>()
  /** Resolves when the server has begun to answer. */
  readonly taken: Promise<void> = this.#taken.promise
  #takenAt: number | undefined
  #isCancelled = false
  #message: Request
  #progress = { last: 0, base: 0 }

  /** @param callId by which the server finds the question of the call; undefined when the client gave one. */
  constructor(request: Request, callId: string | undefined) {
    this.request = request
    this.revision = revisionOf(request)
    this.callId = callId
    this.#message = callId === undefined ? request : withMeta(request, CALL_ID_META, callId)
  }

  /** What is sent: the request, known to the server by another id when it is sent again. */
  get message(): Request {
    return this.#message
  }

  get isCancelled(): boolean {
    return this.#isCancelled
  }

  /** The server has begun to answer this attempt. */
  take(): void {
    this.#takenAt = performance.now()
    this.#taken.resolve()
  }

  /** How long the server has been answering this attempt; 0 when it did not begin to. */
  get heldMs(): number {
    return this.#takenAt === undefined ? 0 : performance.now() - this.#takenAt
  }

  /** Since it arrived. */
  get ageMs(): number {
    return performance.now() - this.startedAt
  }

  /** The client does not want the answer any more, and gets none. */
  cancel(): void {
    this.#isCancelled = true
  }

  /**
   * The next attempt, after the connection was lost: under another id, because the server may still work on
   * the first; and with no more time to wait than the client had in mind.
   *
   * @param waitSeconds that the tool waits when the call does not say it.
   */
  again(waitSeconds: number | undefined): void {
    const { id: _, params, ...rest } = this.#message
    this.#takenAt = undefined
    this.#message = {
      ...rest,
      id: `loopgate-${randomUUID()}`,
      params: this.#shortened(params, waitSeconds),
    }
    this.#progress = { ...this.#progress, base: this.#progress.last + 1 }
  }

  /** A message of the server about this call, as the client is to see it: progress only ever grows. */
  tell(message: Message): Message {
    if (!('method' in message) || message.method !== 'notifications/progress') return message
    const progress = message.params?.['progress']
    if (typeof progress !== 'number') return message
    const last = this.#progress.base + progress
    this.#progress = { ...this.#progress, last }
    if (last === progress) return message
    const { total: _, ...params } = { ...message.params, progress: last } as Params
    return { ...message, params }
  }

  #shortened(params: Params | undefined, waitSeconds: number | undefined): Params {
    const given = part(params, 'arguments')
    const seconds = part(this.request.params, 'arguments')['wait_seconds'] ?? waitSeconds
    if (typeof seconds !== 'number') return { ...params }
    const rest = Math.max(0, seconds - this.ageMs / 1_000)
    return { ...params, arguments: { ...given, wait_seconds: rest } }
  }
}

/** Of a message that names its revision: what the server wants to see beside the body. */
export function headersOf(message: Request | Notification): Readonly<Record<string, string>> {
  const revision = revisionOf(message)
  if (revision === undefined) return {}
  const name = message.params?.[NAMED_BY[message.method] ?? '']
  return {
    'mcp-protocol-version': revision,
    'mcp-method': message.method,
    ...(typeof name === 'string' && { 'mcp-name': headerValue(name) }),
  }
}

/** MCP 2026-07-28, "Value Encoding": what a header can not hold is said in Base64. */
function headerValue(value: string): string {
  const isPlain = /^[\t\x20-\x7e]+$/.test(value) && value === value.trim()
  if (isPlain && !/^=\?base64\?.*\?=$/.test(value)) return value
  return `=?base64?${Buffer.from(value).toString('base64')}?=`
}

/** Whether the server needs an id to find the question of a call that is sent again. */
export function hasNoCallId({ method, params }: Request): boolean {
  if (method !== 'tools/call') return false
  const meta = part(params, '_meta')
  return (
    part(params, 'arguments')['idempotency_key'] === undefined &&
    meta[CLIENT_CALL_ID_META] === undefined &&
    meta[CALL_ID_META] === undefined
  )
}

const withMeta = (request: Request, name: string, value: string): Request => ({
  ...request,
  params: { ...request.params, _meta: { ...part(request.params, '_meta'), [name]: value } },
})

import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { answerInstead, isKnownHere, type Trouble } from './away.ts'
import { backOff } from './backoff.ts'
import { Call, hasNoCallId, headersOf } from './call.ts'
import type { Endpoint, PostResult } from './endpoint.ts'
import {
  type Id,
  type Message,
  type Notification,
  type Params,
  type Request,
  type Response,
  succeed,
} from './messages.ts'
import { loadRegistry } from './registry.ts'
import { RepeatedCalls } from './repeated-calls.ts'
import type { Session } from './session.ts'
import { showsUnanswered } from './settled.ts'

/** How long a call whose connection was lost waits for the server to be back. */
const RETURN_MS = 60_000
/** A server that held the call so long was back. One that the call itself brings down falls at once. */
const HELD_MS = 1_000
const MAX_PAUSE_MS = 2_000
/** What is answered without the server as well waits no longer for it. */
const KNOWN_MS = 10_000
/** What is cancelled at once may arrive before the call itself, on another connection. */
const CANCEL_MS = 500

/** What is answered so soon was settled before it was asked for. */
const SOON_MS = 2_000

const LISTEN = 'subscriptions/listen'
/** The tools that ask, and say how the question stands. */
const ASKING = new Set<unknown>(['request_human_input', 'hitl_request', 'request_approval'])

interface CallsParts {
  readonly endpoint: Endpoint
  readonly session: Session
  /** Aborted when the bridge ends. */
  readonly signal: AbortSignal
  readonly write: (message: Message) => void
  readonly log: (line: string) => void
}

/** The client's requests that have no answer yet. */
export class Calls {
  readonly #parts: CallsParts
  readonly #open = new Map<Id, Call>()
  readonly #repeated = new RepeatedCalls()
  #revision: unknown
  #isAway = false

  constructor(parts: CallsParts) {
    this.#parts = parts
  }

  /** The revision that was agreed on in `initialize`. */
  get revision(): unknown {
    return this.#revision
  }

  /** The answer for the client; undefined when it gets none, because it cancelled. */
  async answer(request: Request): Promise<Response | undefined> {
    if (request.method === 'initialize') return this.#initialize(request)
    const { id } = request
    const isUnnamed = hasNoCallId(request)
    const kept = isUnnamed ? this.#repeated.take(request) : undefined
    const call = new Call(request, kept ?? (isUnnamed ? randomUUID() : undefined))
    this.#open.set(id, call)
    try {
      const posted = await this.#follow(call)
      if (posted.type === 'broken') this.#repeated.keep(call)
      if (call.isCancelled) return undefined
      const result = resultOf(posted)
      if (kept !== undefined && result && isInVain(call, result)) return this.answer(request)
      if (result) this.#repeated.read(result)
      return this.#answerOf(call, posted)
    } finally {
      if (this.#open.get(id) === call) this.#open.delete(id)
    }
  }

  /** Cancelling a call gives up waiting; the question stays open at the server. */
  async cancel(message: Notification): Promise<void> {
    const call = this.#open.get(message.params?.['requestId'] as Id)
    if (!call) return
    call.cancel()
    this.#repeated.keep(call)
    if (call.revision === undefined) {
      const { session, signal, write } = this.#parts
      await Promise.race([call.taken, pause(Math.max(0, CANCEL_MS - call.ageMs))])
      const params = { ...message.params, requestId: call.message.id }
      await session.post({ ...message, params }, { signal, onMessage: write })
    }
    // From 2026-07-28 on this is how a request is cancelled over HTTP.
    call.left.abort()
  }

  async #initialize(request: Request): Promise<Response | undefined> {
    const { id } = request
    const posted = await this.#parts.session.initialize(request)
    this.#notice(posted)
    const answer =
      posted.type === 'opened'
        ? succeed(id, posted.result)
        : await this.#answerOf(new Call(request, undefined), posted)
    if (answer && 'result' in answer) this.#revision = answer.result['protocolVersion']
    return answer
  }

  async #answerOf({ request, revision }: Call, posted: PostResult): Promise<Response | undefined> {
    const { id, method } = request
    switch (posted.type) {
      case 'answered':
        return { ...posted.response, id }
      case 'left':
        return undefined
      case 'accepted': {
        const reason = 'it answered 202, without a result'
        return answerInstead(request, revision, { type: 'away', reason }, this.#parts.endpoint)
      }
      default:
        if (method === LISTEN && posted.type === 'broken') return this.#endListening(id, posted)
        return answerInstead(request, revision, posted, this.#parts.endpoint)
    }
  }

  /** MCP 2026-07-28, stdio: the one request of a client that a server ends so. */
  #endListening(requestId: Id, { reason }: Trouble): undefined {
    const params = { requestId, reason }
    this.#parts.write({ jsonrpc: '2.0', method: 'notifications/cancelled', params })
  }

  /** Sends a call until there is an answer, or nobody waits for one. */
  async #follow(call: Call): Promise<PostResult> {
    const mayRepeat = isRepeatable(call.request.method)
    const { signal } = call.left
    let lostAt: number | undefined
    for (let attempt = 0; ; attempt++) {
      const posted = await this.#send(call)
      this.#notice(posted)
      if (call.isCancelled) return { type: 'left' }
      const wasBack = call.heldMs > HELD_MS
      if (wasBack) attempt = 0
      lostAt = lostSince(lostAt, posted, wasBack)
      if (lostAt === undefined || !isGone(posted) || !mayRepeat) return posted
      if (performance.now() - lostAt > RETURN_MS) return { ...posted, type: 'broken' }
      await backOff(attempt, MAX_PAUSE_MS, signal)
      call.again((await loadRegistry()).waitSeconds(call.request.params?.['name']))
    }
  }

  async #send(call: Call): Promise<PostResult> {
    const { endpoint, session } = this.#parts
    const { message, revision } = call
    const soon = isKnownHere(message.method) ? [AbortSignal.timeout(KNOWN_MS)] : []
    const signal = AbortSignal.any([call.left.signal, this.#parts.signal, ...soon])
    const posting = {
      signal,
      headers: headersOf(message),
      onTaken: () => call.take(),
      onMessage: (told: Message) => {
        if (!call.isCancelled) this.#parts.write(call.tell(told))
      },
    }
    const posted = await (revision === undefined
      ? session.post(message, posting)
      : endpoint.post(message, posting))
    if (posted.type !== 'left' || !soon[0]?.aborted) return posted
    return { type: 'away', reason: `no answer within ${KNOWN_MS / 1_000} s` }
  }

  /** Says when the server went, and when it came back. */
  #notice(posted: { readonly type: string; readonly reason?: string }): void {
    const { endpoint, log } = this.#parts
    const isAway = posted.type === 'away' || posted.type === 'broken'
    if (isAway && !this.#isAway) log(`no connection to ${endpoint.url}: ${posted.reason}`)
    if (!isAway && this.#isAway && posted.type !== 'left') log(`connected to ${endpoint.url}`)
    if (posted.type !== 'left') this.#isAway = isAway
  }
}

const isRepeatable = (method: string): boolean => method !== LISTEN && !isKnownHere(method)

type Gone = Extract<PostResult, { type: 'away' | 'broken' }>

const isGone = (posted: PostResult): posted is Gone =>
  posted.type === 'away' || posted.type === 'broken'

/** Since when the server is gone, for a call that it had once; undefined when it never had it. */
function lostSince(before: number | undefined, { type }: PostResult, wasBack: boolean) {
  if (before !== undefined && !wasBack) return before
  return before !== undefined || type === 'broken' ? performance.now() : undefined
}

function resultOf(posted: PostResult): Params | undefined {
  if (posted.type !== 'answered' || !('result' in posted.response)) return undefined
  return posted.response.result
}

/** Whether a repeated call has found a question that ended meanwhile, and that nobody can answer any more. */
const isInVain = ({ request, ageMs }: Call, result: Params): boolean =>
  ASKING.has(request.params?.['name']) && ageMs < SOON_MS && showsUnanswered(result)

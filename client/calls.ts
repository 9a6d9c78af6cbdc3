import type { RequestView } from '../src/protocol/types.ts'
import { LoopgateError, malformed } from './errors.ts'
import type { Answer, Call } from './http.ts'
import type { Question, Registered, Registration } from './options.ts'
import { isRecord } from './record.ts'
import { readView } from './wire.ts'

/** The calls of the HTTP interface, and what their answers say. */

/** Whose question it is. */
export interface Session {
  readonly sessionId: string
  readonly clientId: string
}

export function toRegister(registration: Registration): Call {
  const { sessionId, clientId, telegramId, approvers } = registration
  const body = { session_id: sessionId, client_id: clientId, telegram_id: telegramId, approvers }
  return { method: 'POST', path: '/hitl/register', body }
}

export function toSubmit({ sessionId, clientId }: Session, question: Question): Call {
  const { idempotencyKey: key = crypto.randomUUID() } = question
  // A header carries ASCII alone.
  const isHeader = /^[\x21-\x7e]+$/.test(key)
  const body = {
    session_id: sessionId,
    client_id: clientId,
    message: question.message,
    request_type: question.type,
    options: question.options,
    metadata: question.metadata,
    timeout_seconds: question.timeoutSeconds,
    approval_ttl_seconds: question.approvalTtlSeconds,
    callback_url: question.callbackUrl,
    ...(!isHeader && { idempotency_key: key }),
  }
  const call = { method: 'POST', path: '/hitl/request', body } as const
  return isHeader ? { ...call, headers: { 'idempotency-key': key } } : call
}

export const toLook = (requestId: string): Call => ({
  method: 'GET',
  path: '/hitl/poll',
  query: { request_id: requestId },
})

export const toPending = (sessionId: string | undefined): Call => ({
  method: 'GET',
  path: '/hitl/pending',
  query: { session_id: sessionId },
})

export const toCancel = (requestId: string): Call => ({
  method: 'POST',
  path: '/hitl/cancel',
  body: { request_id: requestId },
})

export const toConsume = (requestId: string, digest: string): Call => ({
  method: 'POST',
  path: '/hitl/consume',
  body: { request_id: requestId, digest },
})

export const toKeys: Call = { method: 'GET', path: '/.well-known/jwks.json' }

/** @throws {LoopgateError} MALFORMED_ANSWER. */
export function readConsumed(answer: unknown): void {
  if (!isRecord(answer) || answer['success'] !== true)
    throw malformed('the answer to /hitl/consume')
}

/** @throws {LoopgateError} MALFORMED_ANSWER. */
export function readRegistered(answer: unknown, sessionId: string): Registered {
  if (isRecord(answer) && answer['success'] === true && answer['session_id'] === sessionId) {
    const { link_url: linkUrl = null, webhook_secret: webhookSecret } = answer
    const isLink = linkUrl === null || typeof linkUrl === 'string'
    if (isLink && typeof webhookSecret === 'string') return { sessionId, linkUrl, webhookSecret }
  }
  throw malformed('the answer to /hitl/register')
}

/**
 * The request as it was stored, and where to read on in the session's log. A question that was asked
 * before has no place: its own may lie far back.
 * @throws {LoopgateError} MALFORMED_ANSWER.
 */
export function readSubmitted({ headers, body }: Answer, { sessionId }: Session) {
  const { success, ...answer } = isRecord(body) ? body : {}
  const view = readView(answer)
  if (success !== true || view.session_id !== sessionId) throw malformed('the answer to a question')
  return { view, since: headers.has('idempotent-replayed') ? undefined : view.cursor }
}

/** @throws {LoopgateError} MALFORMED_ANSWER. */
export function readPending(answer: unknown): readonly RequestView[] {
  const views = isRecord(answer) ? answer['pending_requests'] : undefined
  if (!Array.isArray(views)) throw malformed('the answer to /hitl/pending')
  return views.map(readView)
}

export const notRegistered = (): LoopgateError =>
  new LoopgateError('NOT_REGISTERED', 'name a sessionId and a clientId, or call register first')

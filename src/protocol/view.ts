import { type Event, formatCursor } from '../core/event.ts'
import type { HitlRequest, Status } from '../core/request.ts'
import type { Envelope, RequestView, WireStatus } from './types.ts'

/** Core to wire, in one place. The legacy words of `status` are users' and stay. */
const STATUS: Readonly<Record<Status, WireStatus>> = {
  pending: 'pending',
  decided: 'completed',
  expired: 'timeout',
  canceled: 'canceled',
}

export function toView({ question, state, cursor }: HitlRequest): RequestView {
  const { decidedBy } = state
  return {
    request_id: question.id,
    session_id: question.sessionId,
    client_id: question.clientId,
    message: question.message,
    request_type: question.type,
    options: question.options.map(({ label, effect }) => ({ label, effect })),
    metadata: question.metadata,
    status: STATUS[state.status],
    outcome: state.outcome,
    completed: state.status !== 'pending',
    approved: state.outcome === 'approved',
    response: state.response,
    comment: state.comment,
    decided_by: decidedBy && { channel: decidedBy.channel, id: decidedBy.id, name: decidedBy.name },
    delivery: state.delivery.map(({ channel, status, error }) =>
      error === undefined ? { channel, status } : { channel, status, error },
    ),
    created_at: question.createdAt.toISOString(),
    expires_at: question.expiresAt.toISOString(),
    responded_at: state.settledAt?.toISOString() ?? null,
    timestamp: (state.settledAt ?? question.createdAt).toISOString(),
    cursor: formatCursor(cursor),
    receipt: state.receipt,
  }
}

export function toEnvelope(event: Event): Envelope {
  const { cursor, question, state } = event
  return {
    id: formatCursor(cursor),
    type: event.type,
    session_id: question.sessionId,
    request_id: question.id,
    timestamp: event.at.toISOString(),
    data: toView({ question, state, cursor }),
  }
}

const serialized = new WeakMap<Event, Buffer>()

/** The envelope as JSON on one line, in UTF-8, made once for all of an event's readers. */
export function envelopeJson(event: Event): Buffer {
  const known = serialized.get(event)
  if (known !== undefined) return known
  const json = Buffer.from(JSON.stringify(toEnvelope(event)))
  serialized.set(event, json)
  return json
}

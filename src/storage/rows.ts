import type { Selectable } from 'kysely'
import type { Event } from '../core/event.ts'
import type { Session, StoredRequest } from '../core/ports.ts'
import type { HitlRequest, Question, State } from '../core/request.ts'
import type { EventTable, RequestTable, SessionTable, StoredState } from './schema.ts'

/** Rows to core types, here and nowhere else. */

export type SessionRow = Selectable<SessionTable>
export type RequestRow = Selectable<RequestTable>

export function toSession(row: SessionRow): Session {
  return {
    tenant: row.tenant,
    id: row.id,
    clientId: row.client_id,
    reviewers: row.reviewers,
    active: row.active,
    createdAt: row.created_at,
    webhookSecret: row.webhook_secret,
  }
}

/** The columns of a Question, for a query that needs no more of a request. */
export const QUESTION_COLUMNS = [
  'requests.id',
  'requests.tenant',
  'requests.session_id',
  'requests.client_id',
  'requests.message',
  'requests.type',
  'requests.options',
  'requests.metadata',
  'requests.reviewers',
  'requests.created_at',
  'requests.expires_at',
] as const

export function toQuestion(
  row: Pick<
    RequestRow,
    | 'id'
    | 'tenant'
    | 'session_id'
    | 'client_id'
    | 'message'
    | 'type'
    | 'options'
    | 'metadata'
    | 'reviewers'
    | 'created_at'
    | 'expires_at'
  >,
): Question {
  return {
    id: row.id,
    tenant: row.tenant,
    sessionId: row.session_id,
    clientId: row.client_id,
    message: row.message,
    type: row.type,
    options: row.options,
    metadata: row.metadata,
    reviewers: row.reviewers,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  }
}

export function toRequest(row: RequestRow): HitlRequest {
  return {
    question: toQuestion(row),
    state: {
      status: row.status,
      outcome: row.outcome,
      response: row.response,
      comment: row.comment,
      decidedBy: row.decided_by,
      delivery: row.delivery,
      settledAt: row.settled_at,
    },
    cursor: { epoch: row.epoch, seq: row.seq },
  }
}

export function toStoredRequest(row: RequestRow): StoredRequest {
  return { request: toRequest(row), settledBy: row.settled_by }
}

export function toEvent(
  row: Pick<Selectable<EventTable>, 'seq' | 'epoch' | 'type' | 'at' | 'state'>,
  question: Question,
): Event {
  return {
    cursor: { epoch: row.epoch, seq: row.seq },
    type: row.type,
    at: row.at,
    question,
    state: toState(row.state),
  }
}

/** jsonb sorts keys; the order here is the one that agents see. */
function toState(state: StoredState): State {
  return {
    status: state.status,
    outcome: state.outcome,
    response: state.response,
    comment: state.comment,
    decidedBy: state.decidedBy,
    delivery: state.delivery,
    settledAt: state.settledAt === null ? null : new Date(state.settledAt),
  }
}

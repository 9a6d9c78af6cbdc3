import type { Selectable } from 'kysely'
import type { Event } from '../core/event.ts'
import type { Session, StoredRequest } from '../core/ports.ts'
import type { Seal } from '../core/receipt.ts'
import type { HitlRequest, Question, State } from '../core/request.ts'
import type { EventTable, RequestTable, SessionTable, StoredState } from './schema.ts'

/** Rows to core types, here and nowhere else. */

export type SessionRow = Pick<
  Selectable<SessionTable>,
  'tenant' | 'id' | 'client_id' | 'reviewers' | 'active' | 'created_at' | 'webhook_secret'
>
export type RequestRow = Omit<
  Selectable<RequestTable>,
  'idempotency_key' | 'body_digest' | 'created_seq'
>

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

/**
 * Columns are named, never `*`: a prepared statement fails when a migration of a newer release adds
 * one to its result.
 */
export const SESSION_COLUMNS = [
  'sessions.tenant',
  'sessions.id',
  'sessions.client_id',
  'sessions.reviewers',
  'sessions.active',
  'sessions.created_at',
  'sessions.webhook_secret',
] as const

/** PostgreSQL calls other text in a uuid's place an error; to a caller it is an id of nothing. */
export const isUuid = (text: string): boolean =>
  /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text)

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
  'requests.has_callbacks',
  'requests.created_at',
  'requests.expires_at',
] as const

/** The columns of a Seal. */
export const SEAL_COLUMNS = [
  'requests.digest',
  'requests.approval_ttl_seconds',
  'requests.receipt_kid',
  'requests.receipt_issuer',
  'requests.shown_digest',
] as const

export type SealColumns = Pick<
  RequestRow,
  'digest' | 'approval_ttl_seconds' | 'receipt_kid' | 'receipt_issuer' | 'shown_digest'
>

/** Undefined while it is pending, and for what was settled before there were receipts. */
export function toSeal(row: SealColumns): Seal | undefined {
  const { digest, receipt_kid: kid, receipt_issuer: issuer } = row
  if (digest === null || kid === null || issuer === null) return undefined
  const { shown_digest: shownDigest, approval_ttl_seconds: approvalTtlSeconds } = row
  return { kid, issuer, digest, shownDigest, approvalTtlSeconds }
}

export const REQUEST_COLUMNS = [
  ...QUESTION_COLUMNS,
  ...SEAL_COLUMNS,
  'requests.status',
  'requests.outcome',
  'requests.response',
  'requests.comment',
  'requests.decided_by',
  'requests.settled_by',
  'requests.settled_at',
  'requests.delivery',
  'requests.seq',
  'requests.epoch',
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
    | 'has_callbacks'
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
    hasCallbacks: row.has_callbacks,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  }
}

/** Without its receipt: who shows it to somebody has it signed. */
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
      receipt: null,
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
    receipt: null,
  }
}

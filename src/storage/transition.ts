import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Event, EventType } from '../core/event.ts'
import type { HitlRequest, Reviewers } from '../core/request.ts'
import { entryOf, hashOf } from './chain.ts'
import { type SealColumns, toEvent } from './rows.ts'
import type { RequestTable, StoredState, Tables } from './schema.ts'

/** A request's State as an event keeps it, from the columns of `row`. */
const stateOf = (row: string) => `jsonb_build_object(
  'status', ${row}.status, 'outcome', ${row}.outcome, 'response', ${row}.response,
  'comment', ${row}.comment, 'decidedBy', ${row}.decided_by, 'delivery', ${row}.delivery,
  'settledAt', ${row}.settled_at)`

/**
 * Names this start of the server, and the session; and the database's own start and the file that the
 * session is in, because a server may go on while the database below it is restored.
 */
export const epochOf = (boot: string) => sql<string>`${boot} || to_hex(hashtext(
  pg_postmaster_start_time()::text || pg_relation_filepath(sessions.tableoid))) || sessions.tag`

/** What a transition may change of a request. */
const CHANGING = [
  ...['status', 'outcome', 'response', 'comment', 'decided_by', 'settled_by', 'settled_at'],
  ...['delivery', 'receipt_kid', 'receipt_issuer', 'shown_digest'],
] as const satisfies readonly (keyof RequestTable)[]

type Changing = (typeof CHANGING)[number]

/** New values, of the columns' types. Whatever is not named stays as it is. */
export type Changes = { readonly [Column in Changing]?: RawBuilder<unknown> }

export interface Appended {
  readonly event: Event
  readonly seal: SealColumns
}

/**
 * Changes a pending request and appends the event, in one statement and one round trip.
 *
 * The request's row is locked first, so that of two commands the second sees what the first did; by
 * its id alone, or the planner may read all that is pending to find it. What it is to become is put
 * together then, because the event's hash covers it. Then comes the session's row, whose counter and
 * hash move only when something is appended. That lock is held to the commit: the order of commits is
 * the order of `seq`, no number is left out, and each hash is made of the one before.
 *
 * Undefined when the request is not pending any more, `guard` does not hold, or the session has other
 * reviewers than `whileReviewers`.
 */
export async function transition(
  db: Kysely<Tables>,
  boot: string,
  request: HitlRequest,
  change: {
    type: EventType
    guard: RawBuilder<unknown>
    changes: Changes
    whileReviewers?: Reviewers | undefined
    /** Calls a function for its effect, when the request in `next` was changed. */
    also?: RawBuilder<unknown> | undefined
  },
): Promise<Appended | undefined> {
  const { id, tenant, sessionId } = request.question
  const reviewers = change.whileReviewers && JSON.stringify(change.whileReviewers)
  const { changes } = change
  const changing = CHANGING.filter((column) => changes[column])
  const kept = CHANGING.filter((column) => !changes[column]).join(', ')
  const columns = changing.map((column) => sql`${changes[column]} AS ${sql.raw(column)}`)
  const set = changing.map((column) => `${column} = next.${column}`).join(', ')
  const epoch = epochOf(boot)
  const type = sql`${change.type}::text`
  const { rows } = await sql<Written & SealColumns & { has_callbacks: boolean }>`
    WITH locked AS MATERIALIZED (
      SELECT ${LOCKED} FROM requests WHERE id = ${id}
      FOR NO KEY UPDATE
    ), becoming AS (
      SELECT ${ASKED}, ${sql.join(columns)}${sql.raw(kept === '' ? '' : `, ${kept}`)}
      FROM locked WHERE tenant = ${tenant} AND status = 'pending' AND ${change.guard}
    ), next AS MATERIALIZED (
      SELECT becoming.*, ${BECOMING} AS state,
        coalesce(settled_at, clock_timestamp()::timestamptz(3)) AS at
      FROM becoming
    ), place AS (
      UPDATE sessions
      SET seq = sessions.seq + 1, epoch = ${epoch},
        chain = ${hashOf('sessions.chain', entryOf({ ...NEXT, epoch, type }))}
      FROM next
      WHERE sessions.tenant = ${tenant} AND sessions.id = ${sessionId}
        AND sessions.reviewers = coalesce(${reviewers}::jsonb, sessions.reviewers)
      RETURNING sessions.seq, sessions.epoch, sessions.chain
    ), changed AS (
      UPDATE requests SET seq = place.seq, epoch = place.epoch, ${sql.raw(set)}
      FROM place, next WHERE requests.id = ${id}
      RETURNING requests.id${change.also ? sql`, ${change.also}` : NOTHING}
    ), written AS (
      INSERT INTO events (tenant, session_id, seq, epoch, type, request_id, at, state, hash)
      SELECT next.tenant, next.session_id, place.seq, place.epoch, ${type}, next.id, next.at,
        next.state, place.chain
      FROM place, next, changed
      RETURNING seq, epoch, type, at, state
    )
    ${RESULT}`.execute(db)
  const [row] = rows
  // Registered after the request was read, maybe: who hears of the event goes by it.
  const question = row && { ...request.question, hasCallbacks: row.has_callbacks }
  return question && { event: toEvent(row, question), seal: row }
}

/** What a transition reads of a request, and does not change. */
const ASKED = sql.raw(
  'id, tenant, session_id, created_at, expires_at, approval_ttl_seconds, digest, has_callbacks',
)
const LOCKED = sql`${ASKED}, ${sql.raw(CHANGING.join(', '))}`
const BECOMING = sql.raw(stateOf('becoming'))
const NEXT = {
  ...{ request: 'next', tenant: 'next.tenant', sessionId: 'next.session_id' },
  ...{ requestId: 'next.id', seq: 'sessions.seq + 1', at: 'next.at', state: 'next.state' },
}
const RESULT = sql.raw(`SELECT written.seq, written.epoch, written.type, written.at, written.state,
  next.digest, next.approval_ttl_seconds, next.receipt_kid, next.receipt_issuer, next.shown_digest,
  next.has_callbacks
  FROM written, next`)
const NOTHING = sql.raw('')

interface Written {
  seq: number
  epoch: string
  type: EventType
  at: Date
  state: StoredState
}

const INSERTED = {
  ...{ request: 'requests', tenant: 'requests.tenant', sessionId: 'requests.session_id' },
  ...{ requestId: 'requests.id', seq: 'requests.seq', at: 'requests.created_at' },
  state: stateOf('requests'),
}

/** Appends an event of a request that this transaction has just inserted, with its session locked. */
export async function append(
  db: Kysely<Tables>,
  request: HitlRequest,
  type: EventType,
): Promise<Event> {
  const epoch = sql`requests.epoch`
  const entry = entryOf({ ...INSERTED, epoch, type: sql`${type}::text` })
  const { rows } = await sql<Written>`
    WITH place AS (
      UPDATE sessions SET chain = ${hashOf('sessions.chain', entry)}
      FROM requests
      WHERE requests.id = ${request.question.id}
        AND sessions.tenant = requests.tenant AND sessions.id = requests.session_id
      RETURNING sessions.chain
    )
    INSERT INTO events (tenant, session_id, seq, epoch, type, request_id, at, state, hash)
    SELECT tenant, session_id, seq, epoch, ${type}, id, created_at, ${sql.raw(stateOf('requests'))},
      place.chain
    FROM requests, place WHERE requests.id = ${request.question.id}
    RETURNING seq, epoch, type, at, state`.execute(db)
  const [row] = rows
  if (!row) throw new Error('the request was not inserted')
  return toEvent(row, request.question)
}

import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Event, EventType } from '../core/event.ts'
import type { HitlRequest, Reviewers } from '../core/request.ts'
import { toEvent } from './rows.ts'
import type { StoredState, Tables } from './schema.ts'

/** A request's State as an event keeps it, from the columns of `row`. */
const stateOf = (row: RawBuilder<unknown>) => sql`jsonb_build_object(
  'status', ${row}.status, 'outcome', ${row}.outcome, 'response', ${row}.response,
  'comment', ${row}.comment, 'decidedBy', ${row}.decided_by, 'delivery', ${row}.delivery,
  'settledAt', ${row}.settled_at)`

/**
 * Names this start of the server, and the session; and the database's own start and the file that the
 * session is in, because a server may go on while the database below it is restored.
 */
export const epochOf = (boot: string) => sql<string>`${boot} || to_hex(hashtext(
  pg_postmaster_start_time()::text || pg_relation_filepath(sessions.tableoid))) || sessions.tag`

/**
 * Changes a pending request and appends the event, in one statement and one round trip.
 *
 * The request's row is locked first, so that of two commands the second sees what the first did; by
 * its id alone, or the planner may read all that is pending to find it. Then the session's row, whose
 * counter moves only when something is appended. That lock is held to the commit: the order of
 * commits is the order of `seq`, and no number is left out.
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
    set: RawBuilder<unknown>
    whileReviewers?: Reviewers | undefined
    /** A further step of the same statement, of the rows in `changed`. */
    also?: RawBuilder<unknown> | undefined
  },
): Promise<Event | undefined> {
  const { id, tenant, sessionId } = request.question
  const reviewers = change.whileReviewers && JSON.stringify(change.whileReviewers)
  const { rows } = await sql<{
    seq: number
    epoch: string
    type: EventType
    at: Date
    state: StoredState
  }>`
    WITH locked AS MATERIALIZED (
      SELECT id, tenant, status, expires_at, delivery FROM requests WHERE id = ${id}
      FOR NO KEY UPDATE
    ), pending AS MATERIALIZED (
      SELECT id FROM locked WHERE tenant = ${tenant} AND status = 'pending' AND ${change.guard}
    ), place AS (
      UPDATE sessions SET seq = sessions.seq + 1, epoch = ${epochOf(boot)}
      WHERE sessions.tenant = ${tenant} AND sessions.id = ${sessionId}
        AND EXISTS (SELECT FROM pending)
        AND sessions.reviewers = coalesce(${reviewers}::jsonb, sessions.reviewers)
      RETURNING sessions.seq, sessions.epoch
    ), changed AS (
      UPDATE requests SET seq = place.seq, epoch = place.epoch, ${change.set}
      FROM place WHERE requests.id = ${id}
      RETURNING requests.*
    )${change.also ? sql`, also AS (${change.also})` : sql``}
    INSERT INTO events (tenant, session_id, seq, epoch, type, request_id, at, state)
    SELECT tenant, session_id, seq, epoch, ${change.type}, id,
      coalesce(settled_at, clock_timestamp()), ${stateOf(sql.ref('changed'))}
    FROM changed
    RETURNING seq, epoch, type, at, state`.execute(db)
  const [row] = rows
  return row && toEvent(row, request.question)
}

/** Appends an event of a request that this transaction has just inserted, with its session locked. */
export async function append(
  db: Kysely<Tables>,
  request: HitlRequest,
  type: EventType,
): Promise<Event> {
  const { rows } = await sql<{
    seq: number
    epoch: string
    type: EventType
    at: Date
    state: StoredState
  }>`
    INSERT INTO events (tenant, session_id, seq, epoch, type, request_id, at, state)
    SELECT tenant, session_id, seq, epoch, ${type}, id, created_at, ${stateOf(sql.ref('requests'))}
    FROM requests WHERE id = ${request.question.id}
    RETURNING seq, epoch, type, at, state`.execute(db)
  const [row] = rows
  if (!row) throw new Error('the request was not inserted')
  return toEvent(row, request.question)
}

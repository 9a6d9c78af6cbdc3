import { type Kysely, sql, type Transaction } from 'kysely'
import type { Pruned, SessionKey } from '../core/ports.ts'
import type { Tables } from './schema.ts'

/** Sessions that are looked at in one batch. */
const SESSIONS = 1_000
/** Events of one session that are deleted while its row is locked, and nobody else can append. */
const EVENTS = 500

/** Events that are deleted in one batch, about. */
const BATCH_EVENTS = 5_000
/** Before every session. */
const BEGINNING: SessionKey = { tenant: '', sessionId: '' }

/** What EventPruning.prune does. Processes that do it at once pass each other by. */
export async function pruneEvents(
  db: Kysely<Tables>,
  days: number,
  from: SessionKey | undefined,
): Promise<Pruned> {
  let done = from ?? BEGINNING
  let events = 0
  const batch = await lookAt(db, days, done)
  for (const { tenant, id, is_due } of batch) {
    const session = { tenant, sessionId: id }
    for (let isDue = is_due; isDue; ) {
      if (events >= BATCH_EVENTS) return { events, next: done }
      const deleted = await pruneSession(db, days, session)
      events += deleted
      isDue = deleted === EVENTS
    }
    done = session
  }
  return { events, next: batch.length < SESSIONS ? undefined : done }
}

/** The next sessions, and whether the first event of each is over. */
async function lookAt(db: Kysely<Tables>, days: number, from: SessionKey) {
  const { rows } = await sql<{ tenant: string; id: string; is_due: boolean }>`
    WITH batch AS MATERIALIZED (
      SELECT tenant, id, floor_seq FROM sessions
      WHERE (tenant, id) > (${from.tenant}, ${from.sessionId})
      ORDER BY tenant, id LIMIT ${SESSIONS}
    )
    SELECT batch.tenant, batch.id, coalesce(${isOver(days)}, false) AS is_due
    FROM batch
    LEFT JOIN events ON events.tenant = batch.tenant AND events.session_id = batch.id
      AND events.seq = batch.floor_seq + 1
    LEFT JOIN requests ON requests.id = events.request_id
    ORDER BY batch.tenant, batch.id`.execute(db)
  return rows
}

function pruneSession(db: Kysely<Tables>, days: number, key: SessionKey): Promise<number> {
  return db.transaction().execute(async (trx) => {
    const place = await lockSession(trx, key)
    return place === undefined ? 0 : deleteOldest(trx, days, key, place.floor_seq)
  })
}

/** A session that somebody appends to, or prunes, is for another time. */
function lockSession(trx: Transaction<Tables>, { tenant, sessionId }: SessionKey) {
  return trx
    .selectFrom('sessions')
    .select('floor_seq')
    .where('tenant', '=', tenant)
    .where('id', '=', sessionId)
    .forNoKeyUpdate()
    .skipLocked()
    .executeTakeFirst()
}

/** A statement of its own, so that it sees what was committed before the lock was given. */
async function deleteOldest(
  trx: Transaction<Tables>,
  days: number,
  { tenant, sessionId }: SessionKey,
  floor: number,
): Promise<number> {
  const { rows } = await sql<{ deleted: number }>`
    WITH oldest AS MATERIALIZED (
      SELECT events.seq, ${isOver(days)} AS is_over
      FROM events JOIN requests ON requests.id = events.request_id
      WHERE events.tenant = ${tenant} AND events.session_id = ${sessionId} AND events.seq > ${floor}
      ORDER BY events.seq LIMIT ${EVENTS}
    ), deleted AS (
      DELETE FROM events WHERE tenant = ${tenant} AND session_id = ${sessionId}
        AND seq IN (SELECT seq FROM oldest)
        AND seq < coalesce((SELECT min(seq) FROM oldest WHERE NOT is_over), seq + 1)
      RETURNING seq, epoch, hash
    ), newest AS (
      SELECT seq, epoch, hash FROM deleted ORDER BY seq DESC LIMIT 1
    )
    UPDATE sessions SET floor_seq = newest.seq, floor_epoch = newest.epoch,
      floor_chain = coalesce(newest.hash, '')
    FROM newest WHERE sessions.tenant = ${tenant} AND sessions.id = ${sessionId}
    RETURNING (SELECT count(*) FROM deleted) AS deleted`.execute(trx)
  return rows[0]?.deleted ?? 0
}

/** Settled so long ago that none of its events is kept; by the clock of the database. */
const isOver = (days: number) => sql`(
  requests.status <> 'pending'
  AND requests.settled_at < statement_timestamp() - make_interval(days => ${days})
)`

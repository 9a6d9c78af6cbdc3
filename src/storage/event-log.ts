import { type Kysely, type Selectable, sql } from 'kysely'
import { LoopgateError } from '../core/errors.ts'
import type { Cursor, Event, Since } from '../core/event.ts'
import type { EventLog, Page, Position, Target } from '../core/ports.ts'
import type { Receipts } from './receipts.ts'
import { QUESTION_COLUMNS, SEAL_COLUMNS, type SealColumns, toEvent, toQuestion } from './rows.ts'
import type { EventTable, Tables } from './schema.ts'

interface Place {
  seq: number
  epoch: string
  floor_seq: number
  floor_epoch: string
  /** The epoch of the event at the reader's cursor; null when there is none. */
  epoch_there: string | null
}

interface Head {
  head: number
  floor_seq: number
}

/** An event, and what was asked. When there is none, the join gives one row without. */
type EventRow = Parameters<typeof toQuestion>[0] &
  SealColumns &
  Pick<Selectable<EventTable>, 'seq' | 'epoch' | 'at' | 'state'> & {
    event_type: EventTable['type']
  }

const COLUMNS = sql.raw([...QUESTION_COLUMNS, ...SEAL_COLUMNS].join(', '))

/**
 * The log of a session, by `seq`. A number is given out under the lock of the session's row, which
 * is held until the commit, so that a reader that sees `n` has seen everything before it. (Reading
 * "id > cursor" over a sequence would skip what commits late.)
 */
export class PgEventLog implements EventLog {
  readonly #db: Kysely<Tables>

  readonly #receipts: Receipts

  constructor(db: Kysely<Tables>, receipts: Receipts) {
    this.#db = db
    this.#receipts = receipts
  }

  async locate(target: Target, since: Since): Promise<Position> {
    const creation = target.requestId === undefined ? undefined : await this.#creation(target)
    // The place before a request's creation is the cursor of the event before it.
    const wanted = typeof since === 'object' ? since.seq : creation && creation - 1
    const place = await this.#place(target, wanted)
    const { cursor, recovered } = resolve(place, since, wanted)
    return { cursor, recovered, isAtEnd: cursor.seq === place.seq }
  }

  async read(target: Target, seq: number, limit: number): Promise<Page> {
    const { tenant, sessionId, requestId } = target
    // One statement, and so one moment: what is in the log is among the rows, or is not the reader's.
    // `event.*` is the columns named inside, whatever the tables will have.
    const { rows } = await sql<Head & (EventRow | { seq: null })>`
      SELECT sessions.seq AS head, sessions.floor_seq, event.*
      FROM sessions LEFT JOIN LATERAL (
        SELECT events.seq, events.epoch, events.type AS event_type, at, state, ${COLUMNS}
        FROM events JOIN requests ON requests.id = events.request_id
        WHERE events.tenant = sessions.tenant AND events.session_id = sessions.id
          AND events.seq > ${seq} AND ${isOf(requestId)}
        ORDER BY events.seq LIMIT ${limit}
      ) AS event ON true
      WHERE sessions.tenant = ${tenant} AND sessions.id = ${sessionId}
      ORDER BY event.seq`.execute(this.#db)
    const [first] = rows
    if (!first) throw new LoopgateError('SESSION_NOT_FOUND')
    // Pruned, or a history that was undone while the reader was there.
    if (first.floor_seq > seq || first.head < seq) throw new LoopgateError('CURSOR_GONE')
    const found = rows.filter((row) => row.seq !== null)
    const events = await Promise.all(found.map((row) => this.#toEvent(row)))
    const complete = found.length < limit
    const last = found.at(-1)?.seq ?? seq
    return { events, seq: complete ? Math.max(first.head, last) : last, complete }
  }

  async ahead(
    readers: readonly { tenant: string; sessionId: string; seq: number }[],
  ): Promise<{ tenant: string; sessionId: string }[]> {
    const { rows } = await sql<{ tenant: string; id: string }>`
      SELECT sessions.tenant, sessions.id
      FROM unnest(
        ${readers.map(({ tenant }) => tenant)}::text[],
        ${readers.map(({ sessionId }) => sessionId)}::text[],
        ${readers.map(({ seq }) => seq)}::bigint[]
      ) AS reader (tenant, session_id, seq)
      JOIN sessions ON sessions.tenant = reader.tenant AND sessions.id = reader.session_id
      WHERE sessions.seq <> reader.seq`.execute(this.#db)
    return rows.map(({ tenant, id }) => ({ tenant, sessionId: id }))
  }

  #toEvent(row: EventRow): Promise<Event> {
    return this.#receipts.on(toEvent({ ...row, type: row.event_type }, toQuestion(row)), row)
  }

  async #creation({ tenant, sessionId, requestId }: Target): Promise<number> {
    const row = await this.#db
      .selectFrom('requests')
      .select('created_seq')
      .where('id', '=', requestId ?? '')
      .where('tenant', '=', tenant)
      .where('session_id', '=', sessionId)
      .executeTakeFirst()
    if (!row) throw new LoopgateError('REQUEST_NOT_FOUND')
    return row.created_seq
  }

  async #place({ tenant, sessionId }: Target, seq: number | undefined): Promise<Place> {
    const { rows } = await sql<Place>`
      SELECT seq, epoch, floor_seq, floor_epoch,
        CASE WHEN floor_seq = ${seq ?? null}::bigint THEN floor_epoch ELSE (
          SELECT events.epoch FROM events
          WHERE events.tenant = sessions.tenant AND events.session_id = sessions.id
            AND events.seq = ${seq ?? null}::bigint
        ) END AS epoch_there
      FROM sessions WHERE tenant = ${tenant} AND id = ${sessionId}`.execute(this.#db)
    const [row] = rows
    if (!row) throw new LoopgateError('SESSION_NOT_FOUND')
    return row
  }
}

function resolve(
  place: Place,
  since: Since,
  wanted: number | undefined,
): Pick<Position, 'cursor' | 'recovered'> {
  const floor: Cursor = { epoch: place.floor_epoch, seq: place.floor_seq }
  if (since === 'earliest') return { cursor: floor, recovered: true }
  if (since === 'unknown') return { cursor: floor, recovered: false }
  if (since !== undefined) {
    const recovered = place.epoch_there === since.epoch
    return { cursor: recovered ? since : floor, recovered }
  }
  if (wanted === undefined) {
    return { cursor: { epoch: place.epoch, seq: place.seq }, recovered: true }
  }
  const before = place.epoch_there
  // Not even the request's beginning is kept.
  if (before === null) return { cursor: floor, recovered: false }
  return { cursor: { epoch: before, seq: wanted }, recovered: true }
}

/** A statement of its own for one request, which has an index of its own. */
const isOf = (requestId: string | undefined) =>
  requestId === undefined ? sql`true` : sql`events.request_id = ${requestId}`

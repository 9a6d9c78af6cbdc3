import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type {
  AuditedCheckpoint,
  AuditedEvent,
  AuditedHead,
  AuditedRequest,
  AuditSource,
} from '../core/audit.ts'
import { contentDigest, textDigest } from '../proof/digest.ts'
import { claimsOf } from '../proof/receipt.ts'
import { entryOf } from './chain.ts'
import { headsDigest } from './checkpoint-store.ts'
import { isUuid, REQUEST_COLUMNS, type RequestRow, toRequest, toSeal } from './rows.ts'
import type { Tables } from './schema.ts'

/** Rows in memory at once. */
const PAGE = 500

/** Reads everything once, as it is at one moment, whatever others do meanwhile. */
export function withAuditSource<Result>(
  db: Kysely<Tables>,
  audit: (source: AuditSource) => Promise<Result>,
): Promise<Result> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute((trx) => audit(new PgAuditSource(trx)))
}

class PgAuditSource implements AuditSource {
  readonly #trx: Transaction<Tables>

  constructor(trx: Transaction<Tables>) {
    this.#trx = trx
  }

  async *events(): AsyncIterable<AuditedEvent> {
    for await (const row of this.#rows<EventRow>('audit_events', EVENTS)) yield toAuditedEvent(row)
  }

  async *strays() {
    const query = sql`SELECT tenant, session_id, seq FROM events
      WHERE NOT EXISTS (SELECT FROM sessions
        WHERE sessions.tenant = events.tenant AND sessions.id = events.session_id)`
    type Stray = { tenant: string; session_id: string; seq: number }
    for await (const { tenant, session_id, seq } of this.#rows<Stray>('audit_strays', query)) {
      yield { tenant, sessionId: session_id, seq }
    }
  }

  async *requests(): AsyncIterable<AuditedRequest> {
    const rows = this.#rows<AuditedRequestRow>('audit_requests', requests(sql`true`))
    for await (const row of rows) yield toAuditedRequest(row)
  }

  async request(id: string): Promise<AuditedRequest | undefined> {
    if (!isUuid(id)) return undefined
    const { rows } = await requests(sql`requests.id = ${id}`).execute(this.#trx)
    const [row] = rows
    return row && toAuditedRequest(row)
  }

  async *checkpoints(): AsyncIterable<AuditedCheckpoint> {
    let rows: CheckpointRow[] = []
    for await (const row of this.#rows<CheckpointRow>('audit_checkpoints', CHECKPOINTS)) {
      const [first] = rows
      if (first && (first.tenant !== row.tenant || first.number !== row.number)) {
        yield toAuditedCheckpoint(first, rows)
        rows = []
      }
      rows.push(row)
    }
    const [first] = rows
    if (first) yield toAuditedCheckpoint(first, rows)
  }

  /** By a cursor of the database: one pass, and a page of it in memory. */
  async *#rows<Row>(cursor: string, query: RawBuilder<unknown>): AsyncIterable<Row> {
    await sql`DECLARE ${sql.ref(cursor)} NO SCROLL CURSOR FOR ${query}`.execute(this.#trx)
    const fetch = sql<Row>`FETCH ${sql.lit(PAGE)} FROM ${sql.ref(cursor)}`
    for (;;) {
      const { rows } = await fetch.execute(this.#trx)
      yield* rows
      if (rows.length < PAGE) break
    }
    await sql`CLOSE ${sql.ref(cursor)}`.execute(this.#trx)
  }
}

interface EventRow {
  tenant: string
  session_id: string
  head_seq: number
  chain: string
  floor_seq: number
  floor_chain: string
  seq: number | null
  request_id: string
  hash: string | null
  entry: string
  is_same: boolean | null
}

/** An event that settled says what the row says for ever; of one before, the row is pending or later. */
const IS_SAME = sql`CASE
  WHEN requests.id IS NULL THEN NULL
  WHEN events.state ->> 'status' = 'pending' THEN requests.seq <> events.seq OR requests.status = 'pending'
  ELSE requests.seq = events.seq
    AND events.state - 'settledAt' = jsonb_build_object('status', requests.status,
      'outcome', requests.outcome, 'response', requests.response, 'comment', requests.comment,
      'decidedBy', requests.decided_by, 'delivery', requests.delivery)
    AND (events.state ->> 'settledAt')::timestamptz = requests.settled_at
  END`

const ENTRY = entryOf({
  ...{ request: 'requests', tenant: 'events.tenant', sessionId: 'events.session_id' },
  ...{ requestId: 'events.request_id', seq: 'events.seq', at: 'events.at', state: 'events.state' },
  ...{ epoch: sql`events.epoch`, type: sql`events.type` },
})

const EVENTS = sql`
  SELECT sessions.tenant, sessions.id AS session_id, sessions.seq AS head_seq, sessions.chain,
    sessions.floor_seq, sessions.floor_chain, events.seq, events.request_id, events.hash,
    ${ENTRY} AS entry, ${IS_SAME} AS is_same
  FROM sessions
  LEFT JOIN events ON events.tenant = sessions.tenant AND events.session_id = sessions.id
  LEFT JOIN requests ON requests.id = events.request_id
  ORDER BY sessions.tenant, sessions.id, events.seq`

function toAuditedEvent(row: EventRow): AuditedEvent {
  const { tenant, session_id: sessionId, seq, request_id: requestId, hash, entry } = row
  return {
    ...{ tenant, sessionId },
    head: { seq: row.head_seq, hash: row.chain },
    floor: { seq: row.floor_seq, hash: row.floor_chain },
    event: seq === null ? null : { seq, requestId, hash, entry, isSame: row.is_same },
  }
}

type AuditedRequestRow = RequestRow & { is_in_log: boolean; is_deleted: boolean }

const requests = (where: RawBuilder<unknown>) => sql<AuditedRequestRow>`
  SELECT ${sql.raw(REQUEST_COLUMNS.join(', '))},
    coalesce(requests.seq <= sessions.floor_seq AND requests.status <> 'pending'
      OR events.request_id = requests.id, false) AS is_in_log,
    requests.seq <= sessions.floor_seq AS is_deleted
  FROM requests
  JOIN sessions ON sessions.tenant = requests.tenant AND sessions.id = requests.session_id
  LEFT JOIN events ON events.tenant = requests.tenant
    AND events.session_id = requests.session_id AND events.seq = requests.seq
  WHERE ${where}
  ORDER BY requests.id`

function toAuditedRequest(row: AuditedRequestRow): AuditedRequest {
  const request = toRequest(row)
  const isSettled = row.status !== 'pending'
  const seal = isSettled ? toSeal(row) : undefined
  return {
    ...{ tenant: row.tenant, id: row.id, sessionId: row.session_id, seq: row.seq },
    ...{ digest: row.digest, isSettled, kid: row.receipt_kid, isInLog: row.is_in_log },
    contentDigest: contentDigest(request.question),
    deletedAt: row.is_deleted ? row.settled_at : null,
    claims: seal ? JSON.stringify(claimsOf(request, seal)) : null,
  }
}

interface CheckpointRow {
  tenant: string
  number: number
  jws: string
  session_id: string | null
  seq: number
  hash: string
  head: number | null
  floor_seq: number
  floor_chain: string
  hash_now: string | null
}

const CHECKPOINTS = sql`
  SELECT checkpoints.tenant, checkpoints.number, checkpoints.jws, heads.session_id, heads.seq,
    heads.hash, sessions.seq AS head, sessions.floor_seq, sessions.floor_chain,
    events.hash AS hash_now
  FROM checkpoints
  LEFT JOIN checkpoint_heads AS heads
    ON heads.tenant = checkpoints.tenant AND heads.number = checkpoints.number
  LEFT JOIN sessions ON sessions.tenant = heads.tenant AND sessions.id = heads.session_id
  LEFT JOIN events ON events.tenant = heads.tenant AND events.session_id = heads.session_id
    AND events.seq = heads.seq
  ORDER BY checkpoints.tenant, checkpoints.number, heads.session_id COLLATE "C"`

function toAuditedCheckpoint(
  { tenant, number, jws }: CheckpointRow,
  rows: readonly CheckpointRow[],
): AuditedCheckpoint {
  const heads = rows.flatMap((row): (AuditedHead & { session_id: string })[] => {
    if (row.session_id === null) return []
    const floor = { seq: row.floor_seq, hash: row.floor_chain }
    const now = row.head === null ? null : { head: row.head, floor, hash: row.hash_now }
    const { session_id, seq, hash } = row
    return [{ session_id, sessionId: session_id, seq, hash, now }]
  })
  return {
    ...{ tenant, number, jws, heads },
    ...{ headsDigest: headsDigest(heads), digest: textDigest(jws) },
  }
}

import { type Kysely, sql } from 'kysely'
import type { Checkpoint, CheckpointStore, SignCheckpoint } from '../core/checkpoints.ts'
import { textDigest } from '../proof/digest.ts'
import type { Tables } from './schema.ts'

/** Heads in one checkpoint. */
const HEADS = 1_000

export interface Head {
  readonly session_id: string
  readonly seq: number
  readonly hash: string
}

/** Of the heads in the order of their sessions' bytes. */
export const headsDigest = (heads: readonly Head[]): string =>
  textDigest(JSON.stringify(heads.map(({ session_id, seq, hash }) => [session_id, seq, hash])))

/** A session whose newest event is in no checkpoint. */
const hasMoved = sql<boolean>`sessions.chain <> '' AND NOT EXISTS (
  SELECT FROM checkpoint_heads AS head
  WHERE head.tenant = sessions.tenant AND head.session_id = sessions.id
    AND head.seq = sessions.seq AND head.hash = sessions.chain)`

/** What the next checkpoint follows on. */
interface Basis {
  iat: number
  kid: string | null
  number: number
  jws: string | null
}

export class PgCheckpointStore implements CheckpointStore {
  readonly #db: Kysely<Tables>

  constructor(db: Kysely<Tables>) {
    this.#db = db
  }

  async behind(): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('sessions')
      .select('tenant')
      .distinct()
      .where(hasMoved)
      .execute()
    return rows.map(({ tenant }) => tenant)
  }

  /** Signed between two statements: the number is taken by one process alone. */
  async write(tenant: string, sign: SignCheckpoint): Promise<Checkpoint | undefined> {
    const { iat, kid, number, jws: previous } = await this.#basis(tenant)
    if (kid === null) return undefined
    const heads = await this.#moved(tenant)
    if (heads.length === 0) return undefined
    const claims = {
      ...{ tenant, number, iat, previous: previous === null ? null : textDigest(previous) },
      heads: { count: heads.length, digest: headsDigest(heads) },
    }
    const jws = await sign(claims, kid)
    if (jws === null || !(await this.#insert(tenant, number, jws, heads))) return undefined
    return { number, jws, isComplete: heads.length < HEADS }
  }

  async #basis(tenant: string): Promise<Basis> {
    const { rows } = await sql<Basis>`
      SELECT floor(extract(epoch FROM statement_timestamp()))::bigint AS iat,
        (SELECT kid FROM receipt_keys WHERE status = 'current') AS kid,
        coalesce(last.number, 0) + 1 AS number, last.jws
      FROM (SELECT) AS one LEFT JOIN (
        SELECT number, jws FROM checkpoints WHERE tenant = ${tenant}
        ORDER BY number DESC LIMIT 1
      ) AS last ON true`.execute(this.#db)
    const [basis] = rows
    if (!basis) throw new Error('a query without rows')
    return basis
  }

  async #moved(tenant: string): Promise<Head[]> {
    const { rows } = await sql<Head>`
      SELECT id AS session_id, seq, chain AS hash FROM sessions
      WHERE tenant = ${tenant} AND ${hasMoved}
      ORDER BY id COLLATE "C" LIMIT ${HEADS}`.execute(this.#db)
    return rows
  }

  /** False when another process has taken the number. */
  async #insert(tenant: string, number: number, jws: string, heads: readonly Head[]) {
    const { rows } = await sql`
      WITH checkpoint AS (
        INSERT INTO checkpoints (tenant, number, jws) VALUES (${tenant}, ${number}, ${jws})
        ON CONFLICT DO NOTHING
        RETURNING tenant, number
      )
      INSERT INTO checkpoint_heads (tenant, session_id, seq, hash, number)
      SELECT checkpoint.tenant, head.session_id, head.seq, head.hash, checkpoint.number
      FROM checkpoint, unnest(
        ${heads.map(({ session_id }) => session_id)}::text[],
        ${heads.map(({ seq }) => seq)}::bigint[],
        ${heads.map(({ hash }) => hash)}::text[]
      ) AS head (session_id, seq, hash)
      RETURNING number`.execute(this.#db)
    return rows.length > 0
  }
}

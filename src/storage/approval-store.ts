import { type Kysely, sql } from 'kysely'
import { LoopgateError } from '../core/errors.ts'
import { APPROVAL_TTL_SECONDS, type ApprovalStore } from '../core/receipt.ts'
import { isUuid } from './rows.ts'
import type { Tables } from './schema.ts'

/** A century: PostgreSQL knows no time that is much later than people do. */
const MAX_TTL_SECONDS = 3_155_760_000

export class PgApprovalStore implements ApprovalStore {
  readonly #db: Kysely<Tables>

  constructor(db: Kysely<Tables>) {
    this.#db = db
  }

  async consume(tenant: string, requestId: string, digest: string, by: string): Promise<void> {
    const asked = isUuid(requestId) ? await this.#find(tenant, requestId) : undefined
    if (!asked) throw new LoopgateError('REQUEST_NOT_FOUND')
    if (asked.outcome !== 'approved') throw new LoopgateError('NOT_APPROVED')
    if (asked.digest !== digest) throw new LoopgateError('DIGEST_MISMATCH')
    // What was read above never changes again; being the first, and in time, is judged in one statement.
    // A receipt counts from the whole second (its `iat`), and so does this.
    const { rows } = await sql<{ is_spent: boolean }>`
      INSERT INTO consumptions (request_id, consumed_by)
      SELECT id, ${by} FROM requests
      WHERE id = ${requestId} AND date_trunc('second', settled_at) + make_interval(
        secs => least(coalesce(approval_ttl_seconds, ${APPROVAL_TTL_SECONDS}), ${MAX_TTL_SECONDS})
      ) > statement_timestamp()
      ON CONFLICT (request_id) DO NOTHING
      RETURNING true AS is_spent`.execute(this.#db)
    if (rows.length > 0) return
    throw new LoopgateError(
      (await this.#isConsumed(requestId)) ? 'ALREADY_CONSUMED' : 'APPROVAL_EXPIRED',
    )
  }

  #find(tenant: string, requestId: string) {
    return this.#db
      .selectFrom('requests')
      .select(['outcome', 'digest'])
      .where('id', '=', requestId)
      .where('tenant', '=', tenant)
      .executeTakeFirst()
  }

  async #isConsumed(requestId: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom('consumptions')
      .select('request_id')
      .where('request_id', '=', requestId)
      .executeTakeFirst()
    return row !== undefined
  }
}

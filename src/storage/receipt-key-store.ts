import { type Kysely, sql } from 'kysely'
import type { KeyStatus, NewKey, ReceiptKeyStore, StoredKey } from '../core/receipt.ts'
import type { Tables } from './schema.ts'

export class PgReceiptKeyStore implements ReceiptKeyStore {
  readonly #db: Kysely<Tables>

  constructor(db: Kysely<Tables>) {
    this.#db = db
  }

  async ensure(make: () => Promise<NewKey>): Promise<void> {
    const there = new Set((await this.all()).map(({ status }) => status))
    for (const status of ['current', 'next'] as const) {
      if (!there.has(status)) await this.#insert(this.#db, await make(), status)
    }
  }

  async all(): Promise<StoredKey[]> {
    const rows = await this.#db
      .selectFrom('receipt_keys')
      .select(['kid', 'status', 'private_jwk', 'created_at'])
      .orderBy('created_at')
      .orderBy('kid')
      .execute()
    return rows.map(({ kid, status, private_jwk: jwk, created_at: createdAt }) => {
      return { kid, status, jwk, createdAt }
    })
  }

  rotate(next: NewKey): Promise<void> {
    return this.#db.transaction().execute(async (trx) => {
      const now = sql<Date>`clock_timestamp()`
      // One after the other: of two that rotate at once, the second rotates what the first left.
      const { rows } = await sql<{ kid: string; status: KeyStatus }>`
        SELECT kid, status FROM receipt_keys WHERE status <> 'retired'
        ORDER BY status FOR UPDATE`.execute(trx)
      const kidOf = (status: KeyStatus) => rows.find((row) => row.status === status)?.kid ?? ''
      await trx
        .updateTable('receipt_keys')
        .set({ status: 'retired', retired_at: now })
        .where('kid', '=', kidOf('current'))
        .execute()
      await trx
        .updateTable('receipt_keys')
        .set({ status: 'current', current_from: now })
        .where('kid', '=', kidOf('next'))
        .execute()
      await this.#insert(trx, next, 'next')
    })
  }

  /** Nothing when somebody was faster. */
  async #insert(db: Kysely<Tables>, { kid, jwk }: NewKey, status: KeyStatus): Promise<void> {
    await db
      .insertInto('receipt_keys')
      .values({
        kid,
        status,
        private_jwk: JSON.stringify(jwk),
        current_from: status === 'current' ? sql`clock_timestamp()` : null,
      })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
  }
}

import { type Kysely, sql } from 'kysely'

/** Why a card could not be brought up to date, beside what deliveries say of those that were not sent. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  'ALTER TABLE cards ADD COLUMN error text',
  `CREATE INDEX cards_dead ON cards (request_id) WHERE closed AND error IS NOT NULL`,
  `CREATE INDEX deliveries_dead ON deliveries (request_id) WHERE status = 'failed'`,
]

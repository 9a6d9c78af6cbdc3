import { type Kysely, sql } from 'kysely'

/** How many questions of a tenant wait at the same reviewers. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`CREATE INDEX requests_pending_at ON requests
    (tenant, jsonb_path_query_array(reviewers, '$.*.address')) WHERE status = 'pending'`.execute(db)
}

import { type Kysely, sql } from 'kysely'

/** Sessions of MCP clients (revisions up to 2025-11-25), so that a restart loses none. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`CREATE TABLE mcp_sessions (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    principal text NOT NULL,
    initialize jsonb NOT NULL,
    subscriptions jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
  )`.execute(db)
  await sql`CREATE INDEX mcp_sessions_seen ON mcp_sessions (tenant, seen_at)`.execute(db)
}

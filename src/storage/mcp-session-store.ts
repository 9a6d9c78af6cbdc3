import { type Kysely, sql } from 'kysely'
import type { McpSession, McpSessionStore } from '../core/mcp-session.ts'
import { type Principal, principalKey } from '../core/principal.ts'
import { isUuid } from './rows.ts'
import type { Tables } from './schema.ts'

/** A laptop may sleep over the holidays; a client whose session is gone often fails for good. */
const KEPT_DAYS = 30
/** Clients seldom say that they are done. */
const MAX_OF_TENANT = 1_000
/** It is looked for with every request, and a write each time would be for nothing. */
const NOTED_SECONDS = 60

export class PgMcpSessionStore implements McpSessionStore {
  readonly #db: Kysely<Tables>

  constructor(db: Kysely<Tables>) {
    this.#db = db
  }

  async create(principal: Principal, session: McpSession): Promise<void> {
    const { tenant } = principal
    await sql`
      WITH old AS (
        DELETE FROM mcp_sessions WHERE tenant = ${tenant} AND (
          seen_at < clock_timestamp() - make_interval(days => ${KEPT_DAYS})
          OR id IN (SELECT id FROM mcp_sessions WHERE tenant = ${tenant}
            ORDER BY seen_at DESC OFFSET ${MAX_OF_TENANT - 1}))
      )
      INSERT INTO mcp_sessions (id, tenant, principal, initialize, subscriptions)
      VALUES (${session.id}, ${tenant}, ${principalKey(principal)},
        ${JSON.stringify(session.initialize)}, ${JSON.stringify(session.subscriptions)})`.execute(
      this.#db,
    )
  }

  async find(principal: Principal, id: string): Promise<McpSession | undefined> {
    // PostgreSQL reads an id in other letters as the same one; a session has one spelling.
    if (!isUuid(id) || id !== id.toLowerCase()) return undefined
    const { tenant } = principal
    const { rows } = await sql<McpSession>`
      WITH seen AS (
        UPDATE mcp_sessions SET seen_at = clock_timestamp()
        WHERE id = ${id} AND tenant = ${tenant} AND principal = ${principalKey(principal)}
          AND seen_at < clock_timestamp() - make_interval(secs => ${NOTED_SECONDS})
      )
      SELECT id, initialize, subscriptions FROM mcp_sessions
      WHERE id = ${id} AND tenant = ${tenant} AND principal = ${principalKey(principal)}`.execute(
      this.#db,
    )
    return rows[0]
  }

  async update(id: string, subscriptions: readonly string[]): Promise<void> {
    await this.#db
      .updateTable('mcp_sessions')
      .set({
        subscriptions: JSON.stringify(subscriptions),
        seen_at: sql<Date>`clock_timestamp()`,
      })
      .where('id', '=', id)
      .execute()
  }

  async delete(id: string): Promise<void> {
    await this.#db.deleteFrom('mcp_sessions').where('id', '=', id).execute()
  }
}

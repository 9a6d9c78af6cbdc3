import { randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { NewSession, Session, SessionStore } from '../core/ports.ts'
import type { Reviewers } from '../core/request.ts'
import { SESSION_COLUMNS, toSession } from './rows.ts'
import type { Tables } from './schema.ts'

export class PgSessionStore implements SessionStore {
  readonly #db: Kysely<Tables>
  readonly #boot: string

  constructor(db: Kysely<Tables>, boot: string) {
    this.#db = db
    this.#boot = boot
  }

  async ensure(session: NewSession): Promise<Session> {
    // Random, so that a session that was lost and made again is not taken for the old one.
    const tag = randomBytes(6).toString('hex')
    const epoch = `${this.#boot}${tag}`
    await this.#db
      .insertInto('sessions')
      .values({
        tenant: session.tenant,
        id: session.id,
        client_id: session.clientId,
        reviewers: JSON.stringify(session.reviewers),
        // Standard Webhooks: 24 to 64 random bytes.
        webhook_secret: `whsec_${randomBytes(32).toString('base64')}`,
        tag,
        epoch,
        floor_epoch: epoch,
      })
      .onConflict((conflict) => conflict.columns(['tenant', 'id']).doNothing())
      .execute()
    const stored = await this.find(session.tenant, session.id)
    if (!stored) throw new Error('a session vanished while it was registered')
    return stored
  }

  async find(tenant: string, id: string): Promise<Session | undefined> {
    const row = await this.#db
      .selectFrom('sessions')
      .select(SESSION_COLUMNS)
      .where('tenant', '=', tenant)
      .where('id', '=', id)
      .executeTakeFirst()
    return row && toSession(row)
  }

  async listActive(tenant: string, limit: number): Promise<Session[]> {
    const rows = await this.#db
      .selectFrom('sessions')
      .select(SESSION_COLUMNS)
      .where('tenant', '=', tenant)
      .where('active', '=', true)
      .orderBy('created_at')
      .orderBy('id')
      .limit(limit)
      .execute()
    return rows.map(toSession)
  }

  setActive(tenant: string, id: string, active: boolean): Promise<Session | undefined> {
    return this.#update(tenant, id, { active })
  }

  setReviewers(tenant: string, id: string, reviewers: Reviewers): Promise<Session | undefined> {
    return this.#update(tenant, id, { reviewers: JSON.stringify(reviewers) })
  }

  async #update(
    tenant: string,
    id: string,
    change: { active?: boolean; reviewers?: string },
  ): Promise<Session | undefined> {
    const row = await this.#db
      .updateTable('sessions')
      .set(change)
      .where('tenant', '=', tenant)
      .where('id', '=', id)
      .returning(SESSION_COLUMNS)
      .executeTakeFirst()
    return row && toSession(row)
  }
}

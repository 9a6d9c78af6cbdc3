import { createHash, randomBytes } from 'node:crypto'
import { type Kysely, sql, type Transaction } from 'kysely'
import type { InvitationStore } from '../core/card.ts'
import type { Session } from '../core/ports.ts'
import type { Audience } from '../core/request.ts'
import { SESSION_COLUMNS, toSession } from './rows.ts'
import type { Tables } from './schema.ts'
import { clientTurn, takeTurn } from './turns.ts'

export class PgInvitationStore implements InvitationStore {
  readonly #db: Kysely<Tables>

  constructor(db: Kysely<Tables>) {
    this.#db = db
  }

  async create(
    tenant: string,
    sessionId: string,
    channel: string,
    ttlSeconds: number,
  ): Promise<string> {
    const code = randomBytes(16).toString('base64url')
    await this.#db
      .deleteFrom('invitations')
      .where('tenant', '=', tenant)
      .where('session_id', '=', sessionId)
      .where('expires_at', '<', sql<Date>`clock_timestamp()`)
      .execute()
    await this.#db
      .insertInto('invitations')
      .values({
        code_digest: digest(code),
        tenant,
        session_id: sessionId,
        channel,
        expires_at: sql`clock_timestamp() + make_interval(secs => ${ttlSeconds})`,
        accepted_by: null,
      })
      .execute()
    return code
  }

  accept(code: string, channel: string, address: string, by: string): Promise<Session | undefined> {
    return this.#db.transaction().execute(async (trx) => {
      const invitation = await trx
        .selectFrom('invitations')
        .select(['tenant', 'session_id', 'code_digest', 'accepted_by'])
        .where('code_digest', '=', digest(code))
        .where('channel', '=', channel)
        .where('expires_at', '>', sql<Date>`clock_timestamp()`)
        .forUpdate()
        .executeTakeFirst()
      if (!invitation) return undefined
      const { tenant, session_id: sessionId } = invitation
      const { client_id: clientId } = await trx
        .selectFrom('sessions')
        .select('client_id')
        .where('tenant', '=', tenant)
        .where('id', '=', sessionId)
        .executeTakeFirstOrThrow()
      // Nothing is asked meanwhile: a question that came in between would be locked too late.
      await takeTurn(trx, clientTurn(tenant, clientId))
      // Requests before their session, as settling locks them: the other way round they deadlock.
      await trx
        .selectFrom('requests')
        .select('id')
        .where('tenant', '=', tenant)
        .where('session_id', '=', sessionId)
        .where('status', '=', 'pending')
        .orderBy('id')
        .forUpdate()
        .execute()
      const session = await trx
        .selectFrom('sessions')
        .select(SESSION_COLUMNS)
        .where('tenant', '=', tenant)
        .where('id', '=', sessionId)
        .forUpdate()
        .executeTakeFirstOrThrow()
      if (invitation.accepted_by === by) return toSession(session)
      const audience = session.reviewers[channel] ?? { address: null, approvers: [] }
      if (invitation.accepted_by !== null || audience.address !== null) return undefined
      if (audience.approvers.length > 0 && !audience.approvers.includes(by)) return undefined
      await trx
        .updateTable('invitations')
        .set({ accepted_by: by })
        .where('code_digest', '=', invitation.code_digest)
        .execute()
      const joined = { ...audience, address }
      await openRequests(trx, tenant, sessionId, channel, joined)
      const row = await trx
        .updateTable('sessions')
        .set({ reviewers: JSON.stringify({ ...session.reviewers, [channel]: joined }) })
        .where('tenant', '=', tenant)
        .where('id', '=', sessionId)
        .returning(SESSION_COLUMNS)
        .executeTakeFirstOrThrow()
      return toSession(row)
    })
  }
}

/**
 * What was asked while nobody could answer has its reviewer now, and its card is owed. What the agent
 * was told holds until the card is there, which is an event.
 */
async function openRequests(
  trx: Transaction<Tables>,
  tenant: string,
  sessionId: string,
  channel: string,
  audience: Audience,
): Promise<void> {
  const requests = await trx
    .updateTable('requests')
    .set({ reviewers: sql`reviewers || ${JSON.stringify({ [channel]: audience })}::jsonb` })
    .where('tenant', '=', tenant)
    .where('session_id', '=', sessionId)
    .where('status', '=', 'pending')
    .returning('id')
    .execute()
  if (requests.length === 0) return
  await trx
    .insertInto('deliveries')
    .values(
      requests.map(({ id }) => ({
        request_id: id,
        channel,
        status: 'queued' as const,
        error: null,
      })),
    )
    .onConflict((conflict) =>
      conflict
        .columns(['request_id', 'channel'])
        .doUpdateSet({ status: 'queued', error: null, due_at: sql`clock_timestamp()` }),
    )
    .execute()
}

const digest = (code: string) => createHash('sha256').update(code).digest('hex')

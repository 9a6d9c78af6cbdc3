import { randomUUID } from 'node:crypto'
import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import { LoopgateError } from '../core/errors.ts'
import type { Event, EventType } from '../core/event.ts'
import type {
  PlannedDelivery,
  RequestStore,
  StoredRequest,
  Submission,
  Submitted,
} from '../core/ports.ts'
import type { Delivery, HitlRequest, Reviewers, Settlement } from '../core/request.ts'
import { contentDigest, textDigest } from '../proof/digest.ts'
import { insertCallback, insertSessionCallbacks, owing } from './callback-store.ts'
import type { Receipts } from './receipts.ts'
import { isUuid, REQUEST_COLUMNS, toRequest, toStoredRequest } from './rows.ts'
import type { Tables } from './schema.ts'
import { append, type Changes, epochOf, transition } from './transition.ts'
import { clientTurn, takeTurn } from './turns.ts'

const SETTLED: Readonly<Record<Settlement['status'], EventType>> = {
  decided: 'request.decided',
  expired: 'request.expired',
  canceled: 'request.canceled',
}

/** Not rounded, as the columns would: an answer in time is never dated at the end. */
const NOW = sql<Date>`date_trunc('milliseconds', statement_timestamp())`
/** An agent can call itself by many names of a client: at one place they may have so many times a client's. */
const SHARE_OF_REVIEWERS = 5

type Plan = (reviewers: Reviewers) => readonly PlannedDelivery[]

export class PgRequestStore implements RequestStore {
  readonly #db: Kysely<Tables>
  readonly #boot: string

  readonly #receipts: Receipts

  /** `boot` names this start of the server. */
  constructor(db: Kysely<Tables>, boot: string, receipts: Receipts) {
    this.#db = db
    this.#boot = boot
    this.#receipts = receipts
  }

  async submit(
    tenant: string,
    submission: Submission,
    maxPending: number,
    plan: Plan,
  ): Promise<Submitted> {
    const known = await replay(this.#db, tenant, submission, this.#receipts)
    if (known) return known
    return this.#db
      .transaction()
      .execute((trx) => this.#insert(trx, tenant, submission, maxPending, plan))
  }

  async settle(
    request: HitlRequest,
    settlement: Settlement,
    settledBy: string,
    whileReviewers?: Reviewers,
  ): Promise<Event | undefined> {
    const { status } = settlement
    // The time at which the command reached the database: waiting for a lock makes no answer late.
    const isOver = sql`expires_at <= statement_timestamp()`
    const guards = { expired: isOver, decided: sql`NOT ${isOver}`, canceled: sql`NOT ${isOver}` }
    const appended = await transition(this.#db, this.#boot, request, {
      type: SETTLED[status],
      guard: guards[status],
      whileReviewers,
      changes: becoming(settlement, settledBy, this.#receipts.issuer()),
      also: owing,
    })
    return appended && this.#receipts.on(appended.event, appended.seal)
  }

  async find(tenant: string, id: string): Promise<StoredRequest | undefined> {
    if (!isUuid(id)) return undefined
    const row = await this.#db
      .selectFrom('requests')
      .select(REQUEST_COLUMNS)
      .where('id', '=', id)
      .where('tenant', '=', tenant)
      .executeTakeFirst()
    if (!row) return undefined
    const { request, settledBy } = toStoredRequest(row)
    return { request: await this.#receipts.on(request, row), settledBy }
  }

  async listPending(tenant: string, sessionId?: string): Promise<HitlRequest[]> {
    const rows = await this.#db
      .selectFrom('requests')
      .select(REQUEST_COLUMNS)
      .where('tenant', '=', tenant)
      .where('status', '=', 'pending')
      .$if(sessionId !== undefined, (query) => query.where('session_id', '=', sessionId ?? ''))
      .orderBy('created_at')
      .orderBy('id')
      .execute()
    return rows.map(toRequest)
  }

  async nextToExpire(limit: number): Promise<{ request: HitlRequest; dueInMs: number }[]> {
    const rows = await this.#db
      .selectFrom('requests')
      .select(REQUEST_COLUMNS)
      .select(
        sql<number>`ceil(extract(epoch FROM expires_at - clock_timestamp()) * 1000)::float8`.as(
          'due_in_ms',
        ),
      )
      .where('status', '=', 'pending')
      .orderBy('expires_at')
      .limit(limit)
      .execute()
    return rows.map((row) => ({ request: toRequest(row), dueInMs: row.due_in_ms }))
  }

  async #insert(
    trx: Transaction<Tables>,
    tenant: string,
    submission: Submission,
    maxPending: number,
    plan: Plan,
  ): Promise<Submitted> {
    const { clientId, idempotency, callbackUrl } = submission
    if (idempotency) {
      await takeTurn(trx, `key ${tenant} ${idempotency.key}`)
      const known = await replay(trx, tenant, submission, this.#receipts)
      if (known) return known
    }
    // Submissions of one client count one after the other, in whatever sessions they are.
    await takeTurn(trx, clientTurn(tenant, clientId))
    const place = await this.#takePlace(trx, tenant, submission)
    await requireRoom(trx, tenant, clientId, place.reviewers, maxPending)
    const delivery = plan(place.reviewers).map(toDelivery)
    const row = await insertRequest(trx, tenant, submission, place, delivery)
    const created = toRequest(row)
    const events = [await append(trx, created, 'request.created')]
    if (delivery.length > 0) await insertDeliveries(trx, created.question.id, delivery)
    if (callbackUrl !== undefined) await insertCallback(trx, created.question.id, callbackUrl)
    if (place.has_callbacks) await insertSessionCallbacks(trx, created.question, callbackUrl)
    if (!delivery.some(({ status }) => status === 'failed')) {
      return { request: created, events, replayed: false }
    }
    // Nobody is asked on some channel, and the agent hears of it at once.
    const next = await this.#bump(trx, created)
    events.push(await append(trx, next, 'request.undelivered'))
    return { request: next, events, replayed: false }
  }

  /** The next place in the session's log, with the session's row locked. */
  async #takePlace(trx: Transaction<Tables>, tenant: string, submission: Submission) {
    const row = await trx
      .updateTable('sessions')
      .set({ seq: sql`seq + 1`, epoch: epochOf(this.#boot) })
      .where('tenant', '=', tenant)
      .where('id', '=', submission.sessionId)
      .returning(['client_id', 'active', 'reviewers', 'has_callbacks', 'seq', 'epoch'])
      .executeTakeFirst()
    if (!row) throw new LoopgateError('SESSION_NOT_FOUND')
    if (row.client_id !== submission.clientId) {
      throw new LoopgateError('FORBIDDEN', 'client_id is not the one of this session')
    }
    if (!row.active) throw new LoopgateError('SESSION_INACTIVE')
    return row
  }

  async #bump(trx: Transaction<Tables>, { question }: HitlRequest): Promise<HitlRequest> {
    const row = await trx
      .with('place', (query) =>
        query
          .updateTable('sessions')
          .set({ seq: sql`seq + 1` })
          .where('tenant', '=', question.tenant)
          .where('id', '=', question.sessionId)
          .returning(['seq']),
      )
      .updateTable('requests')
      .from('place')
      .set((place) => ({ seq: place.ref('place.seq') }))
      .where('requests.id', '=', question.id)
      .returning(REQUEST_COLUMNS)
      .executeTakeFirstOrThrow()
    return toRequest(row)
  }
}

/** What settling writes. The key is the one that is current when it is settled. */
function becoming(settlement: Settlement, settledBy: string, issuer: string | null): Changes {
  const { status, outcome, response, comment, decidedBy, shown } = settlement
  return {
    status: sql`${status}::text`,
    outcome: sql`${outcome}::text`,
    response: sql`${response}::text`,
    comment: sql`${comment}::text`,
    decided_by: sql`${decidedBy && JSON.stringify(decidedBy)}::jsonb`,
    settled_by: sql`${settledBy}::text`,
    settled_at: NOW,
    shown_digest:
      shown === undefined ? shownOn(decidedBy?.channel ?? '') : sql`${textDigest(shown)}::text`,
    ...(issuer !== null && {
      receipt_kid: sql`(SELECT kid FROM receipt_keys WHERE status = 'current')`,
      receipt_issuer: sql`${issuer}::text`,
    }),
  }
}

/** Of the card in the channel where it was decided, or else of any. Null when there is none. */
const shownOn = (channel: string) => sql`(
  SELECT 'sha-256:' || encode(sha256(convert_to(shown, 'UTF8')), 'hex')
  FROM cards WHERE cards.request_id = locked.id AND shown IS NOT NULL
  ORDER BY cards.channel <> ${channel}, cards.channel, address, message LIMIT 1)`

const toDelivery = ({ channel, failure }: PlannedDelivery): Delivery =>
  failure === undefined
    ? { channel, status: 'queued' }
    : { channel, status: 'failed', error: failure }

/** The request that an idempotency key stands for. */
async function replay(
  db: Kysely<Tables>,
  tenant: string,
  { idempotency }: Submission,
  receipts: Receipts,
): Promise<Submitted | undefined> {
  if (!idempotency) return undefined
  const row = await db
    .selectFrom('requests')
    .select([...REQUEST_COLUMNS, 'body_digest'])
    .where('tenant', '=', tenant)
    .where('idempotency_key', '=', idempotency.key)
    .executeTakeFirst()
  if (!row) return undefined
  if (row.body_digest !== idempotency.bodyDigest) throw new LoopgateError('IDEMPOTENCY_MISMATCH')
  return { request: await receipts.on(toRequest(row), row), events: [], replayed: true }
}

/**
 * Exact for the client, whose turn is held. For the reviewers it is a bound against floods: others may
 * ask them at the same moment.
 */
async function requireRoom(
  trx: Transaction<Tables>,
  tenant: string,
  clientId: string,
  reviewers: Reviewers,
  maxPending: number,
): Promise<void> {
  const pending = (where: RawBuilder<unknown>) => sql<number>`(
    SELECT count(*) FROM requests WHERE tenant = ${tenant} AND status = 'pending' AND ${where})`
  const asked = sql`${JSON.stringify(reviewers)}::jsonb`
  const isAsked = Object.values(reviewers).some(({ address }) => address !== null)
  const atReviewers = sql`${addressesIn(sql.ref('reviewers'))} = ${addressesIn(asked)}`
  const { rows } = await sql<{ of_client: number; at_reviewers: number }>`
    SELECT ${pending(sql`client_id = ${clientId}`)} AS of_client,
      ${isAsked ? pending(atReviewers) : sql`0`} AS at_reviewers`.execute(trx)
  const [{ of_client, at_reviewers } = { of_client: 0, at_reviewers: 0 }] = rows
  if (of_client >= maxPending) throw noRoom(`${maxPending} requests of this client_id`)
  const most = maxPending * SHARE_OF_REVIEWERS
  if (at_reviewers >= most) throw noRoom(`${most} requests at the same reviewers`)
}

const addressesIn = (reviewers: RawBuilder<unknown>) =>
  sql`jsonb_path_query_array(${reviewers}, '$.*.address')`

const noRoom = (what: string) =>
  new LoopgateError('TOO_MANY_PENDING', `${what} are pending; wait for an answer or cancel one`, {
    retryAfterSeconds: 5,
  })

function insertRequest(
  trx: Transaction<Tables>,
  tenant: string,
  submission: Submission,
  place: { seq: number; epoch: string; reviewers: Reviewers; has_callbacks: boolean },
  delivery: readonly Delivery[],
) {
  return trx
    .insertInto('requests')
    .values({
      id: randomUUID(),
      tenant,
      session_id: submission.sessionId,
      client_id: submission.clientId,
      message: submission.message,
      type: submission.type,
      options: JSON.stringify(submission.options),
      metadata: JSON.stringify(submission.metadata),
      reviewers: JSON.stringify(place.reviewers),
      idempotency_key: submission.idempotency?.key ?? null,
      body_digest: submission.idempotency?.bodyDigest ?? null,
      approval_ttl_seconds: submission.approvalTtlSeconds ?? null,
      has_callbacks: place.has_callbacks || submission.callbackUrl !== undefined,
      created_at: NOW,
      expires_at: sql`${NOW} + make_interval(secs => ${submission.timeoutSeconds})`,
      delivery: JSON.stringify(delivery),
      created_seq: place.seq,
      seq: place.seq,
      epoch: place.epoch,
      digest: contentDigest(submission),
    })
    .returning(REQUEST_COLUMNS)
    .executeTakeFirstOrThrow()
}

async function insertDeliveries(
  trx: Transaction<Tables>,
  requestId: string,
  delivery: readonly Delivery[],
): Promise<void> {
  await trx
    .insertInto('deliveries')
    .values(
      delivery.map(({ channel, status, error }) => ({
        request_id: requestId,
        channel,
        status,
        error: error ?? null,
      })),
    )
    .execute()
}

import { randomUUID } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import type {
  Callback,
  CallbackAttempt,
  CallbackStore,
  DueCallback,
  OwedCallback,
} from '../core/callback.ts'
import { invalid } from '../core/errors.ts'
import type { Session } from '../core/ports.ts'
import type { Question } from '../core/request.ts'
import type { Receipts } from './receipts.ts'
import { isUuid, REQUEST_COLUMNS, toRequest } from './rows.ts'
import type { Tables } from './schema.ts'
import { clientTurn, takeTurn } from './turns.ts'

/** Who settled enqueues at once; when that is forgotten, the sweep finds the row after this. */
const GRACE_MS = 5_000
/** The newest attempts are kept; who sends again and again fills no disk. */
const KEPT_ATTEMPTS = 50

/** The part of the settling statement that makes callbacks owed. */
export const owing = sql`CASE WHEN next.has_callbacks
  THEN owe_callbacks(next.id, ${sql.lit(GRACE_MS / 1000)}) END`

export async function insertCallback(
  db: Kysely<Tables>,
  requestId: string,
  url: string,
): Promise<void> {
  await db
    .insertInto('callbacks')
    .values({ id: randomUUID(), request_id: requestId, url })
    .execute()
}

/** One for each address of the session, beside the request's own. */
export async function insertSessionCallbacks(
  db: Kysely<Tables>,
  { id, tenant, sessionId }: Question,
  ownUrl: string | undefined,
): Promise<void> {
  await sql`
    INSERT INTO callbacks (id, request_id, url)
    SELECT gen_random_uuid(), ${id}::uuid, url FROM session_callbacks
    WHERE tenant = ${tenant} AND session_id = ${sessionId}
      AND url IS DISTINCT FROM ${ownUrl ?? null}::text`.execute(db)
}

const inMs = (ms: number) =>
  sql<Date>`clock_timestamp() + make_interval(secs => ${ms / 1000}::float8)`

type Next = Parameters<CallbackStore['record']>[2]

export class PgCallbackStore implements CallbackStore {
  readonly #db: Kysely<Tables>

  readonly #receipts: Receipts

  constructor(db: Kysely<Tables>, receipts: Receipts) {
    this.#db = db
    this.#receipts = receipts
  }

  register({ tenant, id, clientId }: Session, url: string, most: number): Promise<string> {
    return this.#db.transaction().execute(async (trx) => {
      // Nothing is asked meanwhile: a question is there, and gets its row here, or comes after the commit.
      await takeTurn(trx, clientTurn(tenant, clientId))
      const registered = await trx
        .selectFrom('session_callbacks')
        .select(['id', 'url'])
        .where('tenant', '=', tenant)
        .where('session_id', '=', id)
        .execute()
      const known = registered.find((callback) => callback.url === url)
      if (known) return known.id
      if (registered.length >= most) {
        throw invalid('/url', `the session has ${most} callbacks already, the most there can be`)
      }
      // Requests before their session, as settling locks them: the other way round they deadlock.
      await callBackPending(trx, { tenant, id, clientId }, url)
      const callback = { id: randomUUID(), tenant, session_id: id, url }
      await trx.insertInto('session_callbacks').values(callback).execute()
      await trx
        .updateTable('sessions')
        .set({ has_callbacks: true })
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .execute()
      return callback.id
    })
  }

  ofRequests(requestIds: readonly string[]): Promise<DueCallback[]> {
    return this.#db
      .selectFrom('callbacks')
      .innerJoin('requests', 'requests.id', 'callbacks.request_id')
      .select(['callbacks.id', 'callbacks.url', 'requests.tenant'])
      .where('callbacks.request_id', '=', sql<string>`ANY(${requestIds}::uuid[])`)
      .where('callbacks.status', '=', 'owed')
      .execute()
  }

  async takeDue(limit: number, leaseMs: number): Promise<DueCallback[]> {
    const { rows } = await sql<DueCallback>`
      WITH due AS MATERIALIZED (
        SELECT id FROM callbacks
        WHERE status = 'owed' AND due_at <= clock_timestamp()
        ORDER BY due_at LIMIT ${limit}
        FOR NO KEY UPDATE SKIP LOCKED
      ), taken AS (
        UPDATE callbacks SET due_at = ${inMs(leaseMs)} FROM due WHERE callbacks.id = due.id
        RETURNING callbacks.id, callbacks.url, callbacks.request_id
      )
      SELECT taken.id, taken.url, requests.tenant
      FROM taken JOIN requests ON requests.id = taken.request_id`.execute(this.#db)
    return rows
  }

  async claim(id: string, leaseMs: number): Promise<OwedCallback | undefined> {
    const row = await this.#db
      .with('claimed', (query) =>
        query
          .updateTable('callbacks')
          .set({ due_at: inMs(leaseMs) })
          .where('id', '=', id)
          .where('status', '=', 'owed')
          .returning(['request_id', 'url', 'failures', sql<Date>`clock_timestamp()`.as('at')]),
      )
      .selectFrom('claimed')
      .innerJoin('requests', 'requests.id', 'claimed.request_id')
      .innerJoin('sessions', (join) =>
        join
          .onRef('sessions.tenant', '=', 'requests.tenant')
          .onRef('sessions.id', '=', 'requests.session_id'),
      )
      .leftJoin('disabled_endpoints', (join) =>
        join
          .onRef('disabled_endpoints.tenant', '=', 'requests.tenant')
          .onRef('disabled_endpoints.session_id', '=', 'requests.session_id')
          .onRef('disabled_endpoints.url', '=', 'claimed.url'),
      )
      .select(REQUEST_COLUMNS)
      .select([
        'claimed.url as callback_url',
        'claimed.failures',
        'claimed.at',
        'sessions.webhook_secret',
        'disabled_endpoints.url as disabled_url',
      ])
      .executeTakeFirst()
    return (
      row && {
        id,
        url: row.callback_url,
        failures: row.failures,
        disabled: row.disabled_url !== null,
        at: row.at,
        request: await this.#receipts.on(toRequest(row), row),
        secret: row.webhook_secret,
      }
    )
  }

  async postpone(id: string, delayMs: number): Promise<void> {
    await this.#db
      .updateTable('callbacks')
      .set({ due_at: inMs(delayMs) })
      .where('id', '=', id)
      .where('status', '=', 'owed')
      .execute()
  }

  record(id: string, attempt: CallbackAttempt | undefined, next: Next): Promise<void> {
    return this.#db.transaction().execute(async (trx) => {
      const { number } = await trx
        .updateTable('callbacks')
        .set({ attempts: sql`attempts + ${attempt ? 1 : 0}` })
        .where('id', '=', id)
        .returning('attempts as number')
        .executeTakeFirstOrThrow()
      if (attempt) await insertAttempt(trx, id, number, attempt)
      await conclude(trx, id, next)
      if (next.status === 'failed' && next.disable) await disable(trx, id)
    })
  }

  async list(requestId: string): Promise<Callback[]> {
    if (!isUuid(requestId)) return []
    const rows = await this.#db
      .selectFrom('callbacks')
      .innerJoin('requests', 'requests.id', 'callbacks.request_id')
      .leftJoin('disabled_endpoints', (join) =>
        join
          .onRef('disabled_endpoints.tenant', '=', 'requests.tenant')
          .onRef('disabled_endpoints.session_id', '=', 'requests.session_id')
          .onRef('disabled_endpoints.url', '=', 'callbacks.url'),
      )
      .select([
        'callbacks.id',
        'callbacks.url',
        'callbacks.status',
        'callbacks.error',
        'callbacks.next_attempt_at',
        'disabled_endpoints.url as disabled_url',
      ])
      .where('callbacks.request_id', '=', requestId)
      .orderBy('callbacks.id')
      .execute()
    return Promise.all(
      rows.map(async (row) => ({
        id: row.id,
        url: row.url,
        status: row.status,
        disabled: row.disabled_url !== null,
        error: row.error,
        nextAttemptAt: row.status === 'owed' ? row.next_attempt_at : null,
        attempts: await this.#attempts(row.id),
      })),
    )
  }

  async resend(requestId: string): Promise<number> {
    const { rows } = await sql<{ id: string }>`
      WITH again AS (
        UPDATE callbacks
        SET status = 'owed', failures = 0, error = NULL, next_attempt_at = clock_timestamp(),
          due_at = ${inMs(GRACE_MS)}
        FROM requests
        WHERE callbacks.request_id = ${requestId} AND requests.id = callbacks.request_id
          AND requests.status <> 'pending'
        RETURNING callbacks.id, callbacks.url, requests.tenant, requests.session_id
      ), enabled AS (
        DELETE FROM disabled_endpoints USING again
        WHERE disabled_endpoints.tenant = again.tenant
          AND disabled_endpoints.session_id = again.session_id
          AND disabled_endpoints.url = again.url
      )
      SELECT id FROM again`.execute(this.#db)
    return rows.length
  }

  async count(): Promise<{ owed: number; failed: number }> {
    const { rows } = await sql<{ owed: number; failed: number }>`
      SELECT (SELECT count(*) FROM callbacks WHERE status = 'owed') AS owed,
        (SELECT count(*) FROM callbacks WHERE status = 'failed') AS failed`.execute(this.#db)
    return rows[0] ?? { owed: 0, failed: 0 }
  }

  async #attempts(id: string): Promise<Callback['attempts']> {
    const rows = await this.#db
      .selectFrom('callback_attempts')
      .select(['number', 'at', 'status_code', 'error', 'duration_ms'])
      .where('callback_id', '=', id)
      .orderBy('number', 'desc')
      .execute()
    return rows.reverse().map((row) => ({
      number: row.number,
      at: row.at,
      statusCode: row.status_code,
      error: row.error,
      durationMs: row.duration_ms,
    }))
  }
}

/** Whoever settles one of them waits for the commit, and makes the callback owed that is there then. */
async function callBackPending(
  db: Kysely<Tables>,
  { tenant, id, clientId }: Pick<Session, 'tenant' | 'id' | 'clientId'>,
  url: string,
): Promise<void> {
  await sql`
    WITH pending AS MATERIALIZED (
      SELECT id FROM requests
      WHERE tenant = ${tenant} AND client_id = ${clientId} AND session_id = ${id}
        AND status = 'pending'
      ORDER BY id FOR NO KEY UPDATE
    ), marked AS (
      UPDATE requests SET has_callbacks = true
      FROM pending WHERE requests.id = pending.id AND NOT requests.has_callbacks
    )
    INSERT INTO callbacks (id, request_id, url)
    SELECT gen_random_uuid(), pending.id, ${url}::text FROM pending
    WHERE NOT EXISTS (
      SELECT FROM callbacks WHERE callbacks.request_id = pending.id AND callbacks.url = ${url}::text
    )`.execute(db)
}

async function insertAttempt(
  db: Kysely<Tables>,
  id: string,
  number: number,
  { at, statusCode, error, durationMs }: CallbackAttempt,
): Promise<void> {
  await db
    .insertInto('callback_attempts')
    .values({
      callback_id: id,
      number,
      at,
      status_code: statusCode,
      error,
      duration_ms: durationMs,
    })
    .execute()
  if (number <= KEPT_ATTEMPTS) return
  await db
    .deleteFrom('callback_attempts')
    .where('callback_id', '=', id)
    .where('number', '<=', number - KEPT_ATTEMPTS)
    .execute()
}

/** What somebody else concluded meanwhile stays, unless this attempt was the one that arrived. */
async function conclude(db: Kysely<Tables>, id: string, next: Next): Promise<void> {
  const change = {
    owed: { failures: sql<number>`failures + 1` },
    delivered: { failures: 0 },
    failed: { failures: sql<number>`failures + 1` },
  }[next.status]
  await db
    .updateTable('callbacks')
    .set({
      ...change,
      status: next.status,
      error: next.status === 'delivered' ? null : next.error,
      due_at: next.status === 'owed' ? inMs(next.delayMs) : sql`'infinity'`,
      next_attempt_at: next.status === 'owed' ? inMs(next.delayMs) : null,
    })
    .where('id', '=', id)
    .$if(next.status !== 'delivered', (query) => query.where('status', '=', 'owed'))
    .execute()
}

async function disable(db: Kysely<Tables>, id: string): Promise<void> {
  await db
    .insertInto('disabled_endpoints')
    .columns(['tenant', 'session_id', 'url'])
    .expression((query) =>
      query
        .selectFrom('callbacks')
        .innerJoin('requests', 'requests.id', 'callbacks.request_id')
        .select(['requests.tenant', 'requests.session_id', 'callbacks.url'])
        .where('callbacks.id', '=', id),
    )
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

import { type Kysely, sql } from 'kysely'
import type {
  Card,
  CardStore,
  CardWork,
  DeliveryStore,
  FoundCard,
  Owed,
  OwedAsk,
  OwedRearm,
} from '../core/card.ts'
import type { Event, EventType } from '../core/event.ts'
import type { Session } from '../core/ports.ts'
import type { Delivery, HitlRequest } from '../core/request.ts'
import { countCardWork, listCardWork } from './card-work.ts'
import {
  isUuid,
  REQUEST_COLUMNS,
  SESSION_COLUMNS,
  toRequest,
  toSession,
  toStoredRequest,
} from './rows.ts'
import type { Tables } from './schema.ts'
import { transition } from './transition.ts'

interface Claim {
  readonly channels: readonly string[]
  readonly leaseMs: number
  readonly limit: number
  readonly requestId?: string | undefined
}

export class PgDeliveryStore implements DeliveryStore, CardStore {
  readonly #db: Kysely<Tables>
  readonly #boot: string

  constructor(db: Kysely<Tables>, boot: string) {
    this.#db = db
    this.#boot = boot
  }

  async claim(claim: Claim): Promise<Owed[]> {
    const asks = await this.#claimAsks(claim)
    const settles = await this.#claimCards(claim)
    // Not directly after a request's commit: nothing about a silence is owed then.
    const rearms = claim.requestId === undefined ? await this.#claimRearms(claim) : []
    const rows = [...asks, ...settles, ...rearms]
    const requests = await this.#requests(rows.map((row) => row.request_id))
    return [
      ...asks.flatMap(({ request_id, channel, attempts }): Owed[] => {
        const request = requests.get(request_id)
        const audience = request?.question.reviewers[channel]
        return request && audience
          ? [{ type: 'ask', channel, audience, request, attempt: attempts }]
          : []
      }),
      ...settles.flatMap(({ request_id, channel, address, message, attempts }): Owed[] => {
        const request = requests.get(request_id)
        const card = { requestId: request_id, channel, address, message }
        return request ? [{ type: 'settle', channel, card, request, attempt: attempts }] : []
      }),
      ...rearms.flatMap(
        ({ request_id, channel, address, message, away_from, away_to, attempts }) => {
          const request = requests.get(request_id)
          const card = { requestId: request_id, channel, address, message }
          const away = { from: away_from, to: away_to }
          const owed = { type: 'rearm', channel, card, away, attempt: attempts } as const
          return request ? [{ ...owed, request }] : []
        },
      ),
    ]
  }

  delivered(card: Card, request: HitlRequest): Promise<Event | undefined> {
    const { requestId, channel } = card
    return this.#db.transaction().execute(async (trx) => {
      // First, because it takes the request's lock.
      const event = await this.#say(trx, request, 'request.delivered', {
        channel,
        status: 'delivered',
      })
      await insertCard(trx, card)
      await conclude(trx, requestId, channel, { status: 'delivered', error: null })
      return event
    })
  }

  undelivered({ request, channel }: OwedAsk, error: string): Promise<Event | undefined> {
    const { id } = request.question
    return this.#db.transaction().execute(async (trx) => {
      // Several may hear of it at once, each in other words: who waited here sees what the first has said.
      await trx.selectFrom('requests').select('id').where('id', '=', id).forNoKeyUpdate().execute()
      const isNews = await conclude(trx, id, channel, { status: 'failed', error })
      const news: Delivery = { channel, status: 'failed', error }
      return isNews ? this.#say(trx, request, 'request.undelivered', news) : undefined
    })
  }

  async closed(card: Card, error?: string): Promise<void> {
    await this.#db
      .updateTable('cards')
      .set({ closed: true, error: error ?? null })
      .where(isCard(card))
      .execute()
  }

  async rearmed({ card, away }: OwedRearm, error?: string): Promise<void> {
    // A silence that came after this one is still to be told.
    await sql`
      UPDATE cards SET due_at = clock_timestamp(), attempts = 0, error = ${error ?? null},
        away_from = CASE WHEN away_to <> ${away.to} THEN away_from END,
        away_to = CASE WHEN away_to <> ${away.to} THEN away_to END
      WHERE ${isCard(card)}`.execute(this.#db)
  }

  retry(owed: Owed, delayMs: number, error: string): Promise<void> {
    return this.#delay(owed, delayMs, { attempts: owed.attempt, error })
  }

  postpone(owed: Owed, delayMs: number): Promise<void> {
    return this.#delay(owed, delayMs, { attempts: owed.attempt - 1 })
  }

  list(requestId: string): Promise<CardWork[]> {
    return listCardWork(this.#db, requestId)
  }

  count(): Promise<{ owed: number; failed: number }> {
    return countCardWork(this.#db)
  }

  async #delay(
    owed: Owed,
    delayMs: number,
    change: { attempts: number; error?: string },
  ): Promise<void> {
    const due_at = sql<Date>`clock_timestamp() + make_interval(secs => ${delayMs / 1000})`
    if (owed.type === 'ask') {
      await this.#db
        .updateTable('deliveries')
        .set({ due_at, ...change })
        .where('request_id', '=', owed.request.question.id)
        .where('channel', '=', owed.channel)
        .execute()
      return
    }
    await this.#db
      .updateTable('cards')
      .set({ due_at, ...change })
      .where(isCard(owed.card))
      .execute()
  }

  async find(card: Card): Promise<FoundCard | undefined> {
    if (!isUuid(card.requestId)) return undefined
    const row = await this.#db
      .selectFrom('requests')
      .innerJoin('sessions', (join) =>
        join
          .onRef('sessions.tenant', '=', 'requests.tenant')
          .onRef('sessions.id', '=', 'requests.session_id'),
      )
      .leftJoin('cards', (join) =>
        join
          .on('cards.channel', '=', card.channel)
          .on('cards.address', '=', card.address)
          .on('cards.message', '=', card.message),
      )
      .select(REQUEST_COLUMNS)
      .select(['sessions.reviewers as reviewers_now', 'cards.request_id as card_of'])
      .where('requests.id', '=', card.requestId)
      .executeTakeFirst()
    if (!row) return undefined
    const belongsTo = row.card_of === card.requestId ? 'this' : 'another'
    return {
      ...toStoredRequest(row),
      reviewers: row.reviewers_now,
      belongsTo: row.card_of === null ? 'unknown' : belongsTo,
    }
  }

  async at(channel: string, address: string, message: string): Promise<string | undefined> {
    const row = await this.#db
      .selectFrom('cards')
      .select('request_id')
      .where(isCard({ channel, address, message }))
      .executeTakeFirst()
    return row?.request_id
  }

  adopt(card: Card): Promise<void> {
    return insertCard(this.#db, card)
  }

  async open(channel: string, address: string, limit: number): Promise<HitlRequest[]> {
    const rows = await this.#db
      .selectFrom('requests')
      .select(REQUEST_COLUMNS)
      .where('status', '=', 'pending')
      .where(sql`reviewers -> ${channel} ->> 'address'`, '=', address)
      .orderBy('created_at')
      .limit(limit)
      .execute()
    return rows.map(toRequest)
  }

  async sessions(channel: string, address: string, limit: number): Promise<Session[]> {
    const rows = await this.#db
      .selectFrom('sessions')
      .select(SESSION_COLUMNS)
      .where(sql`reviewers -> ${channel} ->> 'address'`, '=', address)
      .orderBy('created_at', 'desc')
      .limit(limit)
      .execute()
    return rows.map(toSession)
  }

  /** Writes the event, unless it is settled or was said before. A channel that was off has no entry. */
  async #say(
    trx: Kysely<Tables>,
    request: HitlRequest,
    type: EventType,
    news: Delivery,
  ): Promise<Event | undefined> {
    const entry = JSON.stringify(news)
    const appended = await transition(trx, this.#boot, request, {
      type,
      guard: sql`NOT delivery @> jsonb_build_array(${entry}::jsonb)`,
      changes: {
        delivery: sql`(
        SELECT coalesce(jsonb_agg(
          CASE WHEN entry ->> 'channel' = ${news.channel} THEN ${entry}::jsonb ELSE entry END
          ORDER BY place), '[]')
        FROM jsonb_array_elements(delivery) WITH ORDINALITY AS entries (entry, place))
        || CASE WHEN delivery @> jsonb_build_array(jsonb_build_object('channel', ${news.channel}::text))
          THEN '[]'::jsonb ELSE jsonb_build_array(${entry}::jsonb) END`,
      },
    })
    return appended?.event
  }

  async #claimAsks({ channels, leaseMs, limit, requestId }: Claim) {
    const { rows } = await sql<{ request_id: string; channel: string; attempts: number }>`
      WITH due AS (
        SELECT deliveries.request_id, deliveries.channel
        FROM deliveries JOIN requests ON requests.id = deliveries.request_id
        WHERE deliveries.status = 'queued' AND deliveries.due_at <= clock_timestamp()
          AND deliveries.channel = ANY(${channels}) AND requests.status = 'pending'
          AND requests.expires_at > clock_timestamp()
          AND ${isOf(requestId, 'deliveries')}
        ORDER BY deliveries.due_at LIMIT ${limit}
        FOR UPDATE OF deliveries SKIP LOCKED
      )
      UPDATE deliveries
      SET attempts = attempts + 1,
        due_at = clock_timestamp() + make_interval(secs => ${leaseMs / 1000})
      FROM due
      WHERE deliveries.request_id = due.request_id AND deliveries.channel = due.channel
      RETURNING deliveries.request_id, deliveries.channel, deliveries.attempts`.execute(this.#db)
    return rows
  }

  async #claimCards({ channels, leaseMs, limit, requestId }: Claim) {
    const { rows } = await sql<{
      request_id: string
      channel: string
      address: string
      message: string
      attempts: number
    }>`
      WITH due AS (
        SELECT cards.channel, cards.address, cards.message
        FROM cards JOIN requests ON requests.id = cards.request_id
        WHERE NOT cards.closed AND cards.due_at <= clock_timestamp()
          AND cards.channel = ANY(${channels}) AND requests.status <> 'pending'
          AND ${isOf(requestId, 'cards')}
        ORDER BY cards.due_at LIMIT ${limit}
        FOR UPDATE OF cards SKIP LOCKED
      )
      UPDATE cards
      SET attempts = attempts + 1,
        due_at = clock_timestamp() + make_interval(secs => ${leaseMs / 1000})
      FROM due
      WHERE cards.channel = due.channel AND cards.address = due.address
        AND cards.message = due.message
      RETURNING cards.request_id, cards.channel, cards.address, cards.message, cards.attempts`.execute(
      this.#db,
    )
    return rows
  }

  async #claimRearms({ channels, leaseMs, limit }: Claim) {
    const { rows } = await sql<{
      request_id: string
      channel: string
      address: string
      message: string
      away_from: Date
      away_to: Date
      attempts: number
    }>`
      WITH due AS (
        SELECT cards.channel, cards.address, cards.message
        FROM cards JOIN requests ON requests.id = cards.request_id
        WHERE cards.away_to IS NOT NULL AND NOT cards.closed
          AND cards.due_at <= clock_timestamp()
          AND cards.channel = ANY(${channels}) AND requests.status = 'pending'
        ORDER BY cards.due_at LIMIT ${limit}
        FOR UPDATE OF cards SKIP LOCKED
      )
      UPDATE cards
      SET attempts = attempts + 1,
        due_at = clock_timestamp() + make_interval(secs => ${leaseMs / 1000})
      FROM due
      WHERE cards.channel = due.channel AND cards.address = due.address
        AND cards.message = due.message
      RETURNING cards.request_id, cards.channel, cards.address, cards.message, cards.away_from,
        cards.away_to, cards.attempts`.execute(this.#db)
    return rows
  }

  async #requests(ids: readonly string[]): Promise<Map<string, HitlRequest>> {
    if (ids.length === 0) return new Map()
    const rows = await this.#db
      .selectFrom('requests')
      .select(REQUEST_COLUMNS)
      .where('id', 'in', ids)
      .execute()
    return new Map(rows.map((row) => [row.id, toRequest(row)]))
  }
}

const isCard = ({ channel, address, message }: Omit<Card, 'requestId'>) => sql<boolean>`
  cards.channel = ${channel} AND cards.address = ${address} AND cards.message = ${message}`

/** A statement of its own for one request: one plan for both would read all that is open. */
const isOf = (requestId: string | undefined, table: 'deliveries' | 'cards') =>
  requestId === undefined ? sql`true` : sql`${sql.ref(`${table}.request_id`)} = ${requestId}`

async function insertCard(
  db: Kysely<Tables>,
  { channel, address, message, requestId, shown }: Card,
): Promise<void> {
  await db
    .insertInto('cards')
    .values({ channel, address, message, request_id: requestId, shown: shown ?? null })
    .onConflict((conflict) => conflict.columns(['channel', 'address', 'message']).doNothing())
    .execute()
}

/** False when it stands there already. */
async function conclude(
  db: Kysely<Tables>,
  requestId: string,
  channel: string,
  change: { status: Delivery['status']; error: string | null },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('deliveries')
    .set(change)
    .where('request_id', '=', requestId)
    .where('channel', '=', channel)
    .where('status', '<>', change.status)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

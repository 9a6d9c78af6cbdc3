import { type Kysely, sql, type Transaction } from 'kysely'
import type { AddressStore, DeliveryStore } from '../core/card.ts'
import type { Event } from '../core/event.ts'
import type { Reviewers } from '../core/request.ts'
import { REQUEST_COLUMNS, toRequest } from './rows.ts'
import type { Tables } from './schema.ts'

/** More than this many at once wait for their own failure. */
const MAX_FAILED = 1_000

export class PgAddressStore implements AddressStore {
  readonly #db: Kysely<Tables>
  readonly #deliveries: DeliveryStore

  constructor(db: Kysely<Tables>, deliveries: DeliveryStore) {
    this.#db = db
    this.#deliveries = deliveries
  }

  async unreachable(channel: string, address: string, error: string): Promise<Event[]> {
    const rows = await this.#db
      .selectFrom('requests')
      .innerJoin('deliveries', 'deliveries.request_id', 'requests.id')
      .select(REQUEST_COLUMNS)
      .where('deliveries.channel', '=', channel)
      .where('deliveries.status', 'in', ['queued', 'delivered'])
      .where('requests.status', '=', 'pending')
      .where(isAt('requests.reviewers', channel, address))
      .limit(MAX_FAILED)
      .execute()
    const events: Event[] = []
    for (const request of rows.map(toRequest)) {
      const audience = request.question.reviewers[channel] ?? { address, approvers: [] }
      const owed = { type: 'ask', channel, audience, request, attempt: 1 } as const
      const event = await this.#deliveries.undelivered(owed, error)
      if (event) events.push(event)
    }
    return events
  }

  async reachable(channel: string, address: string): Promise<boolean> {
    const rows = await this.#db
      .updateTable('deliveries')
      .from('requests')
      .set(owedAnew)
      .whereRef('requests.id', '=', 'deliveries.request_id')
      .where('deliveries.channel', '=', channel)
      .where('deliveries.status', '=', 'failed')
      .where('requests.status', '=', 'pending')
      .where(isAt('requests.reviewers', channel, address))
      .returning('deliveries.request_id')
      .execute()
    return rows.length > 0
  }

  async move(channel: string, from: string, to: string): Promise<void> {
    if (from === to) return
    await this.#db.transaction().execute(async (trx) => {
      await remember(trx, channel, from, to)
      // Requests before their sessions, as settling locks them: the other way round they deadlock.
      await moveRequests(trx, channel, from, to)
      await trx
        .selectFrom('sessions')
        .select('id')
        .where(isAt('reviewers', channel, from))
        .orderBy('tenant')
        .orderBy('id')
        .forUpdate()
        .execute()
      await trx
        .updateTable('sessions')
        .set({ reviewers: readdressed(channel, to) })
        .where(isAt('reviewers', channel, from))
        .execute()
    })
  }

  async current(reviewers: Reviewers): Promise<Reviewers> {
    const moved = { ...reviewers }
    for (const [channel, audience] of Object.entries(reviewers)) {
      if (audience.address === null) continue
      const row = await this.#db
        .selectFrom('moved_addresses')
        .select('moved_to')
        .where('channel', '=', channel)
        .where('address', '=', audience.address)
        .executeTakeFirst()
      if (row) moved[channel] = { ...audience, address: row.moved_to }
    }
    return moved
  }
}

/** One step from everywhere to where it is now, however often it moved. */
async function remember(trx: Transaction<Tables>, channel: string, from: string, to: string) {
  await trx
    .insertInto('moved_addresses')
    .values({ channel, address: from, moved_to: to })
    .onConflict((conflict) =>
      conflict.columns(['channel', 'address']).doUpdateSet({ moved_to: to }),
    )
    .execute()
  await trx
    .updateTable('moved_addresses')
    .set({ moved_to: to })
    .where('channel', '=', channel)
    .where('moved_to', '=', from)
    .execute()
  await trx
    .deleteFrom('moved_addresses')
    .where('channel', '=', channel)
    .where('address', '=', to)
    .execute()
}

/** What is open there is asked anew: its cards stayed behind, and can not be changed any more. */
async function moveRequests(trx: Transaction<Tables>, channel: string, from: string, to: string) {
  const requests = await trx
    .selectFrom('requests')
    .select('id')
    .where('status', '=', 'pending')
    .where(isAt('reviewers', channel, from))
    .orderBy('id')
    .forUpdate()
    .execute()
  await trx
    .updateTable('cards')
    .set({ closed: true })
    .where('channel', '=', channel)
    .where('address', '=', from)
    .execute()
  if (requests.length === 0) return
  const ids = requests.map(({ id }) => id)
  await trx
    .updateTable('requests')
    .set({ reviewers: readdressed(channel, to) })
    .where('id', 'in', ids)
    .execute()
  await trx
    .updateTable('deliveries')
    .set(owedAnew)
    .where('channel', '=', channel)
    .where('request_id', 'in', ids)
    .execute()
}

/** What the agent was told last holds until there is an event that says otherwise. */
const owedAnew = {
  status: 'queued',
  error: null,
  attempts: 0,
  due_at: sql<Date>`clock_timestamp()`,
} as const

const isAt = (reviewers: string, channel: string, address: string) =>
  sql<boolean>`${sql.ref(reviewers)} -> ${channel} ->> 'address' = ${address}`

const readdressed = (channel: string, to: string) =>
  sql<string>`jsonb_set(reviewers, ARRAY[${channel}, 'address'], to_jsonb(${to}::text))`

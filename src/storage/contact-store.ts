import { type Kysely, sql } from 'kysely'
import type { Away, ContactStore } from '../core/card.ts'
import type { Tables } from './schema.ts'

export class PgContactStore implements ContactStore {
  readonly #db: Kysely<Tables>

  constructor(db: Kysely<Tables>) {
    this.#db = db
  }

  async touch(channel: string, name: string, maxSilenceMs: number): Promise<Away | undefined> {
    // Nearly always it is this one statement.
    const touched = await this.#db
      .updateTable('contacts')
      .set({ at: sql<Date>`clock_timestamp()` })
      .where('name', '=', name)
      .where(
        'at',
        '>=',
        sql<Date>`clock_timestamp() - make_interval(secs => ${maxSilenceMs / 1000})`,
      )
      .executeTakeFirst()
    return touched.numUpdatedRows > 0n ? undefined : this.#afterSilence(channel, name, maxSilenceMs)
  }

  #afterSilence(channel: string, name: string, maxSilenceMs: number): Promise<Away | undefined> {
    return this.#db.transaction().execute(async (trx) => {
      await trx
        .insertInto('contacts')
        .values({ name, at: sql<Date>`clock_timestamp()` })
        .onConflict((conflict) => conflict.column('name').doNothing())
        .execute()
      const { from, to } = await trx
        .selectFrom('contacts')
        .select(['at as from', sql<Date>`clock_timestamp()::timestamptz(3)`.as('to')])
        .where('name', '=', name)
        .forUpdate()
        .executeTakeFirstOrThrow()
      await trx.updateTable('contacts').set({ at: to }).where('name', '=', name).execute()
      if (to.getTime() - from.getTime() <= maxSilenceMs) return undefined
      await sql`
        UPDATE cards SET away_from = ${from}, away_to = ${to}, attempts = 0,
          due_at = greatest(cards.due_at, clock_timestamp())
        FROM requests
        WHERE requests.id = cards.request_id AND requests.status = 'pending'
          AND json_array_length(requests.options) > 0
          AND cards.channel = ${channel} AND NOT cards.closed`.execute(trx)
      return { from, to }
    })
  }
}

import { type Kysely, sql } from 'kysely'
import type { Rate, RateStore } from '../core/card.ts'
import type { Tables } from './schema.ts'

/** The generic cell rate algorithm in a row for each key, by the clock of the database. */
export class PgRateStore implements RateStore {
  readonly #db: Kysely<Tables>

  constructor(db: Kysely<Tables>) {
    this.#db = db
  }

  async take(key: string, { burst, everyMs }: Rate, count: number): Promise<number> {
    const cost = sql`make_interval(secs => ${(count * everyMs) / 1_000})`
    const ahead = sql`make_interval(secs => ${(Math.max(burst - count, 0) * everyMs) / 1_000})`
    const taken = await sql`
      INSERT INTO rates (key, at) VALUES (${key}, clock_timestamp() + ${cost})
      ON CONFLICT (key) DO UPDATE SET at = greatest(rates.at, clock_timestamp()) + ${cost}
        WHERE rates.at <= clock_timestamp() + ${ahead}
      RETURNING key`.execute(this.#db)
    if (taken.rows.length > 0) return 0
    const { rows } = await sql<{ ms: number }>`
      SELECT extract(epoch FROM at - ${ahead} - clock_timestamp())::float8 * 1000 AS ms
      FROM rates WHERE key = ${key}`.execute(this.#db)
    return Math.max(rows[0]?.ms ?? 0, 1)
  }

  async hold(key: string, { burst, everyMs }: Rate, ms: number): Promise<void> {
    const until = sql`clock_timestamp() + make_interval(secs => ${(ms + burst * everyMs) / 1_000})`
    await sql`
      INSERT INTO rates (key, at) VALUES (${key}, ${until})
      ON CONFLICT (key) DO UPDATE SET at = greatest(rates.at, ${until})`.execute(this.#db)
  }
}

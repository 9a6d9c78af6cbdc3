import { randomUUID } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import type { NewUser, User, UserStore } from '../core/account.ts'
import { LoopgateError } from '../core/errors.ts'
import { isUuid } from './rows.ts'
import type { Tables } from './schema.ts'

export class PgUserStore implements UserStore {
  readonly #db: Kysely<Tables>

  constructor(db: Kysely<Tables>) {
    this.#db = db
  }

  create(user: NewUser, onlyFirst: boolean): Promise<User> {
    return this.#db.transaction().execute(async (trx) => {
      // Those who would be the first wait for each other, so that the second one sees the first.
      await sql`SELECT pg_advisory_xact_lock(hashtextextended('loopgate:users', 0))`.execute(trx)
      if (onlyFirst && (await hasAny(trx))) {
        throw new LoopgateError('FORBIDDEN', 'registration is closed: there is a user already')
      }
      const created = await trx
        .insertInto('users')
        .values({
          id: randomUUID(),
          username: user.username,
          username_key: user.usernameKey,
          password_hash: user.passwordHash,
        })
        .onConflict((conflict) => conflict.column('username_key').doNothing())
        .returning(['id', 'username'])
        .executeTakeFirst()
      if (!created) throw new LoopgateError('USERNAME_TAKEN')
      return created
    })
  }

  async findByName(usernameKey: string) {
    const row = await this.#db
      .selectFrom('users')
      .select(['id', 'username', 'password_hash'])
      .where('username_key', '=', usernameKey)
      .executeTakeFirst()
    return row && { id: row.id, username: row.username, passwordHash: row.password_hash }
  }

  async has(id: string): Promise<boolean> {
    if (!isUuid(id)) return false
    const row = await this.#db
      .selectFrom('users')
      .select('id')
      .where('id', '=', id)
      .executeTakeFirst()
    return row !== undefined
  }

  hasAny(): Promise<boolean> {
    return hasAny(this.#db)
  }
}

async function hasAny(db: Kysely<Tables>): Promise<boolean> {
  return (await db.selectFrom('users').select('id').limit(1).executeTakeFirst()) !== undefined
}

import type { PGlite } from '@electric-sql/pglite'
import { createPgConfig } from '@electric-sql/pglite/node-postgres'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { type Database, executeSql } from '../../src/storage/database.ts'
import { prepareStatements } from '../../src/storage/prepared.ts'
import type { Tables } from '../../src/storage/schema.ts'

const INT8 = 20

/** PGlite behind a pool, as src/storage/database.ts opens it. */
export function overPglite(pglite: PGlite): Database {
  const pool = new pg.Pool({
    ...createPgConfig(pglite),
    max: 1,
    idleTimeoutMillis: 0,
    types: {
      getTypeParser: (oid: number, format?: 'text' | 'binary') =>
        oid === INT8 ? Number : pg.types.getTypeParser(oid, format as 'text'),
    },
  })
  prepareStatements(pool)
  return {
    db: new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) }),
    description: 'embedded PostgreSQL of a test',
    executeSql: (text, values) => executeSql(pool, text, values),
    async close() {
      await pool.end()
      await pglite.close()
    },
  }
}

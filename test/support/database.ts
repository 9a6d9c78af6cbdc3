import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { PGlite } from '@electric-sql/pglite'
import { type Kysely, sql } from 'kysely'
import pg from 'pg'
import { inject } from 'vitest'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import type { Tables } from '../../src/storage/schema.ts'
import { overPglite } from './database-pglite.ts'

export type DatabaseKind = 'pglite' | 'postgres'

/** A migrated, empty database of its own. Disposing it closes it and leaves nothing behind. */
export interface TestDatabase extends AsyncDisposable {
  readonly kind: DatabaseKind
  readonly database: Database
  /** Of a PostgreSQL database, for a process that is to open it as well. */
  readonly url?: string
}

export function openTestDatabase(kind: DatabaseKind): Promise<TestDatabase> {
  return kind === 'pglite' ? openPglite() : openPostgres()
}

async function openPostgres(): Promise<TestDatabase> {
  operator ??= connectOperator()
  const { server, template, client } = await operator
  const name = `${template}_${randomBytes(6).toString('hex')}`
  await client.query(`CREATE DATABASE ${name} TEMPLATE ${template}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  const database = await openDatabase({ type: 'postgres', url: url.href })
  return {
    kind: 'postgres',
    database,
    url: url.href,
    async [Symbol.asyncDispose]() {
      await database.close()
      await client.query(`DROP DATABASE ${name} WITH (FORCE)`)
    },
  }
}

/** One connection for a worker, which makes and drops databases. */
let operator: ReturnType<typeof connectOperator> | undefined

async function connectOperator() {
  const response = await fetch(inject('postgres'))
  if (!response.ok) throw new Error(`there is no PostgreSQL: ${await response.text()}`)
  const { url, template } = (await response.json()) as { url: string; template: string }
  const client = new pg.Pool({ connectionString: url, max: 1, idleTimeoutMillis: 0 })
  // Ends with the worker, or with the server.
  client.on('error', () => undefined)
  return { server: url, template, client }
}

/** Loading one takes a third of a second, so that a worker empties it and uses it again. */
const unused: Database[] = []

async function openPglite(): Promise<TestDatabase> {
  const database = unused.pop() ?? (await loadPglite())
  return {
    kind: 'pglite',
    database: { ...database, close: async () => undefined },
    async [Symbol.asyncDispose]() {
      await empty(database.db)
      unused.push(database)
    },
  }
}

async function loadPglite(): Promise<Database> {
  return overPglite(await PGlite.create({ dataDir: 'memory://', loadDataDir: pgliteContents() }))
}

/** Of a migrated database. */
export const pgliteContents = (): Blob =>
  new Blob([new Uint8Array(readFileSync(inject('pgliteDump')))])

/** Also what a test added is gone, such as a trigger. */
async function empty(db: Kysely<Tables>): Promise<void> {
  const { rows } = await sql<{ tablename: string }>`
    SELECT tablename FROM pg_tables
    WHERE schemaname = 'public' AND tablename NOT LIKE 'kysely_%'`.execute(db)
  const names = rows.map(({ tablename }) => sql.table(tablename))
  await sql`TRUNCATE ${sql.join(names)}`.execute(db)
  await sql`DROP SCHEMA IF EXISTS loopgate_jobs CASCADE`.execute(db)
  const triggers = await sql<{ tgname: string; relname: string }>`
    SELECT tgname, relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
    WHERE NOT tgisinternal`.execute(db)
  for (const { tgname, relname } of triggers.rows) {
    await sql`DROP TRIGGER ${sql.ref(tgname)} ON ${sql.table(relname)}`.execute(db)
  }
}

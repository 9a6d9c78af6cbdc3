import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { openTestDatabase, type TestDatabase } from '../support/database.ts'
import { Command } from '../support/process.ts'
import { openDataDirectory } from '../support/readers/data-directory.ts'
import { Wire } from '../support/readers/wire.ts'

/** What a machine, its supervisor and its operator do to the process. */

const LISTENING = /listening on (http:\S+)/

const start = (env: Record<string, string>) =>
  new Command('node', ['src/main.ts'], { SERVER_PORT: '0', ...env })

const onDatabase = ({ url = '' }: TestDatabase, env: Record<string, string> = {}) =>
  start({ DATABASE_URL: url, ...env })

const post = async (address: string, path: string, body: object) => {
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(address + path, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  })
  return { status: answer.status, body: (await answer.json()) as { request_id: string } }
}

const LOADED = { MAX_CONCURRENT_REQUESTS: '100000', SHUTDOWN_GRACE: '1' }

/** What is open, as far as a test reads it. */
interface Pending {
  readonly count: number
  readonly pending_requests: readonly { readonly request_id: string }[]
}

const pendingAt = async (address: string) =>
  (await (await fetch(`${address}/hitl/pending`)).json()) as Pending

/** A server that stops says so, or is not there for anybody new. */
const isReady = (address: string): Promise<boolean> =>
  fetch(`${address}/readyz`).then(
    ({ ok }) => ok,
    () => false,
  )

const names = { session_id: 's', client_id: 'c' }

/** Asks again and again, until the server is gone. Resolves with what was acknowledged. */
async function load(address: string): Promise<string[]> {
  const acknowledged: string[] = []
  await post(address, '/hitl/register', names)
  const work = async () => {
    for (;;) {
      const { status, body } = await post(address, '/hitl/request', { ...names, message: 'Go?' })
      if (status === 200) acknowledged.push(body.request_id)
    }
  }
  // A connection that is refused is how the end shows.
  await Promise.allSettled(Array.from({ length: 4 }, work))
  return acknowledged
}

const storedIn = async ({ database }: TestDatabase): Promise<Set<string>> => {
  const rows = await database.db.selectFrom('requests').select('id').execute()
  return new Set(rows.map(({ id }) => id))
}

describe('A72:', () => {
  test.for([
    ['SIGTERM', 'SIGTERM'],
    ['SIGINT', 'SIGINT'],
    ['SIGTERM', 'SIGINT'],
  ] as const)(
    '%s and then %s under load: it drains once, exits 0, and keeps what it said',
    async (signals) => {
      await using database = await openTestDatabase('postgres')
      await using server = onDatabase(database, LOADED)
      const [, address = ''] = await server.said(LISTENING)
      const loaded = load(address)
      await expect.poll(async () => (await storedIn(database)).size).toBeGreaterThan(20)
      // A body that never comes holds up the stop until the grace is over.
      using slow = await Wire.open(address)
      const head = { 'Content-Type': 'application/json', 'Content-Length': '9' }
      slow.request('POST', '/hitl/request', head)
      const [first, second] = signals
      server.signal(first)
      await expect.poll(() => isReady(address)).toBe(false)
      server.signal(second)
      const { code, stderr } = await server.exit()
      expect({ code, complaints: stderr.match(/"level":[56]0/g) }).toEqual({
        code: 0,
        complaints: null,
      })
      const stored = await storedIn(database)
      expect((await loaded).filter((id) => !stored.has(id))).toEqual([])
    },
  )

  test('Ctrl-C in a terminal, which goes to npm and to the server, is one stop', async () => {
    await using database = await openTestDatabase('postgres')
    const env = { ...process.env, SERVER_PORT: '0', DATABASE_URL: database.url ?? '' }
    const npm = spawn('npm', ['start', '--silent'], { env, detached: true, stdio: 'pipe' })
    const exited = once(npm, 'close')
    let said = ''
    npm.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    await expect.poll(() => said, { timeout: 20_000 }).toMatch(LISTENING)
    process.kill(-(npm.pid ?? 0), 'SIGINT')
    expect(await exited).toEqual([0, null])
  }, 40_000)

  test('SIGHUP, as when a terminal is closed, loses nothing that was acknowledged', async () => {
    using data = await openDataDirectory()
    const env = { ...LOADED, LOOPGATE_DATA_DIR: data.path }
    await using first = start(env)
    const [, before = ''] = await first.said(LISTENING)
    const loaded = load(before)
    await expect.poll(async () => (await pendingAt(before)).count).toBeGreaterThan(5)
    first.signal('SIGHUP')
    await first.exit()
    const acknowledged = await loaded
    await using second = start(env)
    const [, after = ''] = await second.said(LISTENING)
    const { pending_requests } = await pendingAt(after)
    const kept = new Set(pending_requests.map(({ request_id }) => request_id))
    expect(acknowledged.filter((id) => !kept.has(id))).toEqual([])
  }, 40_000)

  test('a port that somebody has is named, with what to do, and it exits 1', async () => {
    await using database = await openTestDatabase('postgres')
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    await using server = onDatabase(database, { SERVER_PORT: String(port) })
    const { code, stderr } = await server.exit()
    other.close()
    expect(code).toBe(1)
    expect(stderr).toMatch(/EADDRINUSE.*\nStop what listens there/)
    expect(stderr).not.toMatch(/^ +at /m)
  })

  test('a PostgreSQL that is not there is named without its password, and it exits 1', async () => {
    await using server = start({
      DATABASE_URL: 'postgres://ann:hunter2secret@127.0.0.1:1/loopgate',
    })
    const { code, stdout, stderr } = await server.exit()
    expect(code).toBe(1)
    expect(stderr).toMatch(/^The database can not be used: .*\nSee DATABASE_URL/m)
    expect(stdout + stderr).not.toContain('hunter2secret')
  })

  test('a database of a later version is left as it is, and it exits 1', async () => {
    await using database = await openTestDatabase('postgres')
    const { db } = database.database
    await sql`INSERT INTO kysely_migration VALUES ('9999-from-the-future', '2099-01-01')`.execute(
      db,
    )
    await using server = onDatabase(database)
    const { code, stdout, stderr } = await server.exit()
    expect(code).toBe(1)
    expect(stdout).not.toMatch(LISTENING)
    expect(stderr).toContain('9999-from-the-future')
  })

  test('a second server on one data directory exits 2, and the first goes on', async () => {
    using data = await openDataDirectory()
    await using first = start({ LOOPGATE_DATA_DIR: data.path })
    const [, address = ''] = await first.said(LISTENING)
    await post(address, '/hitl/register', names)
    await using second = start({ LOOPGATE_DATA_DIR: data.path })
    const { code, stderr } = await second.exit()
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringMatching(/in use by another/),
    })
    expect((await post(address, '/hitl/request', { ...names, message: 'Go?' })).status).toBe(200)
  }, 30_000)
})

import { sql } from 'kysely'
import pg from 'pg'
import { expect, test, vi } from 'vitest'
import { createStores } from '../../src/storage/stores.ts'
import { approval, aSession, aSubmission, TENANT } from '../support/builders.ts'
import { openTestDatabase, type TestDatabase } from '../support/database.ts'

/** A connection of the test's own, beside those of the server. */
async function connect({ url = '' }: TestDatabase) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return {
    query: (text: string) => client.query(text),
    [Symbol.asyncDispose]: () => client.end(),
  }
}

/** What would end the process, were it not a test's. */
function watchForCrashes(): Disposable & { readonly errors: unknown[] } {
  const errors: unknown[] = []
  const listen = (error: unknown) => errors.push(error)
  process.on('uncaughtException', listen)
  return { errors, [Symbol.dispose]: () => process.off('uncaughtException', listen) }
}

const times = <Result>(count: number, make: () => Result): Result[] =>
  Array.from({ length: count }, make)

test('a command whose connection breaks is UNAVAILABLE, may be repeated, and harms nothing else', async () => {
  using crashes = watchForCrashes()
  await using at = await openTestDatabase('postgres')
  const stores = createStores(at.database.db)
  await stores.sessions.ensure(aSession())
  const { request } = await stores.requests.submit(TENANT, aSubmission(), 10, () => [])
  await using operator = await connect(at)
  await operator.query('BEGIN; SELECT 1 FROM requests FOR UPDATE')
  const settle = () => stores.requests.settle(request, approval(), 'person:console:ann')
  const cut = expect(settle()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  await vi.waitFor(async () => {
    const { rowCount } = await operator.query(`SELECT pg_terminate_backend(pid)
      FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
    expect(rowCount).toBe(1)
  })
  await cut
  await operator.query('ROLLBACK')
  // The pool may give out the broken connection once more before it knows.
  const event = await vi.waitFor(settle)
  expect(event).toMatchObject({ type: 'request.decided', cursor: { seq: 2 } })
  await Promise.all(times(20, () => stores.ping()))
  expect(crashes.errors).toEqual([])
})

test('a transaction whose connection breaks is UNAVAILABLE, and does not end the process', async () => {
  using crashes = watchForCrashes()
  await using at = await openTestDatabase('postgres')
  const stores = createStores(at.database.db)
  await stores.sessions.ensure(aSession())
  await using operator = await connect(at)
  await operator.query('BEGIN; SELECT 1 FROM sessions FOR UPDATE')
  const submit = () => stores.requests.submit(TENANT, aSubmission(), 10, () => [])
  const cut = expect(submit()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  await vi.waitFor(async () => {
    const { rowCount } = await operator.query(`SELECT pg_terminate_backend(pid)
      FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
    expect(rowCount).toBe(1)
  })
  await cut
  await operator.query('ROLLBACK')
  const { request } = await vi.waitFor(submit)
  expect(request.cursor.seq).toBe(1)
  expect(crashes.errors).toEqual([])
})

test('connections that break while nobody uses them harm nothing', async () => {
  await using at = await openTestDatabase('postgres')
  const stores = createStores(at.database.db)
  await Promise.all(times(8, () => stores.ping()))
  await using operator = await connect(at)
  await operator.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()`)
  await vi.waitFor(() => stores.ping())
  await Promise.all(times(20, () => stores.ping()))
})

test('a database that is read-only after a failover is UNAVAILABLE to who writes, and can be read', async () => {
  await using at = await openTestDatabase('postgres')
  const stores = createStores(at.database.db)
  const session = await stores.sessions.ensure(aSession())
  await sql`SET default_transaction_read_only = on`.execute(at.database.db)
  const submitting = stores.requests.submit(TENANT, aSubmission(), 10, () => [])
  await expect(submitting).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  expect(await stores.sessions.find(TENANT, session.id)).toEqual(session)
})

import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { Log } from '../../src/core/ports.ts'
import type { Database } from '../../src/storage/database.ts'
import { PgJobs } from '../../src/storage/jobs.ts'
import { type DatabaseKind, openTestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'

const KINDS: readonly DatabaseKind[] = ['pglite', 'postgres']

const silent: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/** A queue for the test, and as many processes on it as it wants. */
async function openQueue(kind: DatabaseKind) {
  const opened = new AsyncDisposableStack()
  const { database } = opened.use(await openTestDatabase(kind))
  return {
    database,
    process(over: Partial<Database> = {}) {
      const jobs = new PgJobs({ ...database, ...over }, 'work', silent)
      opened.defer(() => jobs.stop())
      return jobs
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  }
}

describe.each(KINDS)('the job queue on %s', (kind) => {
  test('gives a job to one who asks, the oldest first', async () => {
    await using queue = await openQueue(kind)
    const jobs = queue.process()
    await jobs.enqueue([{ key: 'a', group: 'g' }])
    await jobs.enqueue([{ key: 'b', group: 'g' }])
    expect(await jobs.take([])).toMatchObject({ key: 'a', group: 'g' })
    expect(await jobs.take([])).toMatchObject({ key: 'b' })
    expect(await jobs.take([])).toBeUndefined()
  })

  test('remembers a key once while it waits, and again while it is worked on', async () => {
    await using queue = await openQueue(kind)
    const jobs = queue.process()
    await jobs.enqueue([{ key: 'a', group: 'g' }])
    await jobs.enqueue([
      { key: 'a', group: 'g' },
      { key: 'b', group: 'g' },
    ])
    const first = await jobs.take([])
    expect(await jobs.take([])).toMatchObject({ key: 'b' })
    expect(await jobs.take([])).toBeUndefined()
    await jobs.enqueue([{ key: 'a', group: 'g' }])
    expect(await jobs.take([])).toMatchObject({ key: 'a' })
    await jobs.done(first?.id ?? '')
    expect(await jobs.take([])).toBeUndefined()
  })

  test('passes over the groups that have enough', async () => {
    await using queue = await openQueue(kind)
    const jobs = queue.process()
    await jobs.enqueue(['a', 'b', 'c'].map((key) => ({ key, group: key === 'c' ? 'h' : 'g' })))
    expect(await jobs.take(['g'])).toMatchObject({ key: 'c' })
    expect(await jobs.take(['g'])).toBeUndefined()
    expect(await jobs.take(['h'])).toMatchObject({ key: 'a' })
  })

  test('is made by whoever is first, of processes that start together', async () => {
    await using queue = await openQueue(kind)
    const processes = [queue.process(), queue.process(), queue.process()]
    await Promise.all(processes.map((jobs, i) => jobs.enqueue([{ key: `${i}`, group: 'g' }])))
    const keys = await Promise.all(processes.map((jobs) => jobs.take([])))
    expect(keys.map((job) => job?.key).sort()).toEqual(['0', '1', '2'])
  })

  test('costs nothing until it is used', async () => {
    await using queue = await openQueue(kind)
    await queue.process().stop()
    const { rows } = await sql`
      SELECT 1 FROM pg_namespace WHERE nspname = 'loopgate_jobs'`.execute(queue.database.db)
    expect(rows).toEqual([])
  })

  test('that could not start starts later', async () => {
    await using queue = await openQueue(kind)
    let isAway = true
    const jobs = queue.process({
      executeSql: async (text, values) => {
        if (isAway) throw new Error('the database is away')
        return queue.database.executeSql(text, values)
      },
    })
    await expect(jobs.enqueue([{ key: 'a', group: 'g' }])).rejects.toThrow('away')
    isAway = false
    await jobs.enqueue([{ key: 'a', group: 'g' }])
    expect(await jobs.take([])).toMatchObject({ key: 'a' })
  })

  test('that is stopped takes nothing more', async () => {
    await using queue = await openQueue(kind)
    const jobs = queue.process()
    await jobs.enqueue([{ key: 'a', group: 'g' }])
    await jobs.stop()
    await expect(jobs.take([])).rejects.toThrow('stopped')
    expect(await queue.process().take([])).toMatchObject({ key: 'a' })
  })

  test('leaves no transaction open behind a text that failed', async () => {
    await using queue = await openQueue(kind)
    const { executeSql } = queue.database
    await expect(executeSql('BEGIN; SELECT 1; SELECT 1/0; COMMIT')).rejects.toThrow('zero')
    expect(await executeSql('SELECT $1::int AS one', [1])).toMatchObject({ rows: [{ one: 1 }] })
  })
})

test('the job queue goes on after a connection of its database was cut', async () => {
  await using queue = await openQueue('postgres')
  const jobs = queue.process()
  await jobs.enqueue([{ key: 'a', group: 'g' }])
  const { executeSql } = queue.database
  const cut = expect(executeSql('SELECT pg_sleep(30)')).rejects.toThrow('terminat')
  await eventually(() =>
    executeSql(`SELECT pg_terminate_backend(pid) AS cut FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
          AND query = 'SELECT pg_sleep(30)'`).then(({ rows }) => rows),
  ).toEqual([{ cut: true }])
  await cut
  expect(await jobs.take([])).toMatchObject({ key: 'a' })
})

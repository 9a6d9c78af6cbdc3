import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import type { Envelope } from '../../../src/protocol/types.ts'
import { openTestDatabase } from '../../support/database.ts'
import { openDataDirectory } from '../../support/readers/data-directory.ts'
import { READERS } from '../../support/readers/index.ts'
import { Line } from '../../support/readers/line.ts'
import { startOn } from '../../support/readers/server.ts'

/** Runs a server on the directory, and stops it. */
async function during<Value>(
  path: string,
  act: (url: string, line: (id?: string) => Promise<Line>) => Promise<Value>,
): Promise<Value> {
  await using app = await startOn({ LOOPGATE_DATA_DIR: path })
  return await act(app.url, () => Line.open(app, { session_id: 'restored' }))
}

test('after a backup is restored, a cursor from before is told on every transport', async () => {
  using data = await openDataDirectory()
  const backup = mkdtempSync(join(tmpdir(), 'loopgate-backup-'))
  try {
    const kept = await during(data.path, async (_, line) => (await line()).settled())
    cpSync(data.path, backup, { recursive: true })
    // What happens now is undone by restoring the backup, and then other things happen.
    const undone = await during(data.path, async (_, line) => (await line()).settled())
    await during(backup, async (url, line) => {
      const restored = await line()
      expect(seq((await restored.settled()).cursor)).toBe(seq(undone.cursor))
      // New events have passed its number.
      const again = await restored.settled()
      const log = await restored.log()
      for (const [name, connect] of Object.entries(READERS)) {
        await using reader = await connect(url, { target: restored.target, since: undone.cursor })
        expect({ name, recovered: reader.place?.recovered }).toEqual({ name, recovered: false })
        expect(await reader.upTo(again.cursor)).toEqual(log)
        await using sound = await connect(url, { target: restored.target, since: kept.cursor })
        expect(sound.place).toEqual({ cursor: kept.cursor, recovered: true })
        expect(idsOf(await sound.upTo(again.cursor))).toEqual(idsOf(log.slice(2)))
      }
    })
  } finally {
    rmSync(backup, { recursive: true })
  }
}, 60_000)

test('after the data directory was wiped, a cursor from before is told on every transport', async () => {
  using data = await openDataDirectory()
  using empty = await openDataDirectory()
  const lost = await during(data.path, async (_, line) => (await line()).settled())
  await during(empty.path, async (url, line) => {
    const anew = await line()
    for (const events of [0, 2, 4]) {
      if (events > 0) await anew.settled()
      expect(await anew.log()).toHaveLength(events)
      await expectLost(url, anew, lost.cursor)
    }
  })
}, 60_000)

test('after a database was restored below a server that went on, readers are told on every transport', async () => {
  await using database = await openTestDatabase('postgres')
  const { db } = database.database
  await using app = await startOn({ DATABASE_URL: database.url ?? '' })
  const line = await Line.open(app)
  const kept = await line.settled()
  const undone = await line.settled()
  const endings = await Promise.all(
    Object.entries(READERS).map(async ([name, connect]) => {
      const reader = await connect(app.url, { target: line.target, since: undone.cursor })
      const ending = reader.ended().then(
        () => 'ended',
        (error: Error) => error.message,
      )
      return { name, ending, reader }
    }),
  )
  await db.transaction().execute(async (trx) => {
    const run = (text: string) => sql.raw(text).execute(trx)
    for (const table of ['sessions', 'requests', 'events']) {
      await run(`CREATE TEMP TABLE of_${table} ON COMMIT DROP AS SELECT * FROM ${table}`)
    }
    await run('TRUNCATE sessions, requests, events, deliveries, cards, invitations CASCADE')
    await run(`UPDATE of_sessions SET seq = 2, epoch = '${kept.cursor.replace(/-.*/, '')}'`)
    await run('INSERT INTO sessions SELECT * FROM of_sessions')
    await run('INSERT INTO requests SELECT * FROM of_requests WHERE created_seq <= 2')
    await run('INSERT INTO events SELECT * FROM of_events WHERE seq <= 2')
  })
  await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()`.execute(db)
  for (const { name, ending, reader } of endings) {
    const expected = /^websocket/.test(name) ? 'closed with 3008' : ENDINGS[name]
    expect({ name, ending: await ending }).toEqual({ name, ending: expected })
    await reader[Symbol.asyncDispose]()
  }
  await expectLost(app.url, line, undone.cursor)
  for (const _ of [3, 5]) {
    await expect.poll(async () => (await line.settled()).outcome).toBe('approved')
    await expectLost(app.url, line, undone.cursor)
  }
  await using sound = await READERS.sse(app.url, { target: line.target, since: kept.cursor })
  expect(sound.place?.recovered).toBe(true)
})

const ENDINGS: Readonly<Record<string, string>> = {
  sse: 'ended',
  poll: '410 CURSOR_GONE',
  'socket.io over websocket': 'disconnected: transport close',
  'socket.io over polling': 'disconnected: transport close',
}

/** On every transport the cursor is not continued, and then everything comes. */
async function expectLost(url: string, line: Line, since: string): Promise<void> {
  const log = await line.log()
  for (const [name, connect] of Object.entries(READERS)) {
    await using reader = await connect(url, { target: line.target, since })
    expect({ name, recovered: reader.place?.recovered }).toEqual({ name, recovered: false })
    const end = log.at(-1)
    if (end) expect(await reader.upTo(end.id)).toEqual(log)
  }
}

const seq = (cursor: string): string => cursor.replace(/^.*-/, '')
const idsOf = (events: readonly Envelope[]): string[] => events.map(({ id }) => id)

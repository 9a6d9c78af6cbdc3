import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import type { Clock } from '../../../src/core/ports.ts'
import type { RequestView } from '../../../src/protocol/types.ts'
import type { TestApp } from '../../support/app.ts'
import { openTestDatabase, type TestDatabase } from '../../support/database.ts'
import { openPooler } from '../../support/pooler.ts'
import { READERS } from '../../support/readers/index.ts'
import { Line } from '../../support/readers/line.ts'
import { startOn } from '../../support/readers/server.ts'

const SAFETY_POLL_MS = 2_000

/** Real time, in which the safety poll never comes: what arrives came by a hint. */
const withoutSafetyPoll: Clock = {
  now: systemClock.now,
  after: (ms, callback) =>
    ms === SAFETY_POLL_MS ? () => undefined : systemClock.after(ms, callback),
}

/** Two servers on one database, and what was opened for a test. */
function stagePair(clock?: Clock) {
  let pair: { a: TestApp; b: TestApp; at: TestDatabase } | undefined
  const opened = new AsyncDisposableStack()
  beforeAll(async () => {
    const at = opened.use(await openTestDatabase('postgres'))
    const place = { DATABASE_URL: at.url ?? '', MAX_CONCURRENT_REQUESTS: '10000' }
    const a = opened.use(await startOn(place, {}, clock))
    const b = opened.use(await startOn(place, {}, clock))
    pair = { a, b, at }
  }, 60_000)
  afterAll(() => opened.disposeAsync(), 30_000)
  return () => {
    if (!pair) throw new Error('the servers are not open')
    return pair
  }
}

describe('two processes on one database, without the safety poll', () => {
  const pair = stagePair(withoutSafetyPoll)

  test('an approval is spent at one of them, of fifty tries at both', async () => {
    const { a, b } = pair()
    const { request_id, receipt } = await (await Line.open(a)).settled()
    const claims = JSON.parse(Buffer.from(receipt?.split('.')[1] ?? '', 'base64url').toString())
    const body = { request_id, digest: claims.request.digest }
    const tries = await Promise.all(
      Array.from({ length: 50 }, (_, i) => (i % 2 ? a : b).post('/hitl/consume', body)),
    )
    const codes = tries.map(({ status, body: { code } }) => `${status} ${code ?? ''}`)
    expect(codes.filter((code) => code === '200 ')).toHaveLength(1)
    expect(codes.filter((code) => code === '409 ALREADY_CONSUMED')).toHaveLength(49)
  })

  test('one press at the one arrives everywhere at the other, in order and with the same cursors', async () => {
    const { a, b } = pair()
    const line = await Line.open(a)
    await using opened = new AsyncDisposableStack()
    const bySession = await Promise.all(
      Object.values(READERS).map((connect) => connect(b.url, { target: line.target })),
    )
    const body = { session_id: line.id, client_id: line.clientId, message: 'Deploy?' }
    const submission = b.post('/hitl/request?wait=50', { ...body, options: ['Yes', 'No'] })
    const created = await bySession[0]?.first('request.created')
    const { request_id = '' } = created ?? {}
    const byRequest = await Promise.all(
      Object.entries(READERS)
        .filter(([name]) => name !== 'poll')
        .map(([, connect]) => connect(b.url, { target: { request_id } })),
    )
    for (const reader of [...bySession, ...byRequest]) opened.use(reader)
    const polled = b.get(`/hitl/poll?request_id=${request_id}&wait=50`)
    const decided = await line.decide({ request_id } as RequestView, { option: 'No' })
    const log = await line.log()
    expect(log.map(({ type }) => type)).toEqual(['request.created', 'request.decided'])
    for (const reader of [...bySession, ...byRequest]) {
      expect(await reader.upTo(decided.cursor)).toEqual(log)
    }
    expect((await submission).body).toEqual({ success: true, ...decided })
    expect((await polled).body).toEqual(decided)
  })

  test('a cursor of the one is continued at the other, whoever wrote the events', async () => {
    const { a, b } = pair()
    const line = await Line.open(a)
    const atB = await Line.open(b, { session_id: line.id })
    const first = await line.settled()
    const second = await atB.settled()
    for (const [app, cursor] of [
      [a, second.cursor],
      [b, first.cursor],
    ] as const) {
      await using reader = await READERS.sse(app.url, { target: line.target, since: cursor })
      expect(reader.place).toEqual({ cursor, recovered: true })
    }
    expect(await atB.log()).toEqual(await line.log())
  })

  test('the facts, /health and the metrics say that they hear each other', async () => {
    const { a, b } = pair()
    expect(a.app.facts()).toContain('other processes: LISTEN is up')
    expect((await b.get('/health')).body).toMatchObject({ status: 'healthy', listen: 'up' })
    const text = await (await fetch(`${b.url}/metrics`)).text()
    expect(text).toContain('loopgate_bus_up 1\n')
    expect(text).toMatch(/loopgate_bus_hints_total\{direction="received"\} [1-9]/)
    expect(text).toMatch(/loopgate_bus_hints_total\{direction="sent"\} [1-9]/)
  })
})

describe('two processes whose LISTEN is cut again and again', () => {
  const pair = stagePair()

  test('lose nothing, double nothing and keep the order, on every transport', async () => {
    const { a, b, at } = pair()
    const line = await Line.open(a)
    const atB = await Line.open(b, { session_id: line.id })
    await using opened = new AsyncDisposableStack()
    const readers = await Promise.all(
      [a, b].flatMap(({ url }) =>
        Object.values(READERS).map((connect) => connect(url, { target: line.target })),
      ),
    )
    for (const reader of readers) opened.use(reader)
    let isOver = false
    const cutting = cutWhile(at, () => !isOver)
    for (let i = 0; i < 40; i++) await (i % 2 === 0 ? line : atB).settled()
    isOver = true
    expect(await cutting).toBeGreaterThan(5)
    const log = await line.log()
    expect(log).toHaveLength(80)
    for (const reader of readers) {
      expect(await reader.upTo(log.at(-1)?.id ?? '')).toEqual(log)
    }
  })
})

/** How many connections were cut. */
async function cutWhile({ database }: TestDatabase, goesOn: () => boolean): Promise<number> {
  let cuts = 0
  while (goesOn()) {
    const { rows } = await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE application_name = 'loopgate listen' AND datname = current_database()`.execute(
      database.db,
    )
    cuts += rows.length
  }
  return cuts
}

// One real second, because the deadline is the database's own.
test('a request whose process is gone is expired by the other one', async () => {
  await using at = await openTestDatabase('postgres')
  const place = { DATABASE_URL: at.url ?? '' }
  // It looks after others' requests every five seconds; here, at once.
  const eager: Clock = {
    now: systemClock.now,
    after: (ms, callback) => systemClock.after(ms === 5_000 ? 50 : ms, callback),
  }
  await using b = await startOn(place, {}, eager)
  const a = await startOn(place)
  const line = await Line.open(a)
  await using reader = await READERS.sse(b.url, { target: line.target })
  const { request_id } = await line.ask({ timeout_seconds: 1 })
  await a.app.stop()
  const { data } = await reader.first('request.expired')
  expect(data).toMatchObject({ request_id, outcome: 'expired', decided_by: null })
})

test('a server behind a pooler that swallows notifications starts, and says what to do', async () => {
  await using at = await openTestDatabase('postgres')
  await using pooler = await openPooler(at.url ?? '')
  pooler.isDeaf = true
  await using a = await startOn({ DATABASE_URL: at.url ?? '' })
  await using b = await startOn({ DATABASE_URL: at.url ?? '', LISTEN_DATABASE_URL: pooler.url })
  expect(b.app.facts().join('\n')).toMatch(/LISTEN is down.*Set LISTEN_DATABASE_URL/)
  expect((await b.get('/health')).body).toMatchObject({ status: 'healthy', listen: 'down' })
  const line = await Line.open(a)
  await using reader = await READERS.sse(b.url, { target: line.target })
  const { cursor } = await line.settled()
  expect(await reader.upTo(cursor)).toEqual(await line.log())
})

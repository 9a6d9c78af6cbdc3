import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { Hub } from '../../../src/core/hub.ts'
import type { BusMetrics, SessionKey } from '../../../src/core/ports.ts'
import { PgBus } from '../../../src/storage/bus.ts'
import { openDatabase } from '../../../src/storage/database.ts'
import { createStores } from '../../../src/storage/stores.ts'
import { anAgent, aPerson, aSession, aSubmission, TENANT } from '../../support/builders.ts'
import { eventually, RecordedMetrics, RecordedReader } from '../../support/builders-core.ts'
import { FakeClock } from '../../support/clock.ts'
import { openTestDatabase } from '../../support/database.ts'
import { openPooler } from '../../support/pooler.ts'

const AGENT = anAgent()
const ANN = aPerson()
const SESSION = { sessionId: 'session-1' }

/** Keeps what a bus says of itself, each call as it came. */
class RecordedBusMetrics extends RecordedMetrics {
  readonly sent: number[] = []
  readonly received: number[] = []
  readonly states: boolean[] = []
  readonly bus: BusMetrics = {
    sent: (hints) => this.sent.push(hints),
    received: (hints) => this.received.push(hints),
    listening: (isUp) => this.states.push(isUp),
  }
}

/**
 * One process on a database: a hub and its bus. Its time stands still unless the test says so, and so
 * nothing comes by the safety poll.
 */
async function openProcess(url: string, listenUrl = url) {
  const database = await openDatabase({ type: 'postgres', url })
  const stores = createStores(database.db)
  const clock = new FakeClock()
  const metrics = new RecordedBusMetrics()
  const warnings: string[] = []
  const logger = {
    debug: () => undefined,
    info: () => undefined,
    warn: (details: object, text: string) => warnings.push(`${text} ${JSON.stringify(details)}`),
    error: () => undefined,
  }
  const bus = new PgBus({ db: database.db, url: listenUrl, clock, logger, metrics })
  const hub = new Hub({ ...stores, bus, clock, logger, metrics, couriers: [], maxPending: 1_000 })
  return {
    ...{ database, stores, clock, metrics, warnings, bus, hub },
    /** What the others say, instead of what the hub makes of it. */
    hear() {
      const heard: SessionKey[] = []
      bus.listen({ hinted: (session) => heard.push(session), changed: () => undefined })
      return heard
    },
    async read(since: 'earliest' | undefined = undefined) {
      const reader = new RecordedReader()
      await hub.subscribe(AGENT, SESSION, since, reader)
      return reader
    },
    async ask() {
      return (await hub.submit(AGENT, aSubmission())).request
    },
    async [Symbol.asyncDispose]() {
      hub.stop()
      await bus.stop()
      await database.close()
    },
  }
}

async function openPair() {
  await using opened = new AsyncDisposableStack()
  const test = opened.use(await openTestDatabase('postgres'))
  const url = test.url ?? ''
  const a = opened.use(await openProcess(url))
  const b = opened.use(await openProcess(url))
  for (const { hub, bus } of [a, b]) {
    hub.start()
    await bus.start()
  }
  await a.stores.sessions.ensure(aSession())
  const closing = opened.move()
  return { a, b, db: test.database.db, [Symbol.asyncDispose]: () => closing.disposeAsync() }
}

test('S1: what one process commits, readers of the other one get in order, without the safety poll', async () => {
  await using pair = await openPair()
  const { a, b } = pair
  const [here, there] = [await a.read(), await b.read()]
  const one = await a.ask()
  const two = await b.ask()
  await b.hub.decide(ANN, one.question.id, { option: 'Deploy' })
  await a.hub.cancel(AGENT, two.question.id)
  for (const reader of [here, there]) {
    await eventually(() => expect(reader.events).toHaveLength(4))
    expect(reader.events.map(({ cursor }) => cursor.seq)).toEqual([1, 2, 3, 4])
  }
  expect(there.events).toEqual(here.events)
  expect([a.clock.now(), b.clock.now()]).toEqual([0, 0])
})

test('S1: many writers in both processes; a reader in each gets everything once', async () => {
  await using pair = await openPair()
  const { a, b } = pair
  const readers = [await a.read(), await b.read(), await b.read()]
  const write = async ({ hub, ask }: typeof a) => {
    for (let i = 0; i < 10; i++) {
      const { question } = await ask()
      await hub.decide(ANN, question.id, { option: 'Deploy' })
    }
  }
  await Promise.all([a, b, a, b, a, b].map(write))
  for (const reader of readers) {
    await eventually(() => expect(reader.events).toHaveLength(120))
    expect(reader.events.map(({ cursor }) => cursor.seq)).toEqual(
      Array.from({ length: 120 }, (_, i) => i + 1),
    )
  }
})

test('a wait in one process is over when the other one decides', async () => {
  await using pair = await openPair()
  const { a, b } = pair
  const request = await b.ask()
  const waiting = b.hub.settled(AGENT, request, 50_000)
  const decided = await a.hub.decide(ANN, request.question.id, { option: 'Hold' })
  expect(await waiting).toEqual(decided)
  expect(b.clock.now()).toBe(0)
})

test('what is rung in one tick is one statement, each session once; a process ignores its own', async () => {
  await using pair = await openPair()
  const { a, b } = pair
  const [own, heard] = [a.hear(), b.hear()]
  for (let i = 0; i < 300; i++) a.bus.ring({ tenant: TENANT, sessionId: `s${i % 100}` })
  await eventually(() => expect(heard).toHaveLength(100))
  expect(a.metrics.sent).toEqual([100])
  // What the other one says comes after what the first one said, on the same connection.
  b.bus.ring({ tenant: TENANT, sessionId: 'last' })
  await eventually(() => expect(own).toEqual([{ tenant: TENANT, sessionId: 'last' }]))
})

test('what is rung while a statement is under way goes with the next one, and none is forgotten', async () => {
  await using pair = await openPair()
  const { a, b } = pair
  const heard = b.hear()
  for (let i = 0; i < 200; i++) {
    a.bus.ring({ tenant: TENANT, sessionId: `s${i}` })
    await Promise.resolve()
  }
  await eventually(() => expect(heard).toHaveLength(200))
  expect(a.metrics.sent.length).toBeLessThanOrEqual(5)
})

test('hints beyond the limit of one payload are split, in whatever letters the names are', async () => {
  await using pair = await openPair()
  const { a, b } = pair
  const heard = b.hear()
  const names = Array.from({ length: 200 }, (_, i) => `${i}${'"'.repeat(90)}${'界'.repeat(100)}`)
  for (const sessionId of names) a.bus.ring({ tenant: TENANT, sessionId })
  await eventually(() => expect(heard.map(({ sessionId }) => sessionId)).toEqual(names))
  expect(a.metrics.calls).toEqual([])
})

test('what others say on the channel is nothing to us', async () => {
  await using pair = await openPair()
  const { a, b, db } = pair
  const heard = b.hear()
  const strange = ['', 'x', 'null', '7', '[]', '{}', '{"from":1}', '{"from":"x","sessions":{}}']
  for (const payload of [...strange, '{"from":"x","sessions":[[1]]}', '{"from":"x","test":"1"}']) {
    await sql`SELECT pg_notify('loopgate', ${payload})`.execute(db)
  }
  a.bus.ring({ tenant: TENANT, ...SESSION })
  await eventually(() => expect(heard).toEqual([{ tenant: TENANT, ...SESSION }]))
  expect(b.bus.isUp).toBe(true)
})

test('what is committed while nobody listens is read when somebody does again', async () => {
  await using pair = await openPair()
  const { a, b, db } = pair
  const reader = await b.read()
  await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'loopgate listen' AND datname = current_database()`.execute(db)
  await eventually(() => expect(b.metrics.states).toEqual([false, true, false]))
  expect(b.bus.description).toContain('LISTEN is down')
  // Its time stands still: it neither polls nor listens.
  const { question } = await a.ask()
  expect(reader.events).toEqual([])
  b.clock.advance(50)
  await eventually(() => expect(reader.types).toEqual(['request.created']))
  expect(b.bus.isUp).toBe(true)
  a.clock.advance(50)
  await eventually(() => expect(a.bus.isUp).toBe(true))
  await a.hub.decide(ANN, question.id, { option: 'Deploy' })
  await eventually(() => expect(reader.types).toEqual(['request.created', 'request.decided']))
  expect(b.clock.now()).toBe(50)
})

test('behind a pooler that swallows notifications it says what to do, and polls', async () => {
  await using test = await openTestDatabase('postgres')
  await using pooler = await openPooler(test.url ?? '')
  pooler.isDeaf = true
  await using a = await openProcess(test.url ?? '')
  await using b = await openProcess(test.url ?? '', pooler.url)
  await a.stores.sessions.ensure(aSession())
  b.hub.start()
  const starting = b.bus.start()
  // The self-test waits two seconds for what was notified.
  await eventually(() => expect(b.clock.next).toBe(200))
  await eventually(() => {
    b.clock.advance(100)
    expect(b.warnings).toHaveLength(1)
  })
  await starting
  expect(b.bus.isUp).toBe(false)
  expect(b.bus.description).toMatch(/LISTEN is down.*LISTEN_DATABASE_URL.*direct connection/)
  expect(b.warnings[0]).toContain('LISTEN_DATABASE_URL')
  const reader = await b.read()
  await a.ask()
  await eventually(() => {
    b.clock.advance(200)
    expect(reader.types).toEqual(['request.created'])
  })
  pooler.isDeaf = false
  await eventually(() => {
    b.clock.advance(100)
    expect(b.bus.isUp).toBe(true)
  })
  expect(b.bus.description).toBe('LISTEN is up')
})

test('a connection that goes deaf in silence is found by the self-test of every 30 seconds', async () => {
  await using test = await openTestDatabase('postgres')
  await using pooler = await openPooler(test.url ?? '')
  await using b = await openProcess(test.url ?? '', pooler.url)
  await b.bus.start()
  expect(b.clock.next).toBe(30_000)
  b.clock.advance(30_000)
  await eventually(() => expect(b.clock.next).toBe(30_000))
  expect(b.metrics.states).toEqual([false, true])
  pooler.isDeaf = true
  b.clock.advance(30_000)
  await eventually(() => {
    b.clock.advance(100)
    expect(b.metrics.states).toEqual([false, true, false])
  })
  expect(b.bus.description).toContain('LISTEN_DATABASE_URL')
})

test('a pooler that is slow delays the start by three seconds at most, and is waited for', async () => {
  await using test = await openTestDatabase('postgres')
  await using pooler = await openPooler(test.url ?? '')
  pooler.hold()
  await using b = await openProcess(test.url ?? '', pooler.url)
  b.hub.start()
  const starting = b.bus.start()
  b.clock.advance(3_000)
  await starting
  expect(b.bus.description).toBe(
    'LISTEN is down, the log is polled five times a second: not listening yet',
  )
  pooler.release()
  await eventually(() => expect(b.bus.isUp).toBe(true))
})

test('a LISTEN_DATABASE_URL that nobody answers, or that is wrong, is said and survived', async () => {
  await using test = await openTestDatabase('postgres')
  const wrong = new URL(test.url ?? '')
  wrong.pathname = '/no-such-database'
  await using b = await openProcess(test.url ?? '', wrong.href)
  await b.bus.start()
  expect(b.bus.description).toMatch(/no-such-database.*LISTEN_DATABASE_URL/)
  expect(b.bus.description).not.toContain(wrong.password || 'postgres@')
  await using away = await openProcess(test.url ?? '', 'postgres://u:secret@127.0.0.1:1/d')
  await away.bus.start()
  expect(away.bus.description).toContain('ECONNREFUSED')
  expect(away.bus.description).not.toContain('secret')
})

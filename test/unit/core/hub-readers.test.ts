import { setImmediate } from 'node:timers/promises'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { HitlRequest } from '../../../src/core/request.ts'
import {
  anAgent,
  aPerson,
  approval,
  aSubmission,
  TENANT,
  telegram,
} from '../../support/builders.ts'
import {
  type Core,
  eventually,
  FakeCourier,
  RecordedReader,
  refused,
  startCore,
} from '../../support/builders-core.ts'

const AGENT = anAgent()
const ANN = aPerson()
const STRANGER = anAgent({ tenant: 'theirs' })

describe('subscribing to a session', () => {
  test('gives what is committed from now on, in the tick in which it is known', async () => {
    await using core = await startCore()
    await core.session()
    await core.ask()
    const reader = new RecordedReader()
    await core.hub.subscribe(AGENT, { sessionId: 'session-1' }, undefined, reader)
    expect(reader.position).toMatchObject({ cursor: { seq: 1 }, recovered: true })
    let givenWhenTold = 0
    core.hub.onEvent(() => {
      givenWhenTold = reader.events.length
    })
    const { question } = await core.ask()
    expect(givenWhenTold).toBe(1)
    await core.hub.decide(ANN, question.id, { option: 'Deploy' })
    expect(givenWhenTold).toBe(2)
    expect(reader.events).toEqual(core.told.slice(1))
  })

  test('S1: gives what came after the cursor, and then what comes', async () => {
    await using core = await startCore()
    await core.session()
    const first = await core.ask()
    const second = await core.ask()
    const reader = new RecordedReader()
    await core.hub.subscribe(AGENT, { sessionId: 'session-1' }, first.cursor, reader)
    await core.hub.cancel(AGENT, second.question.id)
    expect(reader.events).toEqual(core.told.slice(1))
  })

  test('S3: says first that a cursor can not be continued, and gives everything that is kept', async () => {
    await using core = await startCore()
    await core.session()
    await core.session({ id: 'session-2' })
    const other = await core.ask({ sessionId: 'session-2' })
    await core.ask()
    const told = core.told.filter(({ question }) => question.sessionId === 'session-1')
    for (const since of ['unknown', other.cursor] as const) {
      const reader = new RecordedReader()
      await core.hub.subscribe(AGENT, { sessionId: 'session-1' }, since, reader)
      expect(reader.position?.recovered).toBe(false)
      expect(reader.events).toEqual(told)
    }
  })

  test('R8: gives nothing of another session, another tenant or a session of the same id there', async () => {
    await using core = await startCore()
    await core.session()
    await core.session({ id: 'session-2' })
    await core.session({ tenant: 'theirs' })
    const reader = new RecordedReader()
    await core.hub.subscribe(AGENT, { sessionId: 'session-1' }, undefined, reader)
    await core.ask({ sessionId: 'session-2' })
    await core.hub.submit(STRANGER, aSubmission())
    expect(reader.events).toEqual([])
    const error = await refused(
      core.hub.subscribe(STRANGER, { sessionId: 'session-2' }, 'earliest', reader),
    )
    expect(error).toMatchObject({ code: 'SESSION_NOT_FOUND' })
  })

  test('a reader that left hears nothing more, and the others all', async () => {
    await using core = await startCore()
    await core.session()
    const [leaving, staying] = [new RecordedReader(), new RecordedReader()]
    for (const reader of [leaving, staying]) {
      await core.hub.subscribe(AGENT, { sessionId: 'session-1' }, undefined, reader)
    }
    leaving.event = function (event) {
      this.events.push(event)
      this.subscription?.end('left')
    }
    await core.ask()
    await core.ask()
    expect(leaving.types).toHaveLength(1)
    expect(leaving.end).toBe('left')
    expect(staying.types).toHaveLength(2)
  })

  test('S1: what is committed while its place is looked for is not missed', async () => {
    let meanwhile = async () => undefined as unknown
    await using core = await startCore({
      log: (log) => ({
        read: log.read,
        ahead: log.ahead,
        async locate(target, since) {
          const position = await log.locate(target, since)
          await meanwhile()
          return position
        },
      }),
    })
    await core.session()
    const request = await core.ask()
    meanwhile = () => core.hub.decide(ANN, request.question.id, { option: 'Deploy' })
    const reader = new RecordedReader()
    await core.hub.subscribe(AGENT, { sessionId: 'session-1' }, undefined, reader)
    expect(reader.types).toEqual(['request.decided'])
  })

  test('S1: many readers that come at any moment get everything that many writers write, once', async () => {
    await using core = await startCore()
    await core.session()
    const readers: RecordedReader[] = []
    const read = async () => {
      const reader = new RecordedReader()
      readers.push(reader)
      await core.hub.subscribe(AGENT, { sessionId: 'session-1' }, 'earliest', reader)
    }
    const write = async () => {
      for (let i = 0; i < 5; i++) {
        const { question } = await core.ask()
        await core.hub.decide(ANN, question.id, { option: 'Deploy' })
      }
    }
    const write8 = Array.from({ length: 8 }, write)
    await Promise.all([...write8, ...Array.from({ length: 20 }, read)])
    const numbers = Array.from({ length: 80 }, (_, i) => i + 1)
    for (const reader of readers) {
      await eventually(() => expect(reader.events).toHaveLength(80))
      expect(reader.events.map(({ cursor }) => cursor.seq)).toEqual(numbers)
    }
  })
})

describe('subscribing to a request', () => {
  const settle = async (core: Core): Promise<HitlRequest> => {
    await core.session()
    await core.ask()
    const { question } = await core.ask()
    await core.ask()
    return core.hub.decide(ANN, question.id, { option: 'Deploy' })
  }

  test('S2: without a cursor gives it from its creation, and ends after its end', async () => {
    await using core = await startCore()
    const { question } = await settle(core)
    const reader = new RecordedReader()
    await core.hub.subscribe(AGENT, { requestId: question.id }, undefined, reader)
    expect(reader.types).toEqual(['request.created', 'request.decided'])
    expect(reader.end).toBe('settled')
  })

  test('S2: ends when the request is settled, and gives nothing of other requests', async () => {
    await using core = await startCore()
    await core.session()
    const { question } = await core.ask()
    const reader = new RecordedReader()
    await core.hub.subscribe(AGENT, { requestId: question.id }, undefined, reader)
    const other = await core.ask()
    await core.hub.cancel(AGENT, other.question.id)
    expect(reader.end).toBeUndefined()
    await core.hub.decide(ANN, question.id, { option: 'Deploy' })
    expect(reader.types).toEqual(['request.created', 'request.decided'])
    expect(reader.end).toBe('settled')
  })

  test('S2: at a cursor at or after its end gives nothing, and ends at once', async () => {
    await using core = await startCore()
    const request = await settle(core)
    const later = await core.ask()
    for (const since of [request.cursor, later.cursor]) {
      const reader = new RecordedReader()
      await core.hub.subscribe(AGENT, { requestId: request.question.id }, since, reader)
      expect(reader.events).toEqual([])
      expect(reader.position?.recovered).toBe(true)
      expect(reader.end).toBe('settled')
    }
  })

  test('S3: at a cursor that can not be continued gives all of it', async () => {
    await using core = await startCore()
    const { question } = await settle(core)
    const reader = new RecordedReader()
    await core.hub.subscribe(AGENT, { requestId: question.id }, 'unknown', reader)
    expect(reader.position?.recovered).toBe(false)
    expect(reader.types).toEqual(['request.created', 'request.decided'])
  })

  test('R8: of another tenant, or of nobody, is refused and leaves nothing behind', async () => {
    await using core = await startCore()
    const { question } = await settle(core)
    for (const requestId of [question.id, 'nonsense']) {
      const reader = new RecordedReader()
      const error = await refused(core.hub.subscribe(STRANGER, { requestId }, undefined, reader))
      expect(error).toMatchObject({ code: 'REQUEST_NOT_FOUND' })
      expect(reader.position).toBeUndefined()
    }
  })
})

describe('the sweep', () => {
  test('S4: what another process wrote is given within two seconds', async () => {
    await using core = await startCore()
    await core.session()
    const request = await core.ask()
    const readers = [new RecordedReader(), new RecordedReader()] as const
    const targets = [{ sessionId: 'session-1' }, { requestId: request.question.id }]
    for (const [i, reader] of readers.entries()) {
      await core.hub.subscribe(AGENT, targets[i] ?? { sessionId: '' }, request.cursor, reader)
    }
    core.hub.start()
    await core.another().requests.settle(request, approval(), 'person:console:ann')
    core.clock.advance(2_000)
    for (const reader of readers) {
      await eventually(() => expect(reader.types).toEqual(['request.decided']))
    }
    expect(readers[1].end).toBe('settled')
  })

  test('goes on after the database was away', async () => {
    await using core = await startCore()
    await core.session()
    const reader = new RecordedReader()
    await core.hub.subscribe(AGENT, { sessionId: 'session-1' }, undefined, reader)
    core.hub.start()
    await core.db.schema.alterTable('sessions').renameTo('away').execute()
    core.clock.advance(2_000)
    await eventually(() => expect(core.metrics.calls).toContain('failed sweep'))
    await core.db.schema.alterTable('away').renameTo('sessions').execute()
    const asked = aSubmission()
    await core.another().requests.submit(TENANT, asked, 10, () => [])
    await eventually(() => {
      core.clock.advance(2_000)
      expect(reader.types).toEqual(['request.created'])
    })
  })

  test('ends with the hub', async () => {
    await using core = await startCore()
    core.hub.start()
    expect(core.clock.next).toBe(2_000)
    core.hub.stop()
    expect(core.clock.waiting).toBe(0)
  })
})

describe('what is not kept any more', () => {
  const days = 30
  const age = ({ db }: Core) =>
    sql`UPDATE requests SET settled_at = settled_at - interval '31 days'
      WHERE settled_at IS NOT NULL`.execute(db)

  test('L6: a reader that is catching up is ended where what follows was deleted, without a gap', async () => {
    await using core = await startCore()
    await core.session()
    for (let i = 0; i < 60; i++) {
      const { question } = await core.ask()
      await core.hub.decide(ANN, question.id, { option: 'Deploy' })
    }
    await age(core)
    const { promise, resolve } = Promise.withResolvers<void>()
    const reader = new RecordedReader()
    reader.drained = () => promise
    const subscribing = core.hub.subscribe(AGENT, { sessionId: 'session-1' }, 'earliest', reader)
    await eventually(() => expect(reader.events).toHaveLength(1))
    expect((await core.stores.pruning.prune(days, undefined)).events).toBe(120)
    resolve()
    await subscribing
    expect(reader.events.map(({ cursor }) => cursor.seq)).toEqual(
      Array.from({ length: 100 }, (_, i) => i + 1),
    )
    expect(reader.end).toBe('gone')
    const again = new RecordedReader()
    const since = reader.events.at(-1)?.cursor
    await core.hub.subscribe(AGENT, { sessionId: 'session-1' }, since, again)
    expect(again.position).toMatchObject({ recovered: false, cursor: { seq: 120 } })
  })

  test('L6: a reader that is up to date hears nothing of it, and goes on', async () => {
    await using core = await startCore()
    await core.session()
    const reader = new RecordedReader()
    await core.hub.subscribe(AGENT, { sessionId: 'session-1' }, undefined, reader)
    const { question } = await core.ask()
    await core.hub.decide(ANN, question.id, { option: 'Deploy' })
    await age(core)
    expect((await core.stores.pruning.prune(days, undefined)).events).toBe(2)
    core.hub.start()
    core.clock.advance(2_000)
    await core.ask()
    expect(reader.types).toEqual(['request.created', 'request.decided', 'request.created'])
    expect(reader.end).toBeUndefined()
  })

  test('L5: a live reader of a log that was restored to an older one is ended', async () => {
    await using core = await startCore()
    await core.session()
    await core.ask()
    const reader = new RecordedReader()
    await core.hub.subscribe(AGENT, { sessionId: 'session-1' }, 'earliest', reader)
    core.hub.start()
    await sql`TRUNCATE events, requests CASCADE`.execute(core.db)
    await sql`UPDATE sessions SET seq = 0`.execute(core.db)
    core.clock.advance(2_000)
    await eventually(() => expect(reader.end).toBe('gone'))
  })
})

describe('waiting for a decision', () => {
  test('is over at once for what is settled, and with no time', async () => {
    await using core = await startCore()
    await core.session()
    const request = await core.ask()
    expect(await core.hub.settled(AGENT, request, 0)).toBe(request)
    const settled = await core.hub.cancel(AGENT, request.question.id)
    expect(await core.hub.settled(AGENT, settled, 50_000)).toBe(settled)
    expect(core.clock.waiting).toBe(0)
  })

  test('is over as soon as there is one', async () => {
    await using core = await startCore()
    await core.session()
    const request = await core.ask()
    const waiting = core.hub.settled(AGENT, request, 50_000)
    await eventually(() => expect(core.clock.waiting).toBe(1))
    const decided = await core.hub.decide(ANN, request.question.id, { option: 'Deploy' })
    expect(await waiting).toEqual(decided)
    expect(core.clock.waiting).toBe(0)
  })

  test('does not miss a decision that came before it began', async () => {
    await using core = await startCore()
    await core.session()
    const request = await core.ask()
    const decided = await core.hub.decide(ANN, request.question.id, { option: 'Deploy' })
    expect(await core.hub.settled(AGENT, request, 50_000)).toEqual(decided)
  })

  test('gives the request as it stands when the time is over', async () => {
    const courier = new FakeCourier()
    await using core = await startCore({ couriers: [courier] })
    core.deliveries.start()
    await core.session({ reviewers: telegram('41') })
    const sent = Promise.withResolvers<void>()
    courier.gate = sent.promise
    const request = await core.ask()
    const waiting = core.hub.settled(AGENT, request, 50_000)
    await eventually(() => expect(core.clock.next).toBeDefined())
    sent.resolve()
    await eventually(() => expect(core.told.at(-1)?.type).toBe('request.delivered'))
    await setImmediate()
    core.clock.advance(50_000)
    expect((await waiting).state).toMatchObject({
      status: 'pending',
      delivery: [{ channel: 'telegram', status: 'delivered' }],
    })
  })

  test('is over when who waits is gone, also when he was gone before', async () => {
    await using core = await startCore()
    await core.session()
    const request = await core.ask()
    const gone = new AbortController()
    const waiting = core.hub.settled(AGENT, request, 50_000, gone.signal)
    await eventually(() => expect(core.clock.waiting).toBe(1))
    gone.abort()
    expect(await waiting).toEqual(request)
    expect(await core.hub.settled(AGENT, request, 50_000, gone.signal)).toEqual(request)
    expect(core.clock.waiting).toBe(0)
  })
})

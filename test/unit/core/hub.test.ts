import { setImmediate } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { LOCAL, type Person } from '../../../src/core/principal.ts'
import type { HitlRequest, Reviewers } from '../../../src/core/request.ts'
import { anAgent, aPerson, approval, aSubmission, overdue, TENANT } from '../../support/builders.ts'
import {
  type Core,
  eventually,
  FakeCourier,
  RecordedReader,
  startCore,
} from '../../support/builders-core.ts'

const AGENT = anAgent()
const ANN = aPerson()
const BEN = aPerson({ id: 'ben', name: 'Ben' })
const STRANGER = anAgent({ tenant: 'theirs' })

const telegram = (address: string | null, ...approvers: string[]) => ({
  telegram: { address, approvers },
})

const registration = (reviewers = {}, clientId = 'client-1') => ({
  sessionId: 'session-1',
  clientId,
  reviewers,
})

/** What a refused call was refused with. */
const refused = (call: Promise<unknown>) =>
  call.then(
    () => expect.fail('it was not refused'),
    (error) => error,
  )

describe('registering a session', () => {
  test('makes it, and the same values again change nothing', async () => {
    await using core = await startCore()
    const made = await core.hub.register(AGENT, registration(telegram('-100', '1', '2')))
    expect(made).toMatchObject({
      tenant: TENANT,
      active: true,
      reviewers: telegram('-100', '1', '2'),
    })
    const again = [telegram('-100', '2', '1'), telegram('-100', '1', '2'), {}]
    for (const reviewers of again) {
      expect(await core.hub.register(AGENT, registration(reviewers))).toEqual(made)
    }
  })

  test('of another client_id is refused', async () => {
    await using core = await startCore()
    await core.hub.register(AGENT, registration())
    const error = await refused(core.hub.register(AGENT, registration({}, 'client-2')))
    expect(error).toMatchObject({ code: 'FORBIDDEN' })
    expect((await core.hub.session(AGENT, 'session-1')).clientId).toBe('client-1')
  })

  test.each([
    telegram('42'),
    telegram('41', '7'),
    telegram(null, '7'),
    { slack: { address: 'C1', approvers: [] } },
  ])('V4: an agent can not give it other reviewers: %j', async (reviewers) => {
    await using core = await startCore()
    await core.hub.register(AGENT, registration(telegram('41')))
    for (const principal of [AGENT, anAgent({ id: 'key-2' })]) {
      const error = await refused(core.hub.register(principal, registration(reviewers)))
      expect(error).toMatchObject({ code: 'FORBIDDEN' })
    }
    expect((await core.hub.session(AGENT, 'session-1')).reviewers).toEqual(telegram('41'))
  })

  test('V4: a program of this machine can not give it other reviewers either', async () => {
    await using core = await startCore()
    await core.hub.register(LOCAL, registration(telegram('41')))
    const error = await refused(core.hub.register(LOCAL, registration(telegram('42'))))
    expect(error).toMatchObject({ code: 'FORBIDDEN' })
  })

  test('V4: a person may change them, and other channels stay as they are', async () => {
    await using core = await startCore()
    const slack = { slack: { address: 'C1', approvers: [] } }
    await core.hub.register(AGENT, registration({ ...slack, ...telegram('41') }))
    const changed = await core.hub.register(ANN, registration(telegram('42')))
    expect(changed.reviewers).toEqual({ ...slack, ...telegram('42') })
  })

  test('V4: a person who names other approvers alone leaves the address as it is', async () => {
    await using core = await startCore()
    await core.hub.register(AGENT, registration(telegram('-100', '1')))
    const changed = await core.hub.register(ANN, registration(telegram(null, '2')))
    expect(changed.reviewers).toEqual(telegram('-100', '2'))
  })

  test('again reactivates it, with the reviewers it has', async () => {
    await using core = await startCore()
    await core.hub.register(AGENT, registration(telegram('41')))
    await core.hub.deactivate(AGENT, 'session-1')
    expect((await core.hub.session(AGENT, 'session-1')).active).toBe(false)
    const again = await core.hub.register(AGENT, registration(telegram('41')))
    expect(again).toMatchObject({ active: true, reviewers: telegram('41') })
  })

  test('V4: with other reviewers is refused also after deactivation, and changes nothing', async () => {
    await using core = await startCore()
    await core.hub.register(AGENT, registration(telegram('41')))
    await core.hub.deactivate(AGENT, 'session-1')
    const error = await refused(core.hub.register(AGENT, registration(telegram('42'))))
    expect(error).toMatchObject({ code: 'FORBIDDEN' })
    expect(await core.hub.session(AGENT, 'session-1')).toMatchObject({
      active: false,
      reviewers: telegram('41'),
    })
  })

  test('the same values again are no change after somebody joined by invitation', async () => {
    await using core = await startCore()
    const given = registration(telegram(null, '7'))
    await core.hub.register(AGENT, given)
    const { invitations } = core.stores
    const code = await invitations.create(TENANT, 'session-1', 'telegram', 600)
    const joined = await invitations.accept(code, 'telegram', '7', '7')
    expect(joined?.reviewers).toEqual(telegram('7', '7'))
    expect(await core.hub.register(AGENT, given)).toEqual(joined)
  })

  test('R8: sessions of another tenant are not found', async () => {
    await using core = await startCore()
    await core.hub.register(AGENT, registration())
    for (const call of [
      core.hub.session(STRANGER, 'session-1'),
      core.hub.deactivate(STRANGER, 'session-1'),
    ]) {
      expect(await refused(call)).toMatchObject({ code: 'SESSION_NOT_FOUND' })
    }
  })
})

describe('a link by which a reviewer joins', () => {
  test('is there for a session that nobody answers yet, from the first channel that has one', async () => {
    const couriers = [new FakeCourier('slack'), new FakeCourier('telegram')]
    await using core = await startCore({ couriers })
    const session = await core.session()
    expect(await core.hub.invite(session)).toBeUndefined()
    for (const courier of couriers) courier.link = `https://${courier.channel}/join`
    expect(await core.hub.invite(session)).toBe('https://slack/join')
    const joined = { ...session, reviewers: { slack: { address: 'C1', approvers: [] } } }
    expect(await core.hub.invite(joined)).toBe('https://telegram/join')
    const both = { ...session, reviewers: { ...joined.reviewers, ...telegram('41') } }
    expect(await core.hub.invite(both)).toBeUndefined()
  })
})

describe('submitting', () => {
  test('V1: what is told is committed, and only what is committed is told', async () => {
    await using core = await startCore({ maxPending: 1 })
    await core.session()
    const { request, events } = await core.hub.submit(AGENT, aSubmission())
    expect(core.told).toEqual(events)
    expect(await core.hub.get(AGENT, request.question.id)).toEqual(request)
    expect(await refused(core.ask())).toMatchObject({ code: 'TOO_MANY_PENDING' })
    expect(await refused(core.ask({ sessionId: 'none' }))).toMatchObject({
      code: 'SESSION_NOT_FOUND',
    })
    expect(core.told).toEqual(events)
    expect(core.metrics.calls).toEqual(['submitted client-1'])
  })

  test('R10: a repeat with the same key is told to nobody and counted as nothing', async () => {
    await using core = await startCore()
    await core.session()
    const asked = aSubmission({ idempotency: { key: 'k', bodyDigest: 'd' } })
    const first = await core.hub.submit(AGENT, asked)
    const second = await core.hub.submit(AGENT, asked)
    expect(second).toEqual({ request: first.request, events: [], replayed: true })
    expect(core.told).toHaveLength(1)
    expect(core.metrics.calls).toEqual(['submitted client-1'])
  })

  test('V3: on a channel that reaches nobody says so at once', async () => {
    await using core = await startCore({ couriers: [new FakeCourier()] })
    await core.session()
    const request = await core.ask()
    expect(request.state.delivery).toEqual([
      { channel: 'telegram', status: 'failed', error: 'nobody has joined yet' },
    ])
    expect(core.told.map(({ type }) => type)).toEqual(['request.created', 'request.undelivered'])
  })
})

describe('deciding', () => {
  test('answers with the view as committed, and tells everybody', async () => {
    await using core = await startCore()
    await core.session()
    const { question } = await core.ask()
    const decided = await core.hub.decide(ANN, question.id, { option: 'Hold', comment: 'not yet' })
    expect(decided).toMatchObject({
      question,
      state: {
        status: 'decided',
        outcome: 'rejected',
        response: 'Hold',
        comment: 'not yet',
        decidedBy: { channel: 'console', id: 'ann', name: 'Ann' },
      },
    })
    expect(await core.hub.get(AGENT, question.id)).toEqual(decided)
    expect(core.told.at(-1)).toMatchObject({ type: 'request.decided', cursor: decided.cursor })
    expect(core.metrics.calls.at(-1)).toBe('settled rejected')
  })

  test('R3: the same by the same person is answered with the view, and told to nobody', async () => {
    await using core = await startCore()
    await core.session()
    const { question } = await core.ask()
    const first = await core.hub.decide(ANN, question.id, { option: 'Deploy' })
    expect(await core.hub.decide(ANN, question.id, { option: 'Deploy' })).toEqual(first)
    expect(core.told).toHaveLength(2)
  })

  test('R2: anything else that comes later gets the winner’s view', async () => {
    await using core = await startCore()
    await core.session()
    const { question } = await core.ask()
    const winner = await core.hub.decide(ANN, question.id, { option: 'Deploy' })
    const later = [
      core.hub.decide(ANN, question.id, { option: 'Hold' }),
      core.hub.decide(ANN, question.id, { option: 'Deploy', comment: 'again' }),
      core.hub.decide(BEN, question.id, { option: 'Deploy' }),
      core.hub.decide(aPerson({ channel: 'telegram' }), question.id, { option: 'Deploy' }),
      core.hub.cancel(ANN, question.id),
      core.hub.cancel(AGENT, question.id),
    ]
    for (const call of later) {
      const error = await refused(call)
      expect(error).toMatchObject({ code: 'REQUEST_ALREADY_SETTLED', details: { request: winner } })
    }
  })

  test('R2: an answer that was never offered is too late as well, once it is settled', async () => {
    await using core = await startCore()
    await core.session()
    const { question } = await core.ask()
    await core.hub.decide(ANN, question.id, { option: 'Deploy' })
    for (const person of [ANN, BEN]) {
      const error = await refused(core.hub.decide(person, question.id, { option: 'Ship' }))
      expect(error).toMatchObject({ code: 'REQUEST_ALREADY_SETTLED' })
    }
  })

  test('R2: of fifty simultaneous people one decides, and each other gets his view', async () => {
    await using core = await startCore()
    await core.session()
    const { question } = await core.ask()
    const calls = await Promise.allSettled(
      Array.from({ length: 50 }, (_, i) =>
        core.hub.decide(aPerson({ id: `${i}` }), question.id, {
          option: i % 2 ? 'Deploy' : 'Hold',
        }),
      ),
    )
    const won = calls.filter((call) => call.status === 'fulfilled').map(({ value }) => value)
    const lost = calls.filter((call) => call.status === 'rejected').map(({ reason }) => reason)
    expect(won).toHaveLength(1)
    for (const error of lost) {
      expect(error).toMatchObject({ code: 'REQUEST_ALREADY_SETTLED', details: { request: won[0] } })
    }
    expect(core.told).toHaveLength(2)
  })

  test('R6: after the time is refused with the expired view, and everybody is told', async () => {
    await using core = await startCore()
    await core.session()
    const { question } = await core.ask(overdue)
    const error = await refused(core.hub.decide(ANN, question.id, { option: 'Deploy' }))
    expect(error).toMatchObject({
      code: 'REQUEST_ALREADY_SETTLED',
      details: { request: { state: { status: 'expired', outcome: 'expired', decidedBy: null } } },
    })
    expect(core.told.map(({ type }) => type)).toEqual(['request.created', 'request.expired'])
  })

  test('what was not offered is refused, and the request stays open', async () => {
    await using core = await startCore()
    await core.session()
    const { question } = await core.ask()
    for (const answer of [{ option: 'Ship' }, { response: 'yes' }]) {
      const error = await refused(core.hub.decide(ANN, question.id, answer))
      expect(error).toMatchObject({ code: 'INVALID_INPUT' })
    }
    expect((await core.hub.get(AGENT, question.id)).state.status).toBe('pending')
  })

  test('R8: a person of another tenant does not find the request', async () => {
    await using core = await startCore()
    await core.session()
    const { question } = await core.ask()
    const stranger = aPerson({ tenant: 'theirs' })
    const error = await refused(core.hub.decide(stranger, question.id, { option: 'Deploy' }))
    expect(error).toMatchObject({ code: 'REQUEST_NOT_FOUND' })
  })

  test('by somebody who was judged by the session’s reviewers counts while they are those', async () => {
    await using core = await startCore()
    await core.session({ reviewers: telegram('41') })
    const { question } = await core.ask()
    const stored = await core.stores.requests.find(TENANT, question.id)
    if (!stored) expect.fail('it was stored')
    const decide = (judgedBy: Reviewers) =>
      core.hub.decideWhile(judgedBy, BEN, stored, { option: 'Deploy' })
    await core.stores.sessions.setReviewers(TENANT, 'session-1', telegram('42'))
    expect(await decide(telegram('41'))).toBeUndefined()
    expect((await core.hub.get(AGENT, question.id)).state.status).toBe('pending')
    expect(await decide(telegram('42'))).toMatchObject({ state: { outcome: 'approved' } })
  })

  test('R2: on what was read before somebody else decided is refused, or a repeat', async () => {
    await using core = await startCore()
    await core.session({ reviewers: telegram('41') })
    const { question } = await core.ask()
    const stored = await core.stores.requests.find(TENANT, question.id)
    if (!stored) expect.fail('it was stored')
    const winner = await core.hub.decide(ANN, question.id, { option: 'Deploy' })
    const decide = (person: Person, judgedBy: Reviewers) =>
      core.hub.decideWhile(judgedBy, person, stored, { option: 'Deploy' })
    for (const judgedBy of [telegram('41'), telegram('42')]) {
      expect(await refused(decide(BEN, judgedBy))).toMatchObject({
        code: 'REQUEST_ALREADY_SETTLED',
        details: { request: winner },
      })
      expect(await decide(ANN, judgedBy)).toEqual(winner)
    }
  })

  test('R6: after the time is refused also when the reviewers have changed', async () => {
    await using core = await startCore()
    await core.session({ reviewers: telegram('41') })
    const { question } = await core.ask(overdue)
    const stored = await core.stores.requests.find(TENANT, question.id)
    if (!stored) expect.fail('it was stored')
    const late = core.hub.decideWhile(telegram('42'), ANN, stored, { option: 'Deploy' })
    expect(await refused(late)).toMatchObject({
      code: 'REQUEST_ALREADY_SETTLED',
      details: { request: { state: { status: 'expired' } } },
    })
  })
})

describe('canceling', () => {
  test('settles without an answer, and the same by the same principal is no second command', async () => {
    await using core = await startCore()
    await core.session()
    const { question } = await core.ask()
    const canceled = await core.hub.cancel(AGENT, question.id)
    expect(canceled.state).toMatchObject({ status: 'canceled', decidedBy: null, response: null })
    expect(await core.hub.cancel(AGENT, question.id)).toEqual(canceled)
    for (const other of [anAgent({ id: 'key-2' }), ANN]) {
      const error = await refused(core.hub.cancel(other, question.id))
      expect(error).toMatchObject({ code: 'REQUEST_ALREADY_SETTLED' })
    }
    expect(core.told).toHaveLength(2)
  })

  test('R8: what another tenant asked is not found', async () => {
    await using core = await startCore()
    await core.session()
    const { question } = await core.ask()
    for (const call of [
      core.hub.cancel(STRANGER, question.id),
      core.hub.get(STRANGER, question.id),
      core.hub.get(AGENT, 'nonsense'),
    ]) {
      expect(await refused(call)).toMatchObject({ code: 'REQUEST_NOT_FOUND' })
    }
    expect(await core.hub.listPending(STRANGER)).toEqual([])
    expect(await core.hub.listPending(AGENT)).toHaveLength(1)
  })
})

describe('expiring', () => {
  test('R6: too early does nothing', async () => {
    await using core = await startCore()
    await core.session()
    const request = await core.ask()
    expect(await core.hub.expire(request)).toBeUndefined()
    expect(core.told).toHaveLength(1)
  })

  test('R5: says so, and once', async () => {
    await using core = await startCore()
    await core.session()
    const request = await core.ask(overdue)
    expect(await core.hub.expire(request)).toMatchObject({ type: 'request.expired' })
    expect(await core.hub.expire(request)).toBeUndefined()
    expect(core.told).toHaveLength(2)
    expect(core.metrics.calls.at(-1)).toBe('settled expired')
  })
})

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

test('who stopped listening hears nothing more', async () => {
  await using core = await startCore()
  await core.session()
  const heard: string[] = []
  const stop = core.hub.onEvent(({ type }) => heard.push(type))
  await core.ask()
  stop()
  await core.ask()
  expect(heard).toEqual(['request.created'])
})

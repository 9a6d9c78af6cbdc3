import { describe, expect, test } from 'vitest'
import type { Person } from '../../../src/core/principal.ts'
import type { Reviewers } from '../../../src/core/request.ts'
import { anAgent, aPerson, aSubmission, overdue, TENANT, telegram } from '../../support/builders.ts'
import { FakeCourier, refused, startCore } from '../../support/builders-core.ts'

const AGENT = anAgent()
const ANN = aPerson()
const BEN = aPerson({ id: 'ben', name: 'Ben' })
const STRANGER = anAgent({ tenant: 'theirs' })

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

import { describe, expect, test } from 'vitest'
import { LOCAL } from '../../../src/core/principal.ts'
import { anAgent, aPerson, TENANT, telegram } from '../../support/builders.ts'
import { FakeCourier, refused, startCore } from '../../support/builders-core.ts'

const AGENT = anAgent()
const ANN = aPerson()
const STRANGER = anAgent({ tenant: 'theirs' })

const registration = (reviewers = {}, clientId = 'client-1') => ({
  sessionId: 'session-1',
  clientId,
  reviewers,
})

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

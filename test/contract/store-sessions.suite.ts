import { describe, expect, test } from 'vitest'
import { readSecret } from '../../src/storage/secret-store.ts'
import { aSession, TENANT } from '../support/builders.ts'
import { type StoreKind, start, times } from './store-harness.ts'

const ANN = { telegram: { address: '41', approvers: ['7'] } }
const BEN = { telegram: { address: '42', approvers: [] } }

export function sessionContract(kind: StoreKind): void {
  describe('sessions', () => {
    test('a session is made active, as it was asked for', async () => {
      await using at = await start(kind)
      const session = await at.session({ reviewers: ANN })
      expect(session).toEqual({
        tenant: TENANT,
        id: 'session-1',
        clientId: 'client-1',
        reviewers: ANN,
        active: true,
        createdAt: expect.any(Date),
        webhookSecret: expect.stringMatching(/^whsec_/),
      })
      expect(await at.stores.sessions.find(TENANT, 'session-1')).toEqual(session)
    })

    test('the webhook secret is 24 to 64 random bytes, of its own for every session', async () => {
      await using at = await start(kind)
      const secrets = [await at.session({ id: 'a' }), await at.session({ id: 'b' })].map(
        ({ webhookSecret }) => webhookSecret,
      )
      expect(new Set(secrets).size).toBe(2)
      for (const secret of secrets) {
        const { length } = Buffer.from(secret.slice('whsec_'.length), 'base64')
        expect(length).toBeGreaterThanOrEqual(24)
        expect(length).toBeLessThanOrEqual(64)
      }
    })

    test('a session that is there is returned unchanged, whatever is asked for', async () => {
      await using at = await start(kind)
      const made = await at.session({ reviewers: ANN })
      expect(await at.session({ clientId: 'another', reviewers: BEN })).toEqual(made)
      expect(await at.stores.sessions.find(TENANT, 'session-1')).toEqual(made)
    })

    test('fifty simultaneous registrations make one session', async () => {
      await using at = await start(kind)
      const made = await Promise.all(times(50, () => at.session()))
      expect(new Set(made.map(({ webhookSecret }) => webhookSecret)).size).toBe(1)
    })

    test('an id that nothing has is not found, and can not be changed', async () => {
      await using at = await start(kind)
      const { sessions } = at.stores
      expect(await sessions.find(TENANT, 'session-1')).toBeUndefined()
      expect(await sessions.setActive(TENANT, 'session-1', false)).toBeUndefined()
      expect(await sessions.setReviewers(TENANT, 'session-1', ANN)).toBeUndefined()
    })

    test('a session is deactivated and activated again', async () => {
      await using at = await start(kind)
      const made = await at.session()
      const { sessions } = at.stores
      expect(await sessions.setActive(TENANT, made.id, false)).toEqual({ ...made, active: false })
      expect(await at.stores.countActiveSessions()).toBe(0)
      expect(await sessions.setActive(TENANT, made.id, true)).toEqual(made)
      expect(await at.stores.countActiveSessions()).toBe(1)
    })

    test('R7: other reviewers of a session are asked from now on, and what is open keeps its own', async () => {
      await using at = await start(kind)
      await at.session({ reviewers: ANN })
      const before = await at.ask()
      const changed = await at.stores.sessions.setReviewers(TENANT, 'session-1', BEN)
      const after = await at.ask()
      expect(changed?.reviewers).toEqual(BEN)
      expect(after.request.question.reviewers).toEqual(BEN)
      const stored = await at.stores.requests.find(TENANT, before.request.question.id)
      expect(stored?.request).toEqual(before.request)
      expect(stored?.request.question.reviewers).toEqual(ANN)
    })

    test('R8: sessions of two tenants with the same id have nothing to do with each other', async () => {
      await using at = await start(kind)
      const { sessions } = at.stores
      const ours = await at.session({ tenant: 'ours', reviewers: ANN })
      const theirs = await at.session({ tenant: 'theirs', clientId: 'client-2', reviewers: BEN })
      expect(theirs.webhookSecret).not.toBe(ours.webhookSecret)
      await sessions.setActive('theirs', 'session-1', false)
      await sessions.setReviewers('theirs', 'session-1', {})
      expect(await sessions.find('ours', 'session-1')).toEqual(ours)
      expect(await sessions.find('nobody', 'session-1')).toBeUndefined()
    })

    test('ids are kept as they are, quotes, colons and emoji included', async () => {
      await using at = await start(kind)
      const id = `it's "a":b/c\\d 🚀 é`
      const made = await at.stores.sessions.ensure(aSession({ id, clientId: id, tenant: id }))
      expect(await at.stores.sessions.find(id, id)).toEqual(made)
      expect(made).toMatchObject({ id, clientId: id, tenant: id })
    })
  })

  describe('secrets', () => {
    test('whoever asks for a secret gets the same one, however many ask first', async () => {
      await using at = await start(kind)
      const given = await Promise.all(times(20, () => readSecret(at.db, 'jwt')))
      expect(new Set(given).size).toBe(1)
      expect(Buffer.from(given[0] ?? '', 'base64url')).toHaveLength(32)
      expect(await readSecret(at.db, 'jwt')).toBe(given[0])
    })

    test('two names have two secrets', async () => {
      await using at = await start(kind)
      expect(await readSecret(at.db, 'jwt')).not.toBe(await readSecret(at.db, 'cards'))
    })
  })

  test('the database answers a ping', async () => {
    await using at = await start(kind)
    await expect(at.stores.ping()).resolves.toBeUndefined()
  })
}

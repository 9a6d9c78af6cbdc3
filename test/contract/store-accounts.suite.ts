import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { NewApiKey } from '../../src/core/account.ts'
import { LOCAL } from '../../src/core/principal.ts'
import { aPerson } from '../support/builders.ts'
import { type Started, type StoreKind, start, times } from './store-harness.ts'

const NOBODY = '00000000-0000-4000-8000-000000000000'

const userNamed = (at: Started, name: string, onlyFirst = false) =>
  at.stores.users.create({ username: name, usernameKey: name, passwordHash: '$' }, onlyFirst)

let made = 0

const aKey = (over: Partial<NewApiKey> = {}): NewApiKey => ({
  prefix: 'lk_pub_',
  digest: `digest-${made++}`,
  label: null,
  mayRegister: true,
  expiresAt: null,
  ...over,
})

const codeOf = (error: { code?: string }) => error.code

export function accountContract(kind: StoreKind): void {
  describe('users', () => {
    test('of twenty at once with one name there is one', async () => {
      await using at = await start(kind)
      await at.warmUp()
      const all = await Promise.all(times(20, () => userNamed(at, 'ann').catch(codeOf)))
      expect(all.filter((one) => one === 'USERNAME_TAKEN')).toHaveLength(19)
    })

    test('of twenty who would be the first at once there is one', async () => {
      await using at = await start(kind)
      await at.warmUp()
      const all = await Promise.all(
        times(20, (i) => userNamed(at, `user-${i}`, true).catch(codeOf)),
      )
      expect(all.filter((one) => one === 'FORBIDDEN')).toHaveLength(19)
      expect(await at.stores.users.hasAny()).toBe(true)
    })

    test('are found by what their name has in common with others, and by their id', async () => {
      await using at = await start(kind)
      expect(await at.stores.users.hasAny()).toBe(false)
      const { id } = await userNamed(at, 'ann')
      expect(await at.stores.users.findByName('ann')).toEqual({
        ...{ id, username: 'ann', passwordHash: '$' },
      })
      expect(await at.stores.users.findByName('Ann')).toBeUndefined()
      expect(await at.stores.users.has(id)).toBe(true)
      for (const other of [NOBODY, 'ann', 'local', '', "'"]) {
        expect(await at.stores.users.has(other)).toBe(false)
      }
    })
  })

  describe('keys', () => {
    test('let in the agent of their user, with what they may', async () => {
      await using at = await start(kind)
      const { keys } = at.stores
      const { id: tenant } = await userNamed(at, 'ann')
      const expiresAt = new Date(Date.now() + 60_000)
      const { id } = await keys.create(tenant, aKey({ digest: 'd', mayRegister: false, expiresAt }))
      const agent = { type: 'agent', tenant, id, mayRegister: false, until: expiresAt }
      expect(await keys.findByDigest('d')).toEqual(agent)
      expect(await keys.findById(id)).toEqual(agent)
      expect(await keys.findByDigest('e')).toBeUndefined()
      expect(await keys.findById(NOBODY)).toBeUndefined()
      expect(await keys.findById('not-a-uuid')).toBeUndefined()
    })

    test('that are revoked or expired let nobody in, and are listed as such', async () => {
      await using at = await start(kind)
      const { keys } = at.stores
      const { id: tenant } = await userNamed(at, 'ann')
      const revoked = await keys.create(tenant, aKey({ digest: 'revoked' }))
      const expired = await keys.create(
        tenant,
        aKey({ digest: 'expired', expiresAt: new Date(Date.now() + 60_000) }),
      )
      const active = await keys.create(tenant, aKey({ digest: 'active' }))
      expect(await keys.revoke(tenant, revoked.id)).toBe(true)
      expect(await keys.revoke(tenant, revoked.id)).toBe(true)
      await sql`UPDATE api_keys SET expires_at = clock_timestamp() WHERE id = ${expired.id}`.execute(
        at.db,
      )
      for (const key of ['revoked', 'expired']) {
        expect(await keys.findByDigest(key)).toBeUndefined()
      }
      for (const { id } of [revoked, expired]) expect(await keys.findById(id)).toBeUndefined()
      const listed = await keys.list(tenant)
      expect(listed[0]).toEqual(active)
      expect(listed.filter(({ isActive }) => isActive)).toEqual([active])
      expect(listed).toHaveLength(3)
      const held = { keys: [revoked.id, expired.id, active.id, NOBODY], users: [tenant, NOBODY] }
      const ended = await keys.ended(held)
      expect(ended.users).toEqual([NOBODY])
      expect([...ended.keys].sort()).toEqual([revoked.id, expired.id, NOBODY].sort())
    })

    test('are not made when they have expired by the clock of the database', async () => {
      await using at = await start(kind)
      const { id: tenant } = await userNamed(at, 'ann')
      const expiresAt = new Date(Date.now() - 1)
      const refused = at.stores.keys.create(tenant, aKey({ expiresAt }))
      await expect(refused).rejects.toMatchObject({ code: 'INVALID_INPUT' })
      expect(await at.stores.keys.list(tenant)).toEqual([])
    })

    test('of another user are neither listed nor revoked', async () => {
      await using at = await start(kind)
      const { keys } = at.stores
      const [ann, bob] = [await userNamed(at, 'ann'), await userNamed(at, 'bob')]
      const { id } = await keys.create(ann.id, aKey({ digest: 'd' }))
      for (const tenant of [bob.id, NOBODY, 'local', '']) {
        expect(await keys.list(tenant)).toEqual([])
        expect(await keys.revoke(tenant, id)).toBe(false)
      }
      expect(await keys.revoke(ann.id, 'not-a-uuid')).toBe(false)
      expect(await keys.findByDigest('d')).toMatchObject({ tenant: ann.id })
    })

    test('remember when they were used', async () => {
      await using at = await start(kind)
      const { keys } = at.stores
      const { id: tenant } = await userNamed(at, 'ann')
      const used = await keys.create(tenant, aKey())
      const unused = await keys.create(tenant, aKey())
      const lastUsed = async () =>
        new Map((await keys.list(tenant)).map(({ id, lastUsedAt }) => [id, lastUsedAt]))
      const uses = (agoMs: number) => [used.id, NOBODY].map((id) => ({ id, agoMs }))

      const before = Date.now()
      await keys.used(uses(60_000))
      const first = await lastUsed()
      const ago = before - (first.get(used.id)?.getTime() ?? 0)
      expect(Math.abs(ago - 60_000)).toBeLessThan(5_000)
      expect(first.get(unused.id)).toBeNull()

      await keys.used(uses(3_600_000))
      expect(await lastUsed()).toEqual(first)
    })
  })

  describe('a ticket', () => {
    test('W4: stands for one caller of many at once, as whoever it was issued to', async () => {
      await using at = await start(kind)
      await at.warmUp()
      const person = aPerson({ until: new Date('2030-01-02T03:04:05.006Z') })
      for (const [i, principal] of [person, LOCAL].entries()) {
        await at.stores.tickets.issue(`ticket-${i}`, principal, 30)
        const all = await Promise.all(times(20, () => at.stores.tickets.redeem(`ticket-${i}`)))
        expect(all.filter((one) => one !== undefined)).toEqual([principal])
      }
    })

    test('W4: of a key stands for the key as it is now, and for none that is revoked', async () => {
      await using at = await start(kind)
      const { keys, tickets } = at.stores
      const { id: tenant } = await userNamed(at, 'ann')
      const { id } = await keys.create(tenant, aKey({ digest: 'd' }))
      const agent = await keys.findByDigest('d')
      if (!agent) throw new Error('there is no such key')
      await tickets.issue('one', agent, 30)
      await tickets.issue('two', agent, 30)
      expect(await tickets.redeem('one')).toEqual(agent)
      await keys.revoke(tenant, id)
      expect(await tickets.redeem('two')).toBeUndefined()
    })

    test('whose time is over stands for nobody', async () => {
      await using at = await start(kind)
      await at.stores.tickets.issue('late', LOCAL, -1)
      expect(await at.stores.tickets.redeem('late')).toBeUndefined()
      expect(await at.stores.tickets.redeem('never')).toBeUndefined()
    })
  })
}

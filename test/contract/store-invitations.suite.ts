import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { Audience } from '../../src/core/request.ts'
import { approval, TENANT } from '../support/builders.ts'
import { type Started, type StoreKind, start, times } from './store-harness.ts'

/** A session that has nobody to ask yet, and a code by which somebody joins it. */
async function invited(at: Started, approvers: readonly string[] = []): Promise<string> {
  const reviewers = approvers.length > 0 ? { telegram: { address: null, approvers } } : {}
  await at.session({ reviewers })
  return at.stores.invitations.create(TENANT, 'session-1', 'telegram', 600)
}

const NOBODY = () => [{ channel: 'telegram', failure: 'nobody has joined yet' }]

const telegram = (session: { reviewers: Readonly<Record<string, Audience>> } | undefined) =>
  session?.reviewers['telegram']

export function invitationContract(kind: StoreKind): void {
  describe('invitations', () => {
    test('a code is 128 random bits, and the database has only its digest', async () => {
      await using at = await start(kind)
      const code = await invited(at)
      expect(code).toMatch(/^[\w-]{22}$/)
      expect(Buffer.from(code, 'base64url')).toHaveLength(16)
      const { rows } = await sql<{ stored: string }>`
        SELECT invitations::text AS stored FROM invitations`.execute(at.db)
      expect(rows).toHaveLength(1)
      expect(rows[0]?.stored).not.toContain(code)
    })

    test('who accepts is whom the session asks from now on', async () => {
      await using at = await start(kind)
      const code = await invited(at)
      const session = await at.stores.invitations.accept(code, 'telegram', '41', '7')
      expect(telegram(session)).toEqual({ address: '41', approvers: [] })
      expect(await at.stores.sessions.find(TENANT, 'session-1')).toEqual(session)
      expect((await at.ask()).request.question.reviewers).toEqual(session?.reviewers)
    })

    test('R7: what is open gets its first reviewer, and its card is owed', async () => {
      await using at = await start(kind)
      const code = await invited(at)
      const open = await at.ask({}, { plan: NOBODY })
      const settled = await at.ask({}, { plan: NOBODY })
      await at.stores.requests.settle(settled.request, approval(), 'a')
      const session = await at.stores.invitations.accept(code, 'telegram', '41', '7')
      const stored = await at.stores.requests.find(TENANT, open.request.question.id)
      expect(stored?.request).toMatchObject({
        question: { reviewers: session?.reviewers },
        // What it was told last. There is no event in between.
        ...{ state: open.request.state, cursor: open.request.cursor },
      })
      const owed = await at.stores.deliveries.claim({
        channels: ['telegram'],
        leaseMs: 60_000,
        limit: 10,
      })
      expect(owed).toMatchObject([
        { type: 'ask', audience: telegram(session), request: stored?.request },
      ])
      const sent = { channel: 'telegram', address: '41', message: 'm1' }
      const requestId = open.request.question.id
      const event = await at.stores.deliveries.delivered({ ...sent, requestId }, open.request)
      expect(event?.state.delivery).toEqual([{ channel: 'telegram', status: 'delivered' }])
      const untouched = await at.stores.requests.find(TENANT, settled.request.question.id)
      expect(untouched?.request.question).toEqual(settled.request.question)
    })

    test('what was asked while the channel was off is told of when its card is there', async () => {
      await using at = await start(kind)
      const code = await invited(at)
      const { request } = await at.ask({}, { plan: () => [] })
      await at.stores.invitations.accept(code, 'telegram', '41', '7')
      const requestId = request.question.id
      const card = { channel: 'telegram', address: '41', message: 'm1', requestId }
      const event = await at.stores.deliveries.delivered(card, request)
      expect(event?.state.delivery).toEqual([{ channel: 'telegram', status: 'delivered' }])
    })

    test('R7: what was asked stays as it was, whoever joins', async () => {
      await using at = await start(kind)
      const code = await invited(at)
      const { request } = await at.ask({ metadata: { b: 1, a: 2 } }, { plan: NOBODY })
      await at.stores.invitations.accept(code, 'telegram', '41', '7')
      const stored = await at.stores.requests.find(TENANT, request.question.id)
      const { reviewers: _, ...question } = stored?.request.question ?? request.question
      expect(request.question).toMatchObject(question)
      expect(stored?.request.state.status).toBe('pending')
    })

    test('a code is spent by the first who accepts it', async () => {
      await using at = await start(kind)
      const code = await invited(at)
      const { invitations } = at.stores
      const first = await invitations.accept(code, 'telegram', '41', '7')
      expect(await invitations.accept(code, 'telegram', '42', '8')).toBeUndefined()
      expect(await at.stores.sessions.find(TENANT, 'session-1')).toEqual(first)
    })

    test('of twenty simultaneous people one joins', async () => {
      await using at = await start(kind)
      const code = await invited(at)
      await at.warmUp()
      const joined = await Promise.all(
        times(20, (i) => at.stores.invitations.accept(code, 'telegram', `${i}`, `${i}`)),
      )
      const [session, ...others] = joined.filter((result) => result !== undefined)
      expect(others).toEqual([])
      expect(await at.stores.sessions.find(TENANT, 'session-1')).toEqual(session)
    })

    test('the same person may repeat it, and nothing changes', async () => {
      await using at = await start(kind)
      const code = await invited(at)
      await at.ask({}, { plan: NOBODY })
      const { invitations } = at.stores
      const first = await invitations.accept(code, 'telegram', '41', '7')
      const claim = { channels: ['telegram'], leaseMs: 60_000, limit: 10 }
      expect(await at.stores.deliveries.claim(claim)).toHaveLength(1)
      expect(await invitations.accept(code, 'telegram', '41', '7')).toEqual(first)
      expect(await at.stores.deliveries.claim(claim)).toEqual([])
    })

    test('the same person may repeat it also at the same time', async () => {
      await using at = await start(kind)
      const code = await invited(at)
      await at.warmUp()
      const joined = await Promise.all(
        times(20, () => at.stores.invitations.accept(code, 'telegram', '41', '7')),
      )
      const session = await at.stores.sessions.find(TENANT, 'session-1')
      for (const one of joined) expect(one).toEqual(session)
    })

    test('a code that is unknown, over, or of another channel opens nothing', async () => {
      await using at = await start(kind)
      const code = await invited(at)
      const over = await at.stores.invitations.create(TENANT, 'session-1', 'telegram', -1)
      const { accept } = at.stores.invitations
      expect(await accept('AAAAAAAAAAAAAAAAAAAAAA', 'telegram', '41', '7')).toBeUndefined()
      expect(await accept('', 'telegram', '41', '7')).toBeUndefined()
      expect(await accept(over, 'telegram', '41', '7')).toBeUndefined()
      expect(await accept(code, 'slack', '41', '7')).toBeUndefined()
      expect(await accept(code, 'telegram', '41', '7')).toBeDefined()
    })

    test('V4: only those join whom the session names, and who may not does not spend the code', async () => {
      await using at = await start(kind)
      const code = await invited(at, ['7', '8'])
      const { accept } = at.stores.invitations
      expect(await accept(code, 'telegram', '41', '9')).toBeUndefined()
      expect(telegram(await accept(code, 'telegram', '41', '8'))).toEqual({
        address: '41',
        approvers: ['7', '8'],
      })
    })

    test('V4: a session that has its reviewer is not taken over by a second code', async () => {
      await using at = await start(kind)
      const code = await invited(at)
      const second = await at.stores.invitations.create(TENANT, 'session-1', 'telegram', 600)
      const { accept } = at.stores.invitations
      const session = await accept(code, 'telegram', '41', '7')
      expect(await accept(second, 'telegram', '42', '8')).toBeUndefined()
      expect(await at.stores.sessions.find(TENANT, 'session-1')).toEqual(session)
    })

    test('R8: a code opens the session of its own tenant', async () => {
      await using at = await start(kind)
      const code = await invited(at)
      const theirs = await at.session({ tenant: 'theirs' })
      const asked = await at.ask({}, { tenant: 'theirs', plan: NOBODY })
      await at.stores.invitations.accept(code, 'telegram', '41', '7')
      expect(await at.stores.sessions.find('theirs', 'session-1')).toEqual(theirs)
      const stored = await at.stores.requests.find('theirs', asked.request.question.id)
      expect(stored?.request).toEqual(asked.request)
    })

    test('accepting beside fifty commands on the same requests ends, and loses none', async () => {
      await using at = await start(kind)
      const code = await invited(at)
      const asked = await Promise.all(times(25, () => at.ask({}, { plan: NOBODY })))
      await at.warmUp()
      const results = await Promise.all([
        at.stores.invitations.accept(code, 'telegram', '41', '7'),
        ...asked.map(({ request }) => at.stores.requests.settle(request, approval(), 'a')),
        ...times(25, () => at.ask({}, { plan: NOBODY })),
      ])
      expect(results.every((result) => result !== undefined)).toBe(true)
      const events = await at.events()
      expect(events.map(({ cursor }) => cursor.seq)).toEqual(times(125, (i) => i + 1))
    })
  })
}

import { describe, expect, test } from 'vitest'
import type { Card } from '../../src/core/card.ts'
import { approval, TENANT } from '../support/builders.ts'
import { QUEUED, type Started, type StoreKind, start, times } from './store-harness.ts'

const at = (address: string) => ({ telegram: { address, approvers: ['7'] } })
const OLD = at('-1')
const NEW = at('-2')

const claim = ({ stores }: Started) =>
  stores.deliveries.claim({ channels: ['telegram'], leaseMs: 60_000, limit: 100 })

const card = (requestId: string, address: string): Card => ({
  requestId,
  channel: 'telegram',
  address,
  message: 'm1',
})

async function asked(db: Started, over: object = {}) {
  await db.session({ reviewers: OLD })
  return (await db.ask(over, { plan: QUEUED })).request
}

export function addressContract(kind: StoreKind): void {
  describe('an address that moved', () => {
    test('R7: takes its sessions and what is open along, whose cards are owed anew', async () => {
      await using db = await start(kind)
      const { addresses, deliveries, sessions, requests } = db.stores
      const [open, settled] = [await asked(db), await asked(db)]
      await claim(db)
      await deliveries.delivered(card(open.question.id, '-1'), open)
      await requests.settle(settled, approval(), 'a')
      await addresses.move('telegram', '-1', '-2')
      expect(await sessions.find(TENANT, 'session-1')).toMatchObject({ reviewers: NEW })
      const find = async (id: string) => (await requests.find(TENANT, id))?.request
      expect((await find(open.question.id))?.question.reviewers).toEqual(NEW)
      expect((await find(settled.question.id))?.question.reviewers).toEqual(OLD)
      const owed = await claim(db)
      expect(owed).toMatchObject([{ type: 'ask', audience: NEW.telegram, attempt: 1 }])
      const [first] = owed
      if (!first) expect.fail('a card was owed')
      // It was told that somebody was asked, and that is still so.
      const again = card(open.question.id, '-2')
      expect(await deliveries.delivered(again, first.request)).toBeUndefined()
      await requests.settle(open, approval(), 'a')
      expect(await claim(db)).toMatchObject([{ type: 'settle', card: again }])
    })

    test('is asked also when asking had failed', async () => {
      await using db = await start(kind)
      const request = await asked(db)
      const [owed] = await claim(db)
      if (owed?.type !== 'ask') expect.fail('a card was owed')
      await db.stores.deliveries.undelivered(owed, 'the group is gone')
      await db.stores.addresses.move('telegram', '-1', '-2')
      const { state } = await newest(db, request.question.id)
      expect(state.delivery).toMatchObject([{ status: 'failed', error: 'the group is gone' }])
      const [again] = await claim(db)
      expect(again).toMatchObject({ type: 'ask', audience: NEW.telegram })
      const there = card(request.question.id, '-2')
      expect(await db.stores.deliveries.delivered(there, again?.request ?? request)).toMatchObject({
        type: 'request.delivered',
        state: { delivery: [{ channel: 'telegram', status: 'delivered' }] },
      })
    })

    test('is known by all its earlier ones, and others are as they are', async () => {
      await using db = await start(kind)
      const { addresses } = db.stores
      await addresses.move('telegram', '-1', '-2')
      await addresses.move('telegram', '-2', '-3')
      expect(await addresses.current(OLD)).toEqual(at('-3'))
      expect(await addresses.current(NEW)).toEqual(at('-3'))
      for (const same of [at('-3'), at('-9'), { slack: OLD.telegram }, {}]) {
        expect(await addresses.current(same)).toEqual(same)
      }
      const unknown = { telegram: { address: null, approvers: [] } }
      expect(await addresses.current(unknown)).toEqual(unknown)
    })

    test('changes nothing when it moves again the same way, and never runs in circles', async () => {
      await using db = await start(kind)
      await asked(db)
      const { addresses } = db.stores
      for (let i = 0; i < 3; i++) await addresses.move('telegram', '-1', '-2')
      await addresses.move('telegram', '-2', '-2')
      expect(await claim(db)).toHaveLength(1)
      expect(await addresses.current(OLD)).toEqual(NEW)
      await addresses.move('telegram', '-2', '-1')
      expect(await addresses.current(NEW)).toEqual(OLD)
      expect(await addresses.current(OLD)).toEqual(OLD)
    })

    test('moves while it is decided there, without a deadlock', async () => {
      await using db = await start(kind)
      await db.session({ reviewers: OLD })
      const all = await Promise.all(times(10, () => db.ask({}, { plan: QUEUED })))
      await db.warmUp()
      await Promise.all([
        ...all.map(({ request }) => db.stores.requests.settle(request, approval(), 'a')),
        ...times(5, () => db.stores.addresses.move('telegram', '-1', '-2')),
      ])
      expect(await db.stores.requests.listPending(TENANT)).toEqual([])
    })
  })

  describe('an address where nobody can be asked', () => {
    test('V3: fails what is open there, asked or still to be asked, once, and nothing else', async () => {
      await using db = await start(kind)
      const [queued, delivered, settled] = [await asked(db), await asked(db), await asked(db)]
      await db.stores.deliveries.delivered(card(delivered.question.id, '-1'), delivered)
      await db.stores.requests.settle(settled, approval(), 'a')
      await db.session({ id: 'session-2', reviewers: NEW })
      await db.ask({ sessionId: 'session-2' }, { plan: QUEUED })
      const gone = () => db.stores.addresses.unreachable('telegram', '-1', 'blocked')
      const failed = [{ channel: 'telegram', status: 'failed', error: 'blocked' }]
      const events = await gone()
      const ids = events.map(({ question }) => question.id)
      expect(ids.sort()).toEqual([queued.question.id, delivered.question.id].sort())
      for (const { type, state } of events) {
        expect([type, state.delivery]).toEqual(['request.undelivered', failed])
      }
      expect(await gone()).toEqual([])
      expect(await claim(db)).toMatchObject([
        { type: 'ask', request: { question: { sessionId: 'session-2' } } },
      ])
    })

    test('owes its cards again once somebody is there, and tells only when they are', async () => {
      await using db = await start(kind)
      const [open, settled] = [await asked(db), await asked(db)]
      await db.stores.deliveries.delivered(card(open.question.id, '-1'), open)
      const { addresses } = db.stores
      await addresses.unreachable('telegram', '-1', 'blocked')
      await db.stores.requests.settle(settled, approval(), 'a')
      expect(await addresses.reachable('telegram', '-9')).toBe(false)
      expect(await addresses.reachable('telegram', '-1')).toBe(true)
      expect(await addresses.reachable('telegram', '-1')).toBe(false)
      await newest(db, open.question.id)
      const [owed, ...others] = await claim(db)
      expect(others).toEqual([])
      expect(owed).toMatchObject({ type: 'ask', attempt: 1, request: { question: open.question } })
      const again = { ...card(open.question.id, '-1'), message: 'm2' }
      expect(await db.stores.deliveries.delivered(again, open)).toMatchObject({
        type: 'request.delivered',
      })
    })
  })
}

/** The request, which is as its newest event says: nothing changes without one. */
async function newest({ stores }: Started, id: string) {
  const found = await stores.requests.find(TENANT, id)
  if (!found) expect.fail('the request is there')
  const { question, cursor, state } = found.request
  const target = { tenant: TENANT, sessionId: question.sessionId }
  const { events } = await stores.log.read(target, cursor.seq - 1, 1)
  expect(events).toMatchObject([{ cursor, state }])
  return found.request
}

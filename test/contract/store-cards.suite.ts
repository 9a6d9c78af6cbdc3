import { describe, expect, test } from 'vitest'
import type { Card } from '../../src/core/card.ts'
import { approval, TENANT } from '../support/builders.ts'
import { type StoreKind, start } from './store-harness.ts'

const REVIEWERS = { telegram: { address: '41', approvers: ['7'] } }

const card = (requestId: string, over: Partial<Card> = {}): Card => ({
  requestId,
  channel: 'telegram',
  address: '41',
  message: 'm1',
  ...over,
})

export function cardContract(kind: StoreKind): void {
  describe('cards', () => {
    test('a card says whose it is: this request’s, another one’s, or not known', async () => {
      await using at = await start(kind)
      await at.session({ reviewers: REVIEWERS })
      const [mine, other] = [await at.ask(), await at.ask()].map(({ request }) => request)
      const id = mine?.question.id ?? ''
      const { cards } = at.stores
      const found = async (over: Partial<Card> = {}) => cards.find(card(id, over))
      expect(await found()).toEqual({
        request: mine,
        settledBy: null,
        reviewers: REVIEWERS,
        belongsTo: 'unknown',
      })
      await cards.adopt(card(id))
      expect(await found()).toMatchObject({ belongsTo: 'this' })
      await cards.adopt(card(other?.question.id ?? '', { message: 'm2' }))
      expect(await found({ message: 'm2' })).toMatchObject({ request: mine, belongsTo: 'another' })
      expect(await found({ message: 'm3' })).toMatchObject({ belongsTo: 'unknown' })
      expect(await found({ address: '42' })).toMatchObject({ belongsTo: 'unknown' })
    })

    test('a card knows the reviewers as they are now, beside those that were asked', async () => {
      await using at = await start(kind)
      await at.session({ reviewers: REVIEWERS })
      const { request } = await at.ask()
      const now = { telegram: { address: '43', approvers: [] } }
      await at.stores.sessions.setReviewers(TENANT, 'session-1', now)
      expect(await at.stores.cards.find(card(request.question.id))).toMatchObject({
        request: { question: { reviewers: REVIEWERS } },
        reviewers: now,
      })
    })

    test('a card of a settled request says how, and by whom', async () => {
      await using at = await start(kind)
      await at.session({ reviewers: REVIEWERS })
      const { request } = await at.ask()
      await at.stores.requests.settle(request, approval(), 'person:telegram:7')
      expect(await at.stores.cards.find(card(request.question.id))).toMatchObject({
        settledBy: 'person:telegram:7',
        request: { state: { outcome: 'approved' } },
      })
    })

    test('a card that claims to be of what nothing has is not found', async () => {
      await using at = await start(kind)
      const unknown = '00000000-0000-4000-8000-000000000000'
      expect(await at.stores.cards.find(card(unknown))).toBeUndefined()
    })

    test('a card that claims to be of what can not be an id is not found', async () => {
      await using at = await start(kind)
      expect(await at.stores.cards.find(card('nonsense'))).toBeUndefined()
    })

    test('a message is found by where it is', async () => {
      await using at = await start(kind)
      await at.session({ reviewers: REVIEWERS })
      const { request } = await at.ask()
      const { cards } = at.stores
      expect(await cards.at('telegram', '41', 'm1')).toBeUndefined()
      await cards.adopt(card(request.question.id))
      expect(await cards.at('telegram', '41', 'm1')).toBe(request.question.id)
      expect(await cards.at('slack', '41', 'm1')).toBeUndefined()
      expect(await cards.at('telegram', '42', 'm1')).toBeUndefined()
    })

    test('a card is adopted once, and never taken from the request it is of', async () => {
      await using at = await start(kind)
      await at.session({ reviewers: REVIEWERS })
      const [mine, other] = [await at.ask(), await at.ask()].map(
        ({ request }) => request.question.id,
      )
      const { cards } = at.stores
      await cards.adopt(card(mine ?? ''))
      await cards.adopt(card(mine ?? ''))
      await cards.adopt(card(other ?? ''))
      expect(await cards.at('telegram', '41', 'm1')).toBe(mine)
    })

    test('an adopted card owes its outcome like any other', async () => {
      await using at = await start(kind)
      await at.session({ reviewers: REVIEWERS })
      const { request } = await at.ask()
      await at.stores.cards.adopt(card(request.question.id))
      await at.stores.requests.settle(request, approval(), 'person:telegram:7')
      const owed = await at.stores.deliveries.claim({
        channels: ['telegram'],
        leaseMs: 1_000,
        limit: 10,
      })
      expect(owed).toMatchObject([{ type: 'settle', card: card(request.question.id) }])
    })

    test('what is open at an address is listed oldest first, of every tenant that asks there', async () => {
      await using at = await start(kind)
      await at.session({ reviewers: REVIEWERS })
      await at.session({ tenant: 'theirs', reviewers: REVIEWERS })
      const elsewhere = { telegram: { address: '42', approvers: [] } }
      await at.session({ id: 'session-2', reviewers: elsewhere })
      await at.ask({ sessionId: 'session-2' })
      const first = await at.ask()
      const settled = await at.ask()
      await at.stores.requests.settle(settled.request, approval(), 'a')
      const third = await at.ask({}, { tenant: 'theirs' })
      const { cards } = at.stores
      const ids = (await cards.open('telegram', '41', 10)).map(({ question }) => question.id)
      const expected = [first, third].map(({ request }) => request.question.id)
      // Created within one millisecond, two may stand in either order.
      expect(ids.sort()).toEqual(expected.sort())
      expect(await cards.open('telegram', '41', 1)).toHaveLength(1)
      expect(await cards.open('slack', '41', 10)).toEqual([])
    })

    test('the sessions that ask at an address are listed, of every tenant', async () => {
      await using at = await start(kind)
      const ours = await at.session({ reviewers: REVIEWERS })
      const theirs = await at.session({ tenant: 'theirs', reviewers: REVIEWERS })
      await at.session({ id: 'session-2' })
      const { cards } = at.stores
      const found = await cards.sessions('telegram', '41', 10)
      expect(found).toHaveLength(2)
      expect(found).toEqual(expect.arrayContaining([ours, theirs]))
      expect(await cards.sessions('telegram', '41', 1)).toHaveLength(1)
      expect(await cards.sessions('telegram', '42', 10)).toEqual([])
    })
  })
}

import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { Owed } from '../../src/core/card.ts'
import type { HitlRequest } from '../../src/core/request.ts'
import { approval } from '../support/builders.ts'
import { QUEUED, type Started, type StoreKind, start, times } from './store-harness.ts'

const REVIEWERS = { telegram: { address: '41', approvers: [] } }
const MAX_MS = 150_000

const touch = (at: Started, name = 'bot 1') => at.stores.contacts.touch('telegram', name, MAX_MS)

const silentFor = (at: Started, seconds: number) =>
  sql`UPDATE contacts SET at = at - make_interval(secs => ${seconds})`.execute(at.db)

const claim = (at: Started) =>
  at.stores.deliveries.claim({ channels: ['telegram'], leaseMs: 60_000, limit: 100 })

async function rearm(at: Started) {
  const [owed] = await claim(at)
  if (owed?.type !== 'rearm') expect.fail('a word about the silence was owed')
  return owed
}

const everythingIsDue = (at: Started) =>
  sql`UPDATE cards SET due_at = clock_timestamp()`.execute(at.db)

const typesOf = (owed: readonly Owed[]) => owed.map(({ type }) => type)

/** A request with a card, and Telegram was heard. */
async function carded(at: Started, over: object = {}): Promise<HitlRequest> {
  await at.session({ reviewers: REVIEWERS })
  const { request } = await at.ask(over, { plan: QUEUED })
  await claim(at)
  const card = { requestId: request.question.id, channel: 'telegram', address: '41', message: 'm1' }
  await at.stores.deliveries.delivered(card, request)
  await touch(at)
  return request
}

export function contactContract(kind: StoreKind): void {
  describe('after a silence', () => {
    test('that was long, V2: an open card with options owes a word about it, once', async () => {
      await using at = await start(kind)
      const request = await carded(at)
      await silentFor(at, 200)
      const away = await touch(at)
      const { from, to } = away ?? expect.fail('it was silent')
      expect(to.getTime() - from.getTime()).toBeGreaterThanOrEqual(200_000)
      const owed = await rearm(at)
      expect(owed).toMatchObject({ away, attempt: 1, card: { message: 'm1' } })
      expect(owed.request.question).toEqual(request.question)
      expect(await claim(at)).toEqual([])
      await at.stores.deliveries.rearmed(owed)
      expect(await claim(at)).toEqual([])
      expect(await touch(at)).toBeUndefined()
    })

    test('that was short, or of another name, nothing is owed', async () => {
      await using at = await start(kind)
      await carded(at)
      await silentFor(at, 100)
      expect(await touch(at)).toBeUndefined()
      await silentFor(at, 200)
      expect(await touch(at, 'bot 2')).toBeUndefined()
      expect(await claim(at)).toEqual([])
    })

    test('of forty processes at once one notices it', async () => {
      await using at = await start(kind)
      await carded(at)
      await silentFor(at, 200)
      await at.warmUp()
      const found = await Promise.all(times(40, () => touch(at)))
      expect(found.filter((away) => away !== undefined)).toHaveLength(1)
    })

    test('V2: a word that could not be said is still owed, and a settled card owes its outcome', async () => {
      await using at = await start(kind)
      const request = await carded(at)
      await silentFor(at, 200)
      await touch(at)
      await rearm(at)
      await everythingIsDue(at)
      expect(await rearm(at)).toMatchObject({ attempt: 2 })
      await everythingIsDue(at)
      await at.stores.requests.settle(request, approval(), 'a')
      expect(typesOf(await claim(at))).toEqual(['settle'])
    })

    test('the outcome of what was settled while the word was said is owed at once', async () => {
      await using at = await start(kind)
      const request = await carded(at)
      await silentFor(at, 200)
      await touch(at)
      const owed = await rearm(at)
      await at.stores.requests.settle(request, approval(), 'a')
      expect(await claim(at)).toEqual([])
      await at.stores.deliveries.rearmed(owed)
      expect(typesOf(await claim(at))).toEqual(['settle'])
    })

    test('a second one while the word about the first is said is still to be told', async () => {
      await using at = await start(kind)
      await carded(at)
      await silentFor(at, 200)
      await touch(at)
      const first = await rearm(at)
      await silentFor(at, 200)
      const second = await touch(at)
      await at.stores.deliveries.rearmed(first)
      expect(await rearm(at)).toMatchObject({ away: second })
    })

    test('a question in text owes no word: replies are kept', async () => {
      await using at = await start(kind)
      await carded(at, { options: [], type: 'confirmation' })
      await silentFor(at, 200)
      expect(await touch(at)).toBeDefined()
      expect(await claim(at)).toEqual([])
    })
  })

  describe('what was not tried', () => {
    test('is due again after the delay, as the same attempt', async () => {
      await using at = await start(kind)
      await at.session({ reviewers: REVIEWERS })
      await at.ask({}, { plan: QUEUED })
      const [owed] = await claim(at)
      if (!owed) expect.fail('a card was owed')
      await at.stores.deliveries.postpone(owed, 60_000)
      expect(await claim(at)).toEqual([])
      await at.stores.deliveries.postpone(owed, 0)
      expect(await claim(at)).toMatchObject([{ type: 'ask', attempt: 1 }])
    })
  })
}

import { describe, expect, test } from 'vitest'
import type { Card, Owed } from '../../src/core/card.ts'
import type { HitlRequest } from '../../src/core/request.ts'
import { approval } from '../support/builders.ts'
import { QUEUED, type Started, type StoreKind, start } from './store-harness.ts'

const REVIEWERS = { telegram: { address: '41', approvers: ['7'] } }

const cardOf = ({ question }: HitlRequest): Card => ({
  requestId: question.id,
  channel: 'telegram',
  address: '41',
  message: 'm1',
})

async function asked(at: Started): Promise<HitlRequest> {
  await at.session({ reviewers: REVIEWERS })
  return (await at.ask({}, { plan: QUEUED })).request
}

async function claimed(at: Started): Promise<Owed> {
  const [owed] = await at.stores.deliveries.claim({
    channels: ['telegram'],
    leaseMs: 60_000,
    limit: 1,
  })
  if (!owed) expect.fail('something was owed')
  return owed
}

async function sent(at: Started): Promise<HitlRequest> {
  const request = await asked(at)
  await claimed(at)
  await at.stores.deliveries.delivered(cardOf(request), request)
  return request
}

async function settled(at: Started): Promise<HitlRequest> {
  const request = await sent(at)
  await at.stores.requests.settle(request, approval(), 'a')
  return request
}

const look = async (at: Started, { question }: HitlRequest) => ({
  work: await at.stores.deliveries.list(question.id),
  count: await at.stores.deliveries.count(),
})

const ASK = { type: 'ask', channel: 'telegram', attempts: 1, error: null, nextAttemptAt: null }
const DONE = { ...ASK, status: 'done' }
const SETTLE = { ...ASK, type: 'settle' }

export function cardWorkContract(kind: StoreKind): void {
  describe('what became of cards', () => {
    test('a card that is owed says so, and when it is tried', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      expect(await look(at, request)).toEqual({
        work: [{ ...ASK, status: 'owed', attempts: 0, nextAttemptAt: expect.any(Date) }],
        count: { owed: 1, failed: 0 },
      })
    })

    test('a failed attempt is counted, with its error, until a later one succeeds', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      const owed = await claimed(at)
      await at.stores.deliveries.retry(owed, 60_000, 'Telegram is away')
      const { work } = await look(at, request)
      expect(work).toMatchObject([{ status: 'owed', attempts: 1, error: 'Telegram is away' }])
      const inMs = (work[0]?.nextAttemptAt?.getTime() ?? 0) - Date.now()
      expect(inMs).toBeGreaterThan(30_000)
      expect(inMs).toBeLessThan(90_000)
      await at.stores.deliveries.delivered(cardOf(request), request)
      expect(await look(at, request)).toEqual({
        work: [DONE, { ...SETTLE, status: 'waiting', attempts: 0 }],
        count: { owed: 0, failed: 0 },
      })
    })

    test('what was not tried is no attempt, and keeps the error of the last one', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      await at.stores.deliveries.retry(await claimed(at), 0, 'Telegram is away')
      await at.stores.deliveries.postpone(await claimed(at), 60_000)
      expect((await look(at, request)).work).toMatchObject([
        { status: 'owed', attempts: 1, error: 'Telegram is away' },
      ])
    })

    test('a card that could not be sent for good is failed', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      const owed = await claimed(at)
      if (owed.type !== 'ask') expect.fail('a card was owed')
      await at.stores.deliveries.undelivered(owed, 'the bot was blocked')
      expect(await look(at, request)).toEqual({
        work: [{ ...ASK, status: 'failed', error: 'the bot was blocked' }],
        count: { owed: 0, failed: 1 },
      })
    })

    test('a card that nobody needs any more is skipped', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      await at.stores.requests.settle(request, approval(), 'a')
      expect(await look(at, request)).toEqual({
        work: [{ ...ASK, status: 'skipped', attempts: 0 }],
        count: { owed: 0, failed: 0 },
      })
    })

    test('an outcome that is owed, retried and shown', async () => {
      await using at = await start(kind)
      const request = await settled(at)
      expect(await look(at, request)).toMatchObject({
        work: [DONE, { ...SETTLE, status: 'owed', attempts: 0, nextAttemptAt: expect.any(Date) }],
        count: { owed: 1, failed: 0 },
      })
      await at.stores.deliveries.retry(await claimed(at), 0, 'Telegram is away')
      expect((await look(at, request)).work[1]).toMatchObject({
        ...{ status: 'owed', attempts: 1, error: 'Telegram is away' },
      })
      await claimed(at)
      await at.stores.deliveries.closed(cardOf(request))
      expect(await look(at, request)).toEqual({
        work: [DONE, { ...SETTLE, status: 'done', attempts: 2 }],
        count: { owed: 0, failed: 0 },
      })
    })

    test('an outcome that can not be shown is failed, and why', async () => {
      await using at = await start(kind)
      const request = await settled(at)
      await claimed(at)
      await at.stores.deliveries.closed(cardOf(request), 'the chat is gone')
      expect(await look(at, request)).toEqual({
        work: [DONE, { ...SETTLE, status: 'failed', error: 'the chat is gone' }],
        count: { owed: 0, failed: 1 },
      })
    })

    test('a word about a silence is owed by an open card', async () => {
      await using at = await start(kind)
      const request = await sent(at)
      await at.db
        .updateTable('cards')
        .set({ away_from: new Date(0), away_to: new Date(200_000) })
        .execute()
      expect(await look(at, request)).toMatchObject({
        work: [DONE, { type: 'rearm', status: 'owed', nextAttemptAt: expect.any(Date) }],
        count: { owed: 1, failed: 0 },
      })
      const owed = await claimed(at)
      if (owed.type !== 'rearm') expect.fail('a word was owed')
      await at.stores.deliveries.rearmed(owed)
      expect((await look(at, request)).work[1]).toMatchObject({ type: 'settle', status: 'waiting' })
    })
  })
}

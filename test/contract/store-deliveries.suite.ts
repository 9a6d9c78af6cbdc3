import { type Kysely, sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { Card, Owed, OwedAsk } from '../../src/core/card.ts'
import type { HitlRequest } from '../../src/core/request.ts'
import type { Tables } from '../../src/storage/schema.ts'
import { approval, overdue, TENANT } from '../support/builders.ts'
import { QUEUED, type Started, type StoreKind, start, times } from './store-harness.ts'

const REVIEWERS = { telegram: { address: '41', approvers: ['7'] } }

const claim = (at: Started, over: object = {}) =>
  at.stores.deliveries.claim({ channels: ['telegram'], leaseMs: 60_000, limit: 100, ...over })

const cardOf = ({ question }: HitlRequest, message = 'm1'): Card => ({
  requestId: question.id,
  channel: 'telegram',
  address: '41',
  message,
})

/** A request whose card is owed. */
async function asked(at: Started): Promise<HitlRequest> {
  await at.session({ reviewers: REVIEWERS })
  return (await at.ask({}, { plan: QUEUED })).request
}

async function claimed(at: Started): Promise<OwedAsk> {
  const [owed] = await claim(at)
  if (owed?.type !== 'ask') expect.fail('a card was owed')
  return owed
}

/** The leases of everything are over. */
async function leasesEnd(db: Kysely<Tables>): Promise<void> {
  for (const table of ['deliveries', 'cards'] as const) {
    await sql`UPDATE ${sql.table(table)} SET due_at = clock_timestamp()`.execute(db)
  }
}

/** The database refuses to write events until the returned function is called. */
async function refuseEvents(db: Kysely<Tables>): Promise<() => Promise<unknown>> {
  await sql`CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN RAISE EXCEPTION ''refused''; END'`.execute(db)
  await sql`CREATE TRIGGER refuse BEFORE INSERT ON events
    FOR EACH ROW EXECUTE FUNCTION refuse()`.execute(db)
  return () => sql`DROP TRIGGER refuse ON events`.execute(db)
}

const typesOf = (owed: readonly Owed[]) => owed.map(({ type }) => type)

export function deliveryContract(kind: StoreKind): void {
  describe('cards that are owed', () => {
    test('V2: a request owes a card to each channel that can ask, with its audience and the first attempt', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      expect(await claim(at)).toEqual([
        { type: 'ask', channel: 'telegram', audience: REVIEWERS.telegram, request, attempt: 1 },
      ])
    })

    test('what is claimed is nobody else’s until its lease ends, and is the next attempt then', async () => {
      await using at = await start(kind)
      await asked(at)
      await claimed(at)
      expect(await claim(at)).toEqual([])
      await leasesEnd(at.db)
      expect(await claimed(at)).toMatchObject({ attempt: 2 })
    })

    test('a lease lasts as long as was asked for', async () => {
      await using at = await start(kind)
      await asked(at)
      await claim(at, { leaseMs: 90_000 })
      const { rows } = await sql<{ seconds: number }>`
        SELECT extract(epoch FROM due_at - clock_timestamp())::float8 AS seconds
        FROM deliveries`.execute(at.db)
      expect(rows[0]?.seconds).toBeGreaterThan(80)
      expect(rows[0]?.seconds).toBeLessThanOrEqual(90)
    })

    test('P2: of twenty simultaneous claims each card is taken by one', async () => {
      await using at = await start(kind)
      await at.session({ reviewers: REVIEWERS })
      for (const _ of times(10, (i) => i)) await at.ask({}, { plan: QUEUED })
      await at.warmUp()
      const claims = await Promise.all(times(20, () => claim(at, { limit: 3 })))
      const ids = claims.flat().map(({ request }) => request.question.id)
      expect(new Set(ids).size).toBe(ids.length)
      const rest = await claim(at)
      expect(ids.length + rest.length).toBe(10)
    })

    test('no more is claimed than the limit says', async () => {
      await using at = await start(kind)
      await at.session({ reviewers: REVIEWERS })
      for (const _ of times(3, (i) => i)) await at.ask({}, { plan: QUEUED })
      expect(await claim(at, { limit: 2 })).toHaveLength(2)
      expect(await claim(at, { limit: 2 })).toHaveLength(1)
    })

    test('only what the named request owes is claimed, when one is named', async () => {
      await using at = await start(kind)
      const first = await asked(at)
      const second = (await at.ask({}, { plan: QUEUED })).request
      const requestId = second.question.id
      expect((await claim(at, { requestId })).map(({ request }) => request)).toEqual([second])
      expect((await claim(at)).map(({ request }) => request)).toEqual([first])
    })

    test('only the channels that are on are claimed', async () => {
      await using at = await start(kind)
      await asked(at)
      expect(await claim(at, { channels: ['slack'] })).toEqual([])
      expect(await claim(at, { channels: [] })).toEqual([])
      expect(await claim(at, { channels: ['slack', 'telegram'] })).toHaveLength(1)
    })

    test('a request that is settled, or whose time is over, is not asked any more', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      await at.ask(overdue, { plan: QUEUED })
      await at.stores.requests.settle(request, approval(), 'a')
      expect(await claim(at)).toEqual([])
    })
  })

  describe('cards that are sent', () => {
    test('V3: that a card is there is said once, and stands in the request', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      const owed = await claimed(at)
      const event = await at.stores.deliveries.delivered(cardOf(request), owed.request)
      expect(event).toMatchObject({
        type: 'request.delivered',
        cursor: { seq: 2 },
        state: { status: 'pending', delivery: [{ channel: 'telegram', status: 'delivered' }] },
      })
      const stored = await at.stores.requests.find(TENANT, request.question.id)
      expect(stored?.request).toMatchObject({ cursor: event?.cursor, state: event?.state })
      const again = await at.stores.deliveries.delivered(cardOf(request, 'm2'), owed.request)
      expect(again).toBeUndefined()
      await leasesEnd(at.db)
      expect(await claim(at)).toEqual([])
    })

    test('V3: of several who find in their own words that nobody was asked, one is an event', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      const owed = await claimed(at)
      await at.stores.deliveries.delivered(cardOf(request), request)
      await at.warmUp()
      const events = await Promise.all(
        times(10, (i) => at.stores.deliveries.undelivered(owed, `the bot was blocked, said ${i}`)),
      )
      expect(events.filter((event) => event !== undefined)).toHaveLength(1)
      expect(await at.events()).toHaveLength(3)
    })

    test('V3: that nobody was asked is said once, and why', async () => {
      await using at = await start(kind)
      await asked(at)
      const owed = await claimed(at)
      const event = await at.stores.deliveries.undelivered(owed, 'the bot was blocked')
      expect(event).toMatchObject({
        type: 'request.undelivered',
        state: {
          status: 'pending',
          delivery: [{ channel: 'telegram', status: 'failed', error: 'the bot was blocked' }],
        },
      })
      expect(await at.stores.deliveries.undelivered(owed, 'the bot was blocked')).toBeUndefined()
      await leasesEnd(at.db)
      expect(await claim(at)).toEqual([])
    })

    test('two channels are told of one by one, in the order they were planned', async () => {
      await using at = await start(kind)
      const reviewers = { ...REVIEWERS, slack: { address: 'C1', approvers: [] } }
      await at.session({ reviewers })
      const { request } = await at.ask(
        {},
        { plan: () => [{ channel: 'slack' }, { channel: 'telegram' }] },
      )
      const owed = await claim(at, { channels: ['telegram', 'slack'] })
      expect(owed).toHaveLength(2)
      const event = await at.stores.deliveries.delivered(cardOf(request), request)
      expect(event?.state.delivery).toEqual([
        { channel: 'slack', status: 'queued' },
        { channel: 'telegram', status: 'delivered' },
      ])
    })

    test('of twenty simultaneous confirmations one is an event', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      await claimed(at)
      await at.warmUp()
      const events = await Promise.all(
        times(20, (i) => at.stores.deliveries.delivered(cardOf(request, `m${i}`), request)),
      )
      expect(events.filter((event) => event !== undefined)).toHaveLength(1)
      expect(await at.events()).toHaveLength(2)
    })

    test('a failed attempt is due again after the delay, and not before', async () => {
      await using at = await start(kind)
      await asked(at)
      const owed = await claimed(at)
      await at.stores.deliveries.retry(owed, 60_000, 'Telegram is away')
      expect(await claim(at)).toEqual([])
      await at.stores.deliveries.retry(owed, 0, 'Telegram is away')
      expect(await claimed(at)).toMatchObject({ attempt: 2 })
    })

    test('L1, V2: when the event of a sent card can not be written, the card is still owed', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      const owed = await claimed(at)
      const mend = await refuseEvents(at.db)
      await expect(at.stores.deliveries.delivered(cardOf(request), owed.request)).rejects.toThrow(
        'refused',
      )
      await mend()
      await leasesEnd(at.db)
      expect(typesOf(await claim(at))).toEqual(['ask'])
    })

    test('L1, V2: when the event of a failed card can not be written, the failure is still owed', async () => {
      await using at = await start(kind)
      await asked(at)
      const owed = await claimed(at)
      const mend = await refuseEvents(at.db)
      await expect(at.stores.deliveries.undelivered(owed, 'blocked')).rejects.toThrow('refused')
      await mend()
      await leasesEnd(at.db)
      expect(typesOf(await claim(at))).toEqual(['ask'])
    })
  })

  describe('cards of what is settled', () => {
    test('V2: each card owes its outcome once the request is settled, and not before', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      await claimed(at)
      for (const message of ['m1', 'm2']) {
        await at.stores.deliveries.delivered(cardOf(request, message), request)
      }
      expect(await claim(at)).toEqual([])
      await at.stores.requests.settle(request, approval(), 'a')
      const stored = await at.stores.requests.find(TENANT, request.question.id)
      const owed = await claim(at)
      expect(owed.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)))).toEqual(
        ['m1', 'm2'].map((message) => ({
          type: 'settle',
          channel: 'telegram',
          card: cardOf(request, message),
          request: stored?.request,
          attempt: 1,
        })),
      )
      expect(await claim(at)).toEqual([])
    })

    test('a card that shows the outcome owes nothing', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      await claimed(at)
      await at.stores.deliveries.delivered(cardOf(request), request)
      await at.stores.requests.settle(request, approval(), 'a')
      await claim(at)
      await at.stores.deliveries.closed(cardOf(request))
      await leasesEnd(at.db)
      expect(await claim(at)).toEqual([])
    })

    test('V2: a card that arrived after the request was settled owes its outcome as well', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      await claimed(at)
      await at.stores.requests.settle(request, approval(), 'a')
      expect(await at.stores.deliveries.delivered(cardOf(request), request)).toBeUndefined()
      const owed = await claim(at, { requestId: request.question.id })
      expect(typesOf(owed)).toEqual(['settle'])
    })

    test('an outcome that could not be shown is tried again after the delay', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      await claimed(at)
      await at.stores.deliveries.delivered(cardOf(request), request)
      await at.stores.requests.settle(request, approval(), 'a')
      const [owed] = await claim(at)
      if (!owed) expect.fail('an outcome was owed')
      await at.stores.deliveries.retry(owed, 60_000, 'Telegram is away')
      expect(await claim(at)).toEqual([])
      await at.stores.deliveries.retry(owed, 0, 'Telegram is away')
      expect(await claim(at)).toMatchObject([{ type: 'settle', attempt: 2 }])
    })

    test('P2: of forty simultaneous claims each outcome is shown by one', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      await claimed(at)
      for (const i of times(20, (n) => n)) await at.stores.cards.adopt(cardOf(request, `m${i}`))
      await at.stores.requests.settle(request, approval(), 'a')
      await at.warmUp()
      const claims = await Promise.all(times(40, () => claim(at, { limit: 1 })))
      const messages = claims.flat().map((owed) => owed.type === 'settle' && owed.card.message)
      expect(new Set(messages).size).toBe(messages.length)
      expect(messages.length + (await claim(at)).length).toBe(20)
    })
  })
}

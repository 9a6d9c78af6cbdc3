import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { Target } from '../../src/core/ports.ts'
import { approval, TENANT } from '../support/builders.ts'
import { needs, type Started, type StoreKind, settled, start, times } from './store-harness.ts'

const SESSION: Target = { tenant: TENANT, sessionId: 'session-1' }
const DAYS = 30
const ALL = undefined

/** Whatever is settled by now was so that many days ago. */
async function age(at: Started, days: number): Promise<void> {
  await sql`UPDATE requests SET settled_at = settled_at - make_interval(days => ${days})
    WHERE settled_at IS NOT NULL`.execute(at.db)
}

/** What is in the log, by number. */
async function kept(at: Started, sessionId = 'session-1'): Promise<number[]> {
  const rows = await at.db
    .selectFrom('events')
    .select('seq')
    .where('session_id', '=', sessionId)
    .orderBy('seq')
    .execute()
  return rows.map(({ seq }) => seq)
}

const recovered = async (at: Started, since: Parameters<typeof at.stores.log.locate>[1]) =>
  (await at.stores.log.locate(SESSION, since)).recovered

export function pruningContract(kind: StoreKind): void {
  describe('pruning the log', () => {
    test('L6: events of what was settled longer ago are deleted, and no others', async () => {
      await using at = await start(kind)
      for (const id of ['session-1', 'session-2', 'empty']) await at.session({ id })
      await settled(at)
      await age(at, DAYS + 1)
      await settled(at)
      await settled(at, 'session-2')
      expect(await at.stores.pruning.prune(DAYS, ALL)).toEqual({ events: 2, next: undefined })
      expect([await kept(at), await kept(at, 'session-2')]).toEqual([
        [3, 4],
        [1, 2],
      ])
      expect(await at.stores.pruning.prune(DAYS, ALL)).toEqual({ events: 0, next: undefined })
    })

    test('L6: nothing is deleted from the creation of a pending request on, however old it is', async () => {
      await using at = await start(kind)
      await at.session()
      await settled(at)
      const { request } = await at.ask()
      await settled(at)
      await age(at, DAYS + 1)
      await sql`UPDATE requests SET created_at = created_at - interval '1 year'`.execute(at.db)
      await sql`UPDATE events SET at = at - interval '1 year'`.execute(at.db)
      expect(await at.stores.pruning.prune(DAYS, ALL)).toMatchObject({ events: 2 })
      expect(await kept(at)).toEqual([3, 4, 5])
      // What was asked a year ago and is settled now is kept for as long as anything else.
      await at.stores.requests.settle(request, approval(), 'a')
      expect(await at.stores.pruning.prune(DAYS, ALL)).toMatchObject({ events: 0 })
      await age(at, DAYS + 1)
      expect(await at.stores.pruning.prune(DAYS, ALL)).toMatchObject({ events: 4 })
    })

    test('L5: a cursor below what is kept is told, the one at its edge and those above are continued', async () => {
      await using at = await start(kind)
      await at.session()
      const empty = await at.stores.log.locate(SESSION, 'earliest')
      const old = await settled(at)
      await age(at, DAYS + 1)
      const young = await settled(at)
      await at.stores.pruning.prune(DAYS, ALL)
      const [first, edge] = old.events
      expect(await recovered(at, empty.cursor)).toBe(false)
      expect(await recovered(at, first?.cursor)).toBe(false)
      expect(await recovered(at, edge?.cursor)).toBe(true)
      for (const { cursor } of young.events) expect(await recovered(at, cursor)).toBe(true)
      const earliest = await at.stores.log.locate(SESSION, 'earliest')
      expect(earliest).toMatchObject({ cursor: edge?.cursor, recovered: true })
      const page = await at.stores.log.read(SESSION, earliest.cursor.seq, 100)
      expect(page.events).toEqual(young.events)
    })

    test('L5: when all is deleted, the log goes on where it was', async () => {
      await using at = await start(kind)
      await at.session()
      const { events } = await settled(at)
      await age(at, DAYS + 1)
      await at.stores.pruning.prune(DAYS, ALL)
      expect(await kept(at)).toEqual([])
      const last = events.at(-1)?.cursor
      expect(await at.stores.log.locate(SESSION, last)).toEqual({
        cursor: last,
        recovered: true,
        isAtEnd: true,
      })
      expect((await at.ask()).request.cursor.seq).toBe(3)
    })

    test('L5: who reads below what is kept is told, of a session and of a request', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await settled(at)
      await age(at, DAYS + 1)
      await at.stores.pruning.prune(DAYS, ALL)
      const target = { ...SESSION, requestId: request.question.id }
      for (const seq of [0, 1]) {
        for (const read of [SESSION, target]) {
          await expect(at.stores.log.read(read, seq, 10)).rejects.toMatchObject({
            code: 'CURSOR_GONE',
          })
        }
      }
      expect(await at.stores.log.read(SESSION, 2, 10)).toMatchObject({ events: [], seq: 2 })
      expect(await at.stores.log.locate(target, undefined)).toMatchObject({ recovered: false })
    })

    test('a reader of a restored log that is shorter than what it has read is told', async () => {
      await using at = await start(kind)
      await at.session()
      await settled(at)
      expect(await at.stores.log.read(SESSION, 2, 10)).toMatchObject({ events: [] })
      await expect(at.stores.log.read(SESSION, 3, 10)).rejects.toMatchObject({
        code: 'CURSOR_GONE',
      })
    })

    test('a batch is bounded, and the next one goes on where it ended', async () => {
      await using at = await start(kind)
      for (const id of ['a', 'b', 'c']) await at.session({ id })
      for (const id of ['a', 'b', 'c']) await multiply(at, id, 3_000)
      await age(at, DAYS + 1)
      const batches = []
      let from: Parameters<typeof at.stores.pruning.prune>[1]
      do {
        const { events, next } = await at.stores.pruning.prune(DAYS, from)
        batches.push(events)
        from = next
      } while (from)
      expect(Math.max(...batches)).toBeLessThanOrEqual(6_000)
      expect(batches.length).toBeGreaterThan(1)
      expect(batches.reduce((sum, events) => sum + events, 0)).toBe(9_000)
      for (const id of ['a', 'b', 'c']) expect(await kept(at, id)).toEqual([])
    })

    test('L6: several that prune at once, beside writers, delete each event once and hurt nobody', async () => {
      await using at = await start(kind)
      await at.warmUp()
      await at.session()
      await multiply(at, 'session-1', 1_200)
      await age(at, DAYS + 1)
      const pruners = times(4, async () => {
        let deleted = 0
        for (const _ of times(5, (i) => i)) {
          deleted += (await at.restart().pruning.prune(DAYS, ALL)).events
        }
        return deleted
      })
      const writing = Promise.all(times(6, () => settled(at)))
      const deleted = (await Promise.all(pruners)).reduce((sum, events) => sum + events, 0)
      await writing
      const rest = (await at.stores.pruning.prune(DAYS, ALL)).events
      expect(deleted + rest).toBe(1_200)
      expect(await kept(at)).toEqual(times(12, (i) => 1_201 + i))
      const { floor_seq, floor_epoch } = await at.db
        .selectFrom('sessions')
        .select(['floor_seq', 'floor_epoch'])
        .executeTakeFirstOrThrow()
      expect(await recovered(at, { seq: floor_seq, epoch: floor_epoch })).toBe(true)
      expect(floor_seq).toBe(1_200)
    })

    test('L6: a session that is being written to is passed by', async (context) => {
      needs('hold a transaction open beside another one', kind, context)
      await using at = await start(kind)
      await at.session()
      await settled(at)
      await age(at, DAYS + 1)
      await at.db.transaction().execute(async (trx) => {
        await sql`SELECT FROM sessions FOR UPDATE`.execute(trx)
        expect(await at.stores.pruning.prune(DAYS, ALL)).toMatchObject({ events: 0 })
      })
      expect(await at.stores.pruning.prune(DAYS, ALL)).toMatchObject({ events: 2 })
    })
  })
}

/** A session with so many events, of one request that is settled. */
async function multiply(at: Started, sessionId: string, events: number): Promise<void> {
  await settled(at, sessionId)
  await sql`INSERT INTO events (tenant, session_id, seq, epoch, type, request_id, at, state)
    SELECT tenant, session_id, seq + step, epoch, type, request_id, at, state
    FROM events, generate_series(1, ${events - 2}::int) AS step
    WHERE session_id = ${sessionId} AND seq = 2`.execute(at.db)
  await sql`UPDATE sessions SET seq = ${events} WHERE id = ${sessionId}`.execute(at.db)
}

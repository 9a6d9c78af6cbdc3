import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { Cursor, Since } from '../../src/core/event.ts'
import type { Target } from '../../src/core/ports.ts'
import { approval, TENANT } from '../support/builders.ts'
import { type Started, type StoreKind, settled, start, times } from './store-harness.ts'

const SESSION: Target = { tenant: TENANT, sessionId: 'session-1' }

const of = (requestId: string): Target => ({ ...SESSION, requestId })

const numbers = (events: readonly { cursor: Cursor }[]) => events.map(({ cursor }) => cursor.seq)

const cursors = (events: readonly { cursor: Cursor }[]) => events.map(({ cursor }) => cursor)

/** Puts a session back to where it was after `seq` events, as restoring a backup does. */
async function restore(at: Started, seq: number): Promise<void> {
  await at.db.deleteFrom('events').where('seq', '>', seq).execute()
  await at.db.deleteFrom('requests').where('created_seq', '>', seq).execute()
  await sql`UPDATE requests SET seq = ${seq} WHERE seq > ${seq}`.execute(at.db)
  const [row] = await at.db.selectFrom('events').select('epoch').where('seq', '=', seq).execute()
  await at.db
    .updateTable('sessions')
    .set({ seq, ...(row && { epoch: row.epoch }) })
    .execute()
}

export function cursorContract(kind: StoreKind): void {
  describe('finding the place of a cursor', () => {
    test('without one a session is read from now on', async () => {
      await using at = await start(kind)
      await at.session()
      const { locate } = at.stores.log
      const empty = await locate(SESSION, undefined)
      expect(empty).toMatchObject({ cursor: { seq: 0 }, recovered: true })
      const { events } = await settled(at)
      const last = events.at(-1)?.cursor
      expect(await locate(SESSION, undefined)).toEqual({
        cursor: last,
        recovered: true,
        isAtEnd: true,
      })
      // The place before the first event is one that can be continued, too.
      expect(await locate(SESSION, empty.cursor)).toEqual({ ...empty, isAtEnd: false })
    })

    test('the cursor of an event that is there is continued', async () => {
      await using at = await start(kind)
      await at.session()
      const { events } = await settled(at)
      for (const { cursor } of events) {
        expect(await at.stores.log.locate(SESSION, cursor)).toMatchObject({
          cursor,
          recovered: true,
        })
      }
    })

    test('a place says whether anything of the session came after it', async () => {
      await using at = await start(kind)
      await at.session()
      const { locate } = at.stores.log
      expect(await locate(SESSION, 'earliest')).toMatchObject({ isAtEnd: true })
      const { request, events } = await settled(at)
      const isAtEnd = async (target: Target, since: Since) => (await locate(target, since)).isAtEnd
      for (const target of [SESSION, of(request.question.id)]) {
        expect(await isAtEnd(target, 'earliest')).toBe(false)
        expect(await isAtEnd(target, 'unknown')).toBe(false)
        expect(await isAtEnd(target, events[0]?.cursor)).toBe(false)
        expect(await isAtEnd(target, events[1]?.cursor)).toBe(true)
      }
      expect(await isAtEnd(SESSION, undefined)).toBe(true)
      expect(await isAtEnd(of(request.question.id), undefined)).toBe(false)
    })

    test('`earliest` begins before everything that is kept', async () => {
      await using at = await start(kind)
      await at.session()
      await settled(at)
      const { cursor, recovered } = await at.stores.log.locate(SESSION, 'earliest')
      expect({ seq: cursor.seq, recovered }).toEqual({ seq: 0, recovered: true })
      expect(await at.stores.log.locate(SESSION, cursor)).toMatchObject({ cursor, recovered: true })
    })

    test('L5: text that is no cursor is not continued, and reading starts from the earliest', async () => {
      await using at = await start(kind)
      await at.session()
      await settled(at)
      const earliest = await at.stores.log.locate(SESSION, 'earliest')
      expect(await at.stores.log.locate(SESSION, 'unknown')).toEqual({
        ...earliest,
        recovered: false,
      })
    })

    test('L5: a cursor beyond the log, or with another epoch, is not continued', async () => {
      await using at = await start(kind)
      await at.session()
      const { events } = await settled(at)
      const { epoch = '' } = events[0]?.cursor ?? {}
      const earliest = await at.stores.log.locate(SESSION, 'earliest')
      const lost = { ...earliest, recovered: false }
      for (const cursor of [
        { epoch, seq: 3 },
        { epoch, seq: 999_999_999_999_999 },
        { epoch: `${epoch}0`, seq: 1 },
        { epoch: '', seq: 2 },
        { epoch: 'another', seq: 0 },
      ]) {
        expect(await at.stores.log.locate(SESSION, cursor)).toEqual(lost)
      }
    })

    test('L5: a cursor of another session is not continued, also at a number that is there', async () => {
      await using at = await start(kind)
      await at.session()
      await at.session({ id: 'session-2' })
      await at.session({ tenant: 'theirs' })
      await settled(at)
      const other = await settled(at, 'session-2')
      const theirs = await at.ask({}, { tenant: 'theirs' })
      for (const cursor of [...cursors(other.events), ...cursors(theirs.events)]) {
        expect(await at.stores.log.locate(SESSION, cursor)).toMatchObject({
          cursor: { seq: 0 },
          recovered: false,
        })
      }
    })

    test('L5: not even the empty log of another session can be continued', async () => {
      await using at = await start(kind)
      await at.session()
      await at.session({ id: 'session-2' })
      const { cursor } = await at.stores.log.locate(SESSION, undefined)
      const other = { ...SESSION, sessionId: 'session-2' }
      expect(await at.stores.log.locate(other, cursor)).toMatchObject({ recovered: false })
    })

    test('a request is read from its creation, or after the cursor', async () => {
      await using at = await start(kind)
      await at.session()
      await settled(at)
      const { request, events } = await settled(at)
      const target = of(request.question.id)
      const before = await at.stores.log.locate(target, undefined)
      expect(before).toMatchObject({ cursor: { seq: 2 }, recovered: true })
      const page = await at.stores.log.read(target, before.cursor.seq, 100)
      expect(page.events).toEqual(events)
      for (const { cursor } of events) {
        expect(await at.stores.log.locate(target, cursor)).toMatchObject({
          cursor,
          recovered: true,
        })
      }
      expect(await at.stores.log.locate(target, 'earliest')).toMatchObject({
        cursor: { seq: 0 },
        recovered: true,
      })
      expect(await at.stores.log.locate(target, 'unknown')).toMatchObject({
        cursor: { seq: 0 },
        recovered: false,
      })
    })

    test('the first request of a session is read from its creation', async () => {
      await using at = await start(kind)
      await at.session()
      const { request, events } = await settled(at)
      const { cursor, recovered } = await at.stores.log.locate(of(request.question.id), undefined)
      expect({ seq: cursor.seq, recovered }).toEqual({ seq: 0, recovered: true })
      expect((await at.stores.log.read(of(request.question.id), 0, 9)).events).toEqual(events)
    })

    test('R8: what is not there, or not here, is not found', async () => {
      await using at = await start(kind)
      await at.session()
      await at.session({ id: 'session-2' })
      await at.session({ tenant: 'theirs' })
      const { request } = await at.ask()
      const { locate } = at.stores.log
      const { id } = request.question
      const missing = [
        { ...SESSION, sessionId: 'none' },
        { ...SESSION, tenant: 'nobody' },
      ]
      for (const target of missing) {
        await expect(locate(target, 'earliest')).rejects.toMatchObject({
          code: 'SESSION_NOT_FOUND',
        })
      }
      const elsewhere = [
        { ...of(id), sessionId: 'session-2' },
        { ...of(id), tenant: 'theirs' },
        of('00000000-0000-4000-8000-000000000000'),
      ]
      for (const target of elsewhere) {
        for (const since of [undefined, 'earliest', request.cursor] as const) {
          await expect(locate(target, since)).rejects.toMatchObject({ code: 'REQUEST_NOT_FOUND' })
        }
      }
    })
  })

  describe('cursors after a restart', () => {
    test('L5: a cursor from before the restart is continued, and what is written then has another epoch', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask()
      const restarted = at.restart()
      const event = await restarted.requests.settle(request, approval(), 'a')
      expect(event?.cursor.seq).toBe(2)
      expect(event?.cursor.epoch).not.toBe(request.cursor.epoch)
      for (const cursor of [request.cursor, event?.cursor]) {
        expect(await restarted.log.locate(SESSION, cursor)).toMatchObject({
          cursor,
          recovered: true,
        })
      }
      expect(numbers(await at.events())).toEqual([1, 2])
    })

    test('L5: a cursor of a history that was undone is refused, also when new events have passed it', async () => {
      await using at = await start(kind)
      await at.session()
      const kept = await settled(at)
      const undone = await settled(at)
      await restore(at, 2)
      const restarted = at.restart()
      const { locate } = restarted.log
      const isContinued = async (cursor: Cursor) => (await locate(SESSION, cursor)).recovered
      const [third, fourth] = cursors(undone.events)
      if (!third || !fourth) expect.fail('two events were undone')
      expect([await isContinued(third), await isContinued(fourth)]).toEqual([false, false])
      const rewritten = []
      for (const _ of times(3, (i) => i)) {
        const { request } = await restarted.requests.submit(
          TENANT,
          { ...kept.request.question, type: 'input', options: [], timeoutSeconds: 60 },
          10,
          () => [],
        )
        rewritten.push(request.cursor)
      }
      expect(rewritten.map(({ seq }) => seq)).toEqual([3, 4, 5])
      expect([await isContinued(third), await isContinued(fourth)]).toEqual([false, false])
      for (const cursor of [...cursors(kept.events), ...rewritten]) {
        expect(await isContinued(cursor)).toBe(true)
      }
    })

    test('L5: a session that was lost and made again is another one', async () => {
      await using at = await start(kind)
      await at.session()
      const { events } = await settled(at)
      const empty = await at.stores.log.locate(SESSION, 'earliest')
      await sql`TRUNCATE sessions, requests, events, deliveries, cards, invitations CASCADE`.execute(
        at.db,
      )
      await at.session()
      await settled(at)
      for (const cursor of [empty.cursor, ...cursors(events)]) {
        expect(await at.stores.log.locate(SESSION, cursor)).toMatchObject({ recovered: false })
      }
    })
  })
}

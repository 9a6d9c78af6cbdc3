import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { Cursor, Since } from '../../src/core/event.ts'
import type { Target } from '../../src/core/ports.ts'
import { approval, cancellation, TENANT } from '../support/builders.ts'
import { QUEUED, type Started, type StoreKind, start, times } from './store-harness.ts'

const SESSION: Target = { tenant: TENANT, sessionId: 'session-1' }

const of = (requestId: string): Target => ({ ...SESSION, requestId })

const numbers = (events: readonly { cursor: Cursor }[]) => events.map(({ cursor }) => cursor.seq)

/** A request of the session, settled: two events. */
async function settled(at: Started, sessionId = 'session-1') {
  const { request, events } = await at.ask({ sessionId })
  const event = await at.stores.requests.settle(request, approval(), 'person:console:ann')
  return { request, events: [...events, ...(event ? [event] : [])] }
}

async function writeInto(at: Started, sessions: readonly string[]): Promise<void> {
  const writer = async (first: number) => {
    for (const round of times(6, (i) => i)) await settled(at, sessions[(first + round) % 3])
  }
  await Promise.all(times(8, writer))
}

/** Reads a session in small pages while it is written, to its end. Returns the last `seq`. */
async function follow(at: Started, sessionId: string, isWriting: () => boolean): Promise<number> {
  let after = 0
  for (;;) {
    const wasWriting = isWriting()
    const page = await at.stores.log.read({ tenant: TENANT, sessionId }, after, 7)
    expect(numbers(page.events)).toEqual(times(page.events.length, (i) => after + i + 1))
    after = page.events.at(-1)?.cursor.seq ?? after
    if (page.complete && !wasWriting) return after
  }
}

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

export function logContract(kind: StoreKind): void {
  describe('the log', () => {
    test('L2: seq counts the events of a session by one, whatever they are of', async () => {
      await using at = await start(kind)
      await at.session()
      const first = await at.ask({}, { plan: QUEUED })
      const second = await at.ask({}, { plan: () => [{ channel: 'telegram', failure: 'off' }] })
      await at.stores.requests.settle(second.request, cancellation, 'a')
      await at.stores.requests.settle(first.request, approval(), 'a')
      const events = await at.events()
      expect(events.map(({ cursor, type }) => [cursor.seq, type])).toEqual([
        [1, 'request.created'],
        [2, 'request.created'],
        [3, 'request.undelivered'],
        [4, 'request.canceled'],
        [5, 'request.decided'],
      ])
    })

    test('L2: eight writers in three sessions leave no gap, and a reader beside them sees none', async () => {
      await using at = await start(kind)
      const sessions = times(3, (i) => `session-${i}`)
      for (const id of sessions) await at.session({ id })
      let isWriting = true
      const writing = writeInto(at, sessions).finally(() => {
        isWriting = false
      })
      const heads = await Promise.all(sessions.map((id) => follow(at, id, () => isWriting)))
      await writing
      // 8 writers of 6 rounds of 2 events
      expect(heads.reduce((sum, seq) => sum + seq)).toBe(96)
      const one = await at.events({ sessionId: 'session-0' })
      expect(new Set(one.map(({ cursor }) => cursor.epoch)).size).toBe(1)
    })

    test('L3: nothing follows the end of a request', async () => {
      await using at = await start(kind)
      await at.session({ reviewers: { telegram: { address: '1', approvers: [] } } })
      const { request } = await at.ask({}, { plan: QUEUED })
      const [owed] = await at.stores.deliveries.claim({
        channels: ['telegram'],
        leaseMs: 1_000,
        limit: 1,
      })
      await at.stores.requests.settle(request, approval(), 'a')
      const card = {
        requestId: request.question.id,
        channel: 'telegram',
        address: '1',
        message: '9',
      }
      expect(await at.stores.deliveries.delivered(card, request)).toBeUndefined()
      if (owed?.type !== 'ask') expect.fail('a card was owed')
      expect(await at.stores.deliveries.undelivered(owed, 'blocked')).toBeUndefined()
      expect(await at.stores.requests.settle(request, cancellation, 'a')).toBeUndefined()
      expect((await at.events()).map(({ type }) => type)).toEqual([
        'request.created',
        'request.decided',
      ])
    })

    test('L4: an event keeps saying what was so when it happened', async () => {
      await using at = await start(kind)
      await at.session()
      const { request, events } = await settled(at)
      expect(await at.events()).toEqual(events)
      const [created, decided] = await at.events()
      expect(created?.state).toEqual(request.state)
      expect(created?.state.status).toBe('pending')
      expect(decided?.state.status).toBe('decided')
      expect(decided?.state.settledAt).toBeInstanceOf(Date)
    })

    test('R8: logs of two tenants with the same session id are two', async () => {
      await using at = await start(kind)
      await at.session()
      await at.session({ tenant: 'theirs' })
      const ours = await at.ask()
      const theirs = await at.ask({}, { tenant: 'theirs' })
      expect([ours.request.cursor.seq, theirs.request.cursor.seq]).toEqual([1, 1])
      expect(await at.events()).toEqual(ours.events)
      expect(await at.events({ tenant: 'theirs' })).toEqual(theirs.events)
    })
  })

  describe('reading the log', () => {
    test('pages follow each other without a gap, and the last one says that it is', async () => {
      await using at = await start(kind)
      await at.session()
      for (const _ of times(5, (i) => i)) await at.ask()
      const pages = []
      for (const after of [0, 2, 4]) pages.push(await at.stores.log.read(SESSION, after, 2))
      expect(pages.map(({ events }) => numbers(events))).toEqual([[1, 2], [3, 4], [5]])
      expect(pages.map(({ seq, complete }) => [seq, complete])).toEqual([
        [2, false],
        [4, false],
        [5, true],
      ])
    })

    test('a page that is exactly full does not claim to be the last', async () => {
      await using at = await start(kind)
      await at.session()
      for (const _ of times(2, (i) => i)) await at.ask()
      expect(await at.stores.log.read(SESSION, 0, 2)).toMatchObject({ seq: 2, complete: false })
      expect(await at.stores.log.read(SESSION, 2, 2)).toEqual({
        events: [],
        seq: 2,
        complete: true,
      })
    })

    test('a request’s part is read alone, and up to where the session’s log has come', async () => {
      await using at = await start(kind)
      await at.session()
      const first = await at.ask()
      const second = await at.ask()
      await at.ask()
      await at.stores.requests.settle(second.request, approval(), 'a')
      await at.ask()
      const page = await at.stores.log.read(of(second.request.question.id), 0, 100)
      expect(numbers(page.events)).toEqual([2, 4])
      expect(page).toMatchObject({ seq: 5, complete: true })
      const full = await at.stores.log.read(of(second.request.question.id), 0, 1)
      expect(full).toMatchObject({ seq: 2, complete: false })
      const other = await at.stores.log.read(of(first.request.question.id), 0, 100)
      expect(numbers(other.events)).toEqual([1])
    })

    test('a log that nobody has written to is read to its end', async () => {
      await using at = await start(kind)
      await at.session()
      expect(await at.stores.log.read(SESSION, 0, 10)).toEqual({
        events: [],
        seq: 0,
        complete: true,
      })
    })

    test('S4: those readers are named whose log goes beyond them, and no others', async () => {
      await using at = await start(kind)
      for (const id of ['a', 'b']) await at.session({ id })
      await at.session({ tenant: 'theirs', id: 'a' })
      await at.ask({ sessionId: 'a' })
      const readers = [
        { tenant: TENANT, sessionId: 'a', seq: 0 },
        { tenant: TENANT, sessionId: 'b', seq: 0 },
        { tenant: 'theirs', sessionId: 'a', seq: 0 },
        { tenant: TENANT, sessionId: 'none', seq: 0 },
      ]
      const behind = [{ tenant: TENANT, sessionId: 'a' }]
      expect(await at.stores.log.ahead(readers)).toEqual(behind)
      const caughtUp = readers.map((reader) => ({ ...reader, seq: 1 }))
      expect(await at.stores.log.ahead(caughtUp)).toEqual([])
      expect(await at.stores.log.ahead([])).toEqual([])
    })
  })

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
      for (const cursor of [
        ...numbersAndEpochs(other.events),
        ...numbersAndEpochs(theirs.events),
      ]) {
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
      const [third, fourth] = numbersAndEpochs(undone.events)
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
      for (const cursor of [...numbersAndEpochs(kept.events), ...rewritten]) {
        expect(await isContinued(cursor)).toBe(true)
      }
    })

    test('L5: a session that was lost and made again is another one', async () => {
      await using at = await start(kind)
      await at.session()
      const { events } = await settled(at)
      const empty = await at.stores.log.locate(SESSION, 'earliest')
      await sql`TRUNCATE sessions, requests, events, deliveries, cards, invitations`.execute(at.db)
      await at.session()
      await settled(at)
      for (const cursor of [empty.cursor, ...numbersAndEpochs(events)]) {
        expect(await at.stores.log.locate(SESSION, cursor)).toMatchObject({ recovered: false })
      }
    })
  })
}

const numbersAndEpochs = (events: readonly { cursor: Cursor }[]) =>
  events.map(({ cursor }) => cursor)

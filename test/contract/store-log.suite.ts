import { describe, expect, test } from 'vitest'
import type { Cursor } from '../../src/core/event.ts'
import type { Target } from '../../src/core/ports.ts'
import { approval, cancellation, TENANT } from '../support/builders.ts'
import { QUEUED, type Started, type StoreKind, settled, start, times } from './store-harness.ts'

const SESSION: Target = { tenant: TENANT, sessionId: 'session-1' }

const of = (requestId: string): Target => ({ ...SESSION, requestId })

const numbers = (events: readonly { cursor: Cursor }[]) => events.map(({ cursor }) => cursor.seq)

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

    test('S4: those readers are named whose log does not end where they are, and no others', async () => {
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
      const caughtUp = readers.map((reader, i) => ({ ...reader, seq: i === 0 ? 1 : 0 }))
      expect(await at.stores.log.ahead(caughtUp)).toEqual([])
      const beyond = readers.map((reader, i) => ({ ...reader, seq: i === 0 ? 2 : 0 }))
      expect(await at.stores.log.ahead(beyond)).toEqual(behind)
      expect(await at.stores.log.ahead([])).toEqual([])
    })
  })
}

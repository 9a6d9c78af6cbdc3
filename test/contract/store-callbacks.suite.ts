import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { Session } from '../../src/core/ports.ts'
import type { HitlRequest } from '../../src/core/request.ts'
import { approval, TENANT, telegram } from '../support/builders.ts'
import { eventually } from '../support/eventually.ts'
import { needs, type Started, type StoreKind, start, times } from './store-harness.ts'

const URL_A = 'https://a.example/hook'
const URL_B = 'https://b.example/hook'
const MOST = 10

const register = (at: Started, session: Session, url = URL_A) =>
  at.stores.callbacks.register(session, url, MOST)

/** The addresses of a request with their status, in order. */
async function callbacksOf(at: Started, { question: { id } }: HitlRequest): Promise<string[]> {
  const found = await at.stores.callbacks.list(id)
  return found.map(({ url, status }) => `${status} ${url}`).sort()
}

/** Waits until as many statements wait for a lock. */
const waiting = (at: Started, count: number) =>
  eventually(async () => {
    const { rows } = await sql`SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock'`.execute(at.db)
    return rows.length
  }).toBe(count)

/** Holds rows locked while others come one after the other, and waits for them. */
async function behind(at: Started, lock: string, acts: readonly (() => Promise<unknown>)[]) {
  const started: Promise<unknown>[] = []
  await at.db.transaction().execute(async (trx) => {
    await sql.raw(lock).execute(trx)
    for (const act of acts) {
      started.push(act())
      await waiting(at, started.length)
    }
  })
  return Promise.all(started)
}

const locking = ({ question: { id } }: HitlRequest) =>
  `SELECT FROM requests WHERE id = '${id}' FOR UPDATE`

const LOCKING_SESSION = 'SELECT FROM sessions FOR NO KEY UPDATE'

export function callbackContract(kind: StoreKind): void {
  describe('a callback of a session', () => {
    test('C1: is one of every request that is asked from then on, beside its own', async () => {
      await using at = await start(kind)
      const session = await at.session()
      await register(at, session)
      const plain = await at.ask()
      const own = await at.ask({ callbackUrl: URL_B })
      const same = await at.ask({ callbackUrl: URL_A })
      expect(await callbacksOf(at, plain.request)).toEqual([`waiting ${URL_A}`])
      expect(await callbacksOf(at, own.request)).toEqual([`waiting ${URL_A}`, `waiting ${URL_B}`])
      expect(await callbacksOf(at, same.request)).toEqual([`waiting ${URL_A}`])
      for (const { request, events } of [plain, own, same]) {
        expect(request.question.hasCallbacks).toBe(true)
        expect(events[0]?.question.hasCallbacks).toBe(true)
      }
    })

    test('C1: is one of what is pending, and of nothing that was settled', async () => {
      await using at = await start(kind)
      const session = await at.session()
      const { request: open } = await at.ask()
      const { request: own } = await at.ask({ callbackUrl: URL_A })
      const { request: over } = await at.ask()
      await at.stores.requests.settle(over, approval(), 'a')
      await register(at, session)
      expect(await callbacksOf(at, open)).toEqual([`waiting ${URL_A}`])
      expect(await callbacksOf(at, own)).toEqual([`waiting ${URL_A}`])
      expect(await callbacksOf(at, over)).toEqual([])
      const pending = await at.stores.requests.listPending(TENANT)
      expect(pending.map(({ question }) => question.hasCallbacks)).toEqual([true, true])
      const stored = await at.stores.requests.find(TENANT, over.question.id)
      expect(stored?.request.question.hasCallbacks).toBe(false)
    })

    test('C1: is owed by whoever settles, also with the request as it was before', async () => {
      await using at = await start(kind)
      const session = await at.session()
      const { request } = await at.ask()
      await register(at, session)
      await register(at, session, URL_B)
      expect(request.question.hasCallbacks).toBe(false)
      const event = await at.stores.requests.settle(request, approval(), 'a')
      expect(event?.question).toEqual({ ...request.question, hasCallbacks: true })
      expect(await callbacksOf(at, request)).toEqual([`owed ${URL_A}`, `owed ${URL_B}`])
    })

    test('of the same address is the same one, and adds nothing', async () => {
      await using at = await start(kind)
      const session = await at.session()
      const { request } = await at.ask()
      const id = await register(at, session)
      expect(id).toMatch(/^[0-9a-f-]{36}$/)
      expect(await register(at, session, URL_B)).not.toBe(id)
      expect(await register(at, session)).toBe(id)
      expect(await callbacksOf(at, request)).toEqual([`waiting ${URL_A}`, `waiting ${URL_B}`])
    })

    test('R8: is that of no other session, and of no other tenant', async () => {
      await using at = await start(kind)
      const session = await at.session()
      await at.session({ id: 'session-2' })
      await at.session({ tenant: 'theirs' })
      const ask = () => [
        at.ask({ sessionId: 'session-2' }),
        at.ask({}, { tenant: 'theirs' }),
        at.ask(),
      ]
      const before = await Promise.all(ask())
      await register(at, session)
      const counts = async (asked: typeof before) =>
        (await Promise.all(asked.map(({ request }) => callbacksOf(at, request)))).map(
          ({ length }) => length,
        )
      expect(await counts(before)).toEqual([0, 0, 1])
      expect(await counts(await Promise.all(ask()))).toEqual([0, 0, 1])
    })

    test('is refused when the session has too many, and the known ones are still known', async () => {
      await using at = await start(kind)
      const session = await at.session()
      const urls = times(MOST, (i) => `https://r${i}.example/hook`)
      const ids = await Promise.all(urls.map((url) => register(at, session, url)))
      await expect(register(at, session)).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        details: { issues: [{ path: '/url', message: expect.stringContaining('10') }] },
      })
      expect(await register(at, session, urls[3])).toBe(ids[3])
      const other = await at.session({ id: 'session-2' })
      await register(at, other)
      const { request } = await at.ask()
      expect(await callbacksOf(at, request)).toHaveLength(MOST)
    })

    test('has an address as long as there may be one', async () => {
      await using at = await start(kind)
      const session = await at.session({ id: '🚀'.repeat(200) })
      const random = times(2_000, () => Math.floor(Math.random() * 36).toString(36)).join('')
      const url = `https://a.example/${random}`
      const id = await register(at, session, url)
      expect(await register(at, session, url)).toBe(id)
    })
  })

  describe('a callback that is registered while', () => {
    test('C1: a request is being settled behind it is owed', async (context) => {
      needs('hold a transaction open beside another one', kind, context)
      await using at = await start(kind)
      const session = await at.session()
      const asked = [(await at.ask()).request, (await at.ask()).request] as const
      const [first, second] = asked.toSorted((a, b) => (a.question.id < b.question.id ? -1 : 1))
      if (!first || !second) throw new Error('two were asked')
      // The registration has the first, and waits for the second; who settles the first waits for it.
      const [, event] = await behind(at, locking(second), [
        () => register(at, session),
        () => at.stores.requests.settle(first, approval(), 'a'),
      ])
      expect(event).toMatchObject({ question: { hasCallbacks: true } })
      expect(await callbacksOf(at, first)).toEqual([`owed ${URL_A}`])
      expect(await callbacksOf(at, second)).toEqual([`waiting ${URL_A}`])
    })

    test('C1: a request that has another one is being settled behind it is owed', async (context) => {
      needs('hold a transaction open beside another one', kind, context)
      await using at = await start(kind)
      const session = await at.session()
      const asked = [(await at.ask()).request, (await at.ask()).request] as const
      await register(at, session, URL_B)
      const [first, second] = asked.toSorted((a, b) => (a.question.id < b.question.id ? -1 : 1))
      if (!first || !second) throw new Error('two were asked')
      await behind(at, locking(second), [
        () => register(at, session),
        () => at.stores.requests.settle(first, approval(), 'a'),
      ])
      expect(await callbacksOf(at, first)).toEqual([`owed ${URL_A}`, `owed ${URL_B}`])
    })

    test('a request is being settled before it comes too late for that one', async (context) => {
      needs('hold a transaction open beside another one', kind, context)
      await using at = await start(kind)
      const session = await at.session()
      const { request } = await at.ask()
      // Who settles has the request, and waits for the session; the registration waits for him.
      const [event] = await behind(at, LOCKING_SESSION, [
        () => at.stores.requests.settle(request, approval(), 'a'),
        () => register(at, session),
      ])
      expect(event).toMatchObject({ question: { hasCallbacks: false } })
      expect(await callbacksOf(at, request)).toEqual([])
    })

    test('the reviewers of its session move is no deadlock', async (context) => {
      needs('hold a transaction open beside another one', kind, context)
      await using at = await start(kind)
      const session = await at.session({ reviewers: telegram('-100') })
      const { request } = await at.ask()
      // The move has the request, and goes for its session next.
      await behind(at, locking(request), [
        () => at.stores.addresses.move('telegram', '-100', '-200'),
        () => register(at, session),
      ])
      expect(await callbacksOf(at, request)).toEqual([`waiting ${URL_A}`])
    })

    test('C1: a question is being asked behind it is one of that question', async (context) => {
      needs('hold a transaction open beside another one', kind, context)
      await using at = await start(kind)
      const session = await at.session()
      const { request } = await at.ask()
      const next = Promise.withResolvers<HitlRequest>()
      await behind(at, locking(request), [
        () => register(at, session),
        () => at.ask().then((asked) => next.resolve(asked.request)),
      ])
      expect(await callbacksOf(at, await next.promise)).toEqual([`waiting ${URL_A}`])
    })

    test('C1: a question is being asked before it is one of that question', async (context) => {
      needs('hold a transaction open beside another one', kind, context)
      await using at = await start(kind)
      const session = await at.session()
      const first = Promise.withResolvers<HitlRequest>()
      await behind(at, LOCKING_SESSION, [
        () => at.ask().then((asked) => first.resolve(asked.request)),
        () => register(at, session),
      ])
      expect(await callbacksOf(at, await first.promise)).toEqual([`waiting ${URL_A}`])
    })

    test('C1: many ask and settle: nothing that settles after its answer is missed', async () => {
      await using at = await start(kind)
      const session = await at.session()
      await at.warmUp()
      let isAnswered = false
      const settleOne = async (i: number) => {
        const { request } = await at.ask()
        if (i % 3 === 0) await at.stores.sessions.find(TENANT, session.id)
        const wasAnswered = isAnswered
        await at.stores.requests.settle(request, approval(), 'a')
        return { request, wasAnswered }
      }
      const writers = times(8, async (writer) => {
        const settled: Awaited<ReturnType<typeof settleOne>>[] = []
        for (let i = 0; i < 12 || !isAnswered; i++) settled.push(await settleOne(writer + i))
        settled.push(await settleOne(writer))
        return settled
      })
      const registering = Promise.all(
        times(MOST, (i) => register(at, session, `https://r${i}.example/hook`)),
      ).then(() => {
        isAnswered = true
      })
      const settled = (await Promise.all(writers)).flat()
      await registering
      const all = await Promise.all(
        settled.map(async ({ request, wasAnswered }) => ({
          wasAnswered,
          callbacks: await at.stores.callbacks.list(request.question.id),
        })),
      )
      const late = all.filter(({ wasAnswered }) => wasAnswered)
      expect(late.length).toBeGreaterThanOrEqual(8)
      expect(new Set(late.map(({ callbacks }) => callbacks.length))).toEqual(new Set([MOST]))
      // Whatever a request has is owed: none was forgotten when it was settled.
      const statuses = all.flatMap(({ callbacks }) => callbacks.map(({ status }) => status))
      expect(new Set(statuses)).toEqual(new Set(['owed']))
    })
  })
}

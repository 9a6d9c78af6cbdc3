import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { Reviewers } from '../../src/core/request.ts'
import {
  approval,
  aQuestion,
  cancellation,
  expiration,
  overdue,
  TENANT,
} from '../support/builders.ts'
import { needs, type StoreKind, start, times } from './store-harness.ts'

const ANYBODY = { address: 'C1', approvers: [] }

const terminal = (types: readonly string[]) =>
  types.filter((type) => /decided|expired|canceled/.test(type))

export function settleContract(kind: StoreKind): void {
  describe('settle', () => {
    test('a decision is stored with who decided, and its event says the same', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask()
      const event = await at.stores.requests.settle(
        request,
        approval({ comment: 'go 🚀' }),
        'person:console:ann',
      )
      expect(event).toMatchObject({
        type: 'request.decided',
        question: request.question,
        cursor: { epoch: request.cursor.epoch, seq: 2 },
        state: {
          status: 'decided',
          outcome: 'approved',
          response: 'Deploy',
          comment: 'go 🚀',
          decidedBy: { channel: 'console', id: 'ann', name: 'Ann' },
        },
      })
      expect(event?.at).toEqual(event?.state.settledAt)
      expect(await at.stores.requests.find(TENANT, request.question.id)).toEqual({
        request: { question: request.question, state: event?.state, cursor: event?.cursor },
        settledBy: 'person:console:ann',
      })
    })

    // Times are kept in whole milliseconds. Rounded up, an answer in time is shown as one at the end.
    test('R6: no settlement is dated later than its command came', async () => {
      await using at = await start(kind)
      await at.session()
      await sql`CREATE OR REPLACE FUNCTION refuse_future() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN
          IF NEW.settled_at > statement_timestamp() THEN RAISE EXCEPTION ''future''; END IF;
          RETURN NEW;
        END'`.execute(at.db)
      await sql`CREATE TRIGGER refuse_future BEFORE UPDATE ON requests
        FOR EACH ROW EXECUTE FUNCTION refuse_future()`.execute(at.db)
      for (let i = 0; i < 20; i++) {
        const { request } = await at.ask()
        const event = await at.stores.requests.settle(request, approval(), 'person:console:ann')
        expect(event?.at.getTime()).toBeGreaterThanOrEqual(request.question.createdAt.getTime())
      }
    })

    test('a cancellation is nobody’s answer', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask()
      const event = await at.stores.requests.settle(request, cancellation, 'agent:key-1')
      expect(event).toMatchObject({
        type: 'request.canceled',
        state: { status: 'canceled', outcome: 'canceled', response: null, decidedBy: null },
      })
    })

    test('R5: what expired has neither an answer nor somebody who decided', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask(overdue)
      const event = await at.stores.requests.settle(request, expiration, 'expiry')
      expect(event).toMatchObject({
        type: 'request.expired',
        state: {
          status: 'expired',
          outcome: 'expired',
          response: null,
          comment: null,
          decidedBy: null,
        },
      })
    })

    test('R2: of fifty simultaneous decisions one wins', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask()
      await at.warmUp()
      const events = await Promise.all(
        times(50, (i) =>
          at.stores.requests.settle(request, approval({ comment: `${i}` }), `person:console:${i}`),
        ),
      )
      const winners = events.filter((event) => event !== undefined)
      expect(winners).toHaveLength(1)
      const stored = await at.stores.requests.find(TENANT, request.question.id)
      expect(stored?.request.state).toEqual(winners[0]?.state)
      expect(stored?.settledBy).toBe(`person:console:${winners[0]?.state.comment}`)
      expect((await at.events()).map(({ type }) => type)).toEqual([
        'request.created',
        'request.decided',
      ])
    })

    test('R2: of decisions, cancellations and expiries in one race one wins, before the deadline never the expiry', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask()
      await at.warmUp()
      const events = await Promise.all(
        times(45, (i) => {
          const command = [approval(), cancellation, expiration][i % 3] ?? approval()
          return at.stores.requests.settle(request, command, `principal-${i}`)
        }),
      )
      expect(events.filter((event) => event !== undefined)).toHaveLength(1)
      const types = (await at.events()).map(({ type }) => type)
      expect(terminal(types)).toHaveLength(1)
      expect(types).not.toContain('request.expired')
    })

    test('R6: once the time is over only the expiry wins the race', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask(overdue)
      await at.warmUp()
      await Promise.all(
        times(45, (i) => {
          const command = [approval(), cancellation, expiration][i % 3] ?? approval()
          return at.stores.requests.settle(request, command, `principal-${i}`)
        }),
      )
      expect((await at.events()).map(({ type }) => type)).toEqual([
        'request.created',
        'request.expired',
      ])
    })

    test('R6: after the time nothing is decided or canceled, before it nothing expires', async () => {
      await using at = await start(kind)
      await at.session()
      const { requests } = at.stores
      const late = await at.ask(overdue)
      expect(await requests.settle(late.request, approval(), 'a')).toBeUndefined()
      expect(await requests.settle(late.request, cancellation, 'a')).toBeUndefined()
      const early = await at.ask()
      expect(await requests.settle(early.request, expiration, 'expiry')).toBeUndefined()
      expect(await requests.listPending(TENANT)).toHaveLength(2)
      expect(await at.events()).toHaveLength(2)
    })

    test('R6: the clock that is asked is the database’s, not what the caller believes', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask(overdue)
      const believed = {
        ...request,
        question: { ...request.question, expiresAt: new Date(Date.now() + 60_000) },
      }
      expect(await at.stores.requests.settle(believed, approval(), 'a')).toBeUndefined()
    })

    test('R6: a decision that came in time counts, however long it waited behind another writer', async (context) => {
      needs('hold a transaction open beside another one', kind, context)
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask({ timeoutSeconds: 0.3 })
      let deciding: Promise<unknown> = Promise.resolve()
      await at.db.transaction().execute(async (trx) => {
        await sql`SELECT 1 FROM sessions WHERE tenant = ${TENANT} FOR UPDATE`.execute(trx)
        deciding = at.stores.requests.settle(request, approval(), 'person:console:ann')
        // Waits for the deadline in the database, whose clock is the one that counts.
        await sql`SELECT pg_sleep(extract(epoch FROM expires_at - clock_timestamp()) + 0.01)
          FROM requests WHERE id = ${request.question.id}`.execute(trx)
      })
      await deciding
      const stored = await at.stores.requests.find(TENANT, request.question.id)
      const { status, settledAt } = stored?.request.state ?? {}
      const isInTime = (settledAt ?? new Date(0)) <= request.question.expiresAt
      expect({ status, isInTime }).toEqual({ status: 'decided', isInTime: true })
    })

    test('R1: what is settled is settled, by whatever command and whoever sends it', async () => {
      await using at = await start(kind)
      await at.session()
      const { requests } = at.stores
      const { request } = await at.ask()
      await requests.settle(request, approval(), 'person:console:ann')
      const before = await requests.find(TENANT, request.question.id)
      for (const command of [approval({ response: 'Hold' }), cancellation, expiration]) {
        expect(await requests.settle(request, command, 'person:console:ben')).toBeUndefined()
      }
      expect(await requests.find(TENANT, request.question.id)).toEqual(before)
      expect(await at.events()).toHaveLength(2)
    })

    test('a decision counts only while the session has the reviewers that it was judged by', async () => {
      await using at = await start(kind)
      const reviewers = { telegram: { address: '-100', approvers: ['1', '2'] }, slack: ANYBODY }
      await at.session({ reviewers })
      const { requests, sessions } = at.stores
      const { request } = await at.ask()
      const others = { telegram: { address: '-100', approvers: ['1'] }, slack: ANYBODY }
      await sessions.setReviewers(TENANT, 'session-1', others)
      const decide = (judgedBy: Reviewers) =>
        requests.settle(request, approval(), 'person:telegram:2', judgedBy)
      for (const judgedBy of [reviewers, {}, { telegram: others.telegram }]) {
        expect(await decide(judgedBy)).toBeUndefined()
      }
      expect(await at.events()).toHaveLength(1)
      const sameInOtherOrder = { slack: ANYBODY, telegram: others.telegram }
      expect(await decide(sameInOtherOrder)).toMatchObject({ cursor: { seq: 2 } })
    })

    test('R8: a request is settled inside its tenant alone', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask()
      const forged = { ...request, question: { ...request.question, tenant: 'theirs' } }
      expect(await at.stores.requests.settle(forged, approval(), 'a')).toBeUndefined()
      const unknown = { ...request, question: aQuestion({ id: randomUUID() }) }
      expect(await at.stores.requests.settle(unknown, approval(), 'a')).toBeUndefined()
    })

    test('L1: when the event can not be written, nothing is settled', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask()
      await sql`CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN RAISE EXCEPTION ''refused''; END'`.execute(at.db)
      await sql`CREATE TRIGGER refuse BEFORE INSERT ON events
        FOR EACH ROW EXECUTE FUNCTION refuse()`.execute(at.db)
      await expect(at.stores.requests.settle(request, approval(), 'a')).rejects.toThrow('refused')
      await expect(at.ask()).rejects.toThrow('refused')
      await sql`DROP TRIGGER refuse ON events`.execute(at.db)
      const stored = await at.stores.requests.find(TENANT, request.question.id)
      expect(stored).toEqual({ request, settledBy: null })
      expect(await at.stores.requests.listPending(TENANT)).toHaveLength(1)
      const event = await at.stores.requests.settle(request, approval(), 'a')
      expect(event?.cursor.seq).toBe(2)
    })
  })

  describe('finding requests', () => {
    test('R8: a request is found by its tenant alone', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask()
      const { requests } = at.stores
      expect((await requests.find(TENANT, request.question.id))?.request).toEqual(request)
      expect(await requests.find('theirs', request.question.id)).toBeUndefined()
    })

    test('an id that nothing has is not found, whatever it looks like', async () => {
      await using at = await start(kind)
      for (const id of [randomUUID(), '', 'nonsense', "'; DROP TABLE requests --", '{}']) {
        expect(await at.stores.requests.find(TENANT, id)).toBeUndefined()
      }
    })

    test('the pending ones are listed oldest first, of a session or of all, never another tenant’s', async () => {
      await using at = await start(kind)
      await at.session()
      await at.session({ id: 'session-2' })
      await at.session({ tenant: 'theirs' })
      await at.ask({}, { tenant: 'theirs' })
      const asked: string[] = []
      for (const sessionId of ['session-1', 'session-2', 'session-1', 'session-2']) {
        asked.push((await at.ask({ sessionId })).request.question.id)
      }
      const [first, second, third, fourth] = asked
      const { requests } = at.stores
      const listed = async (sessionId?: string) =>
        (await requests.listPending(TENANT, sessionId)).map(({ question }) => question.id)
      // Created within one millisecond, two may stand in either order.
      expect((await listed()).sort()).toEqual(asked.toSorted())
      expect((await listed('session-2')).sort()).toEqual([second, fourth].toSorted())
      expect(await listed('session-3')).toEqual([])
      await sql`UPDATE requests SET created_at = created_at - interval '1 minute'
        WHERE id = ${third}`.execute(at.db)
      const settled = await requests.find(TENANT, first ?? '')
      if (settled) await requests.settle(settled.request, approval(), 'a')
      expect(await listed()).toHaveLength(3)
      expect((await listed())[0]).toBe(third)
    })

    test('the next to expire come by when they do, with how far away that is for the database', async () => {
      await using at = await start(kind)
      await at.session()
      const { requests } = at.stores
      const ids = []
      for (const timeoutSeconds of [600, -2, 60, 0.5]) {
        ids.push((await at.ask({ timeoutSeconds })).request.question.id)
      }
      const [later, over, soon, next] = ids
      const due = await requests.nextToExpire(10)
      expect(due.map(({ request }) => request.question.id)).toEqual([over, next, soon, later])
      const [overIn = 0, , soonIn = 0] = due.map(({ dueInMs }) => dueInMs)
      expect(overIn).toBeLessThanOrEqual(-2_000)
      expect(soonIn).toBeGreaterThan(50_000)
      expect(soonIn).toBeLessThanOrEqual(60_001)
      expect(await requests.nextToExpire(2)).toHaveLength(2)
      const [first] = due
      if (first) await requests.settle(first.request, expiration, 'expiry')
      expect((await requests.nextToExpire(10))[0]?.request.question.id).toBe(next)
    })

    test('a column that a newer release adds does not disturb the statements of this one', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask()
      const find = () => at.stores.requests.find(TENANT, request.question.id)
      await find()
      await sql`ALTER TABLE requests ADD COLUMN newer text`.execute(at.db)
      try {
        expect((await find())?.request).toEqual(request)
      } finally {
        await sql`ALTER TABLE requests DROP COLUMN newer`.execute(at.db)
      }
    })

    test('a request that is due now is due by the clock that expires it', async () => {
      await using at = await start(kind)
      await at.session()
      await at.ask(overdue)
      const [due] = await at.stores.requests.nextToExpire(1)
      expect(due?.dueInMs).toBeLessThanOrEqual(0)
      const event = due && (await at.stores.requests.settle(due.request, expiration, 'expiry'))
      expect(event?.type).toBe('request.expired')
    })
  })
}

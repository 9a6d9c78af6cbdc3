import { describe, expect, test } from 'vitest'
import { ERROR_CODES } from '../../src/core/errors.ts'
import type { Reviewers } from '../../src/core/request.ts'
import { approval, aSubmission, TENANT } from '../support/builders.ts'
import { QUEUED, type StoreKind, start, times } from './store-harness.ts'

const key = (name: string, bodyDigest = 'digest-1') => ({ idempotency: { key: name, bodyDigest } })

/** Settles each as its outcome: the code of the error, or `stored`. */
async function outcomes(submissions: readonly Promise<unknown>[]): Promise<string[]> {
  const settled = await Promise.allSettled(submissions)
  return settled.map((result) =>
    result.status === 'fulfilled' ? 'stored' : String(result.reason.code),
  )
}

const count = (texts: readonly string[], text: string) => texts.filter((t) => t === text).length

export function submitContract(kind: StoreKind): void {
  describe('submit', () => {
    test('what was asked is stored as it is, keys in their order', async () => {
      await using at = await start(kind)
      const reviewers = { telegram: { address: '-100', approvers: ['1', '2'] } }
      await at.session({ reviewers })
      const asked = aSubmission({
        message: 'Delete "users"?\n\u202e🚀 \\ %s \u0001',
        metadata: { z: 1, a: { y: [1.5, null, 'é'], b: true }, '10': 'ten', '9': 'nine' },
        timeoutSeconds: 90,
      })
      const { request, events, replayed } = await at.ask(asked)
      expect(replayed).toBe(false)
      expect(request.question).toEqual({
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        tenant: TENANT,
        sessionId: 'session-1',
        clientId: 'client-1',
        message: asked.message,
        type: 'choice',
        options: asked.options,
        metadata: asked.metadata,
        reviewers,
        hasCallbacks: false,
        createdAt: expect.any(Date),
        expiresAt: new Date(request.question.createdAt.getTime() + 90_000),
      })
      expect(JSON.stringify(request.question.metadata)).toBe(JSON.stringify(asked.metadata))
      expect(events.map(({ type }) => type)).toEqual(['request.created'])
      const stored = await at.stores.requests.find(TENANT, request.question.id)
      expect(stored).toEqual({ request, settledBy: null })
    })

    test('a new request is pending, and its cursor is that of its first event', async () => {
      await using at = await start(kind)
      await at.session()
      const { request, events } = await at.ask({}, { plan: QUEUED })
      expect(request.state).toEqual({
        status: 'pending',
        outcome: null,
        response: null,
        comment: null,
        decidedBy: null,
        delivery: [{ channel: 'telegram', status: 'queued' }],
        settledAt: null,
        receipt: null,
      })
      expect(events).toHaveLength(1)
      expect(events[0]).toMatchObject({ ...request, at: request.question.createdAt })
      expect(request.cursor.seq).toBe(1)
    })

    test('V3: what stands in the way of asking is in the log at once', async () => {
      await using at = await start(kind)
      await at.session({ reviewers: { slack: { address: 'C1', approvers: [] } } })
      const { request, events } = await at.ask(
        {},
        {
          plan: () => [{ channel: 'telegram', failure: 'nobody has joined' }, { channel: 'slack' }],
        },
      )
      expect(events.map(({ type }) => type)).toEqual(['request.created', 'request.undelivered'])
      expect(request.state.delivery).toEqual([
        { channel: 'telegram', status: 'failed', error: 'nobody has joined' },
        { channel: 'slack', status: 'queued' },
      ])
      expect(request.cursor).toEqual(events[1]?.cursor)
      expect(await at.events()).toEqual(events)
      const stored = await at.stores.requests.find(TENANT, request.question.id)
      expect(stored?.request).toEqual(request)
      const owed = await at.stores.deliveries.claim({
        channels: ['telegram', 'slack'],
        leaseMs: 1_000,
        limit: 10,
      })
      expect(owed.map(({ channel }) => channel)).toEqual(['slack'])
    })

    test('what stands in the way is asked with the reviewers of the session', async () => {
      await using at = await start(kind)
      const reviewers = { telegram: { address: null, approvers: ['3'] } }
      await at.session({ reviewers })
      const seen: unknown[] = []
      await at.ask(
        {},
        {
          plan: (given) => {
            seen.push(given)
            return []
          },
        },
      )
      expect(seen).toEqual([reviewers])
    })

    test('a session that is not there, not active or not the client’s is refused', async () => {
      await using at = await start(kind)
      await expect(at.ask()).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' })
      await at.session()
      await expect(at.ask({ clientId: 'another' })).rejects.toMatchObject({ code: 'FORBIDDEN' })
      await at.stores.sessions.setActive(TENANT, 'session-1', false)
      await expect(at.ask()).rejects.toMatchObject({ code: 'SESSION_INACTIVE' })
    })

    test('R8: a session of another tenant is not found', async () => {
      await using at = await start(kind)
      await at.session({ tenant: 'theirs' })
      await expect(at.ask()).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' })
    })

    test('what is refused leaves nothing behind, and no gap in the log', async () => {
      await using at = await start(kind)
      await at.session()
      await at.ask(key('k'))
      const refused = await outcomes([
        at.ask({ sessionId: 'none' }),
        at.ask({ clientId: 'another' }),
        at.ask({}, { maxPending: 1 }),
        at.ask(key('k', 'another digest')),
        at.ask(
          {},
          {
            plan: () => {
              throw Object.assign(new Error('the plan failed'), { code: 'PLAN' })
            },
          },
        ),
      ])
      expect(refused).toEqual([
        'SESSION_NOT_FOUND',
        'FORBIDDEN',
        'TOO_MANY_PENDING',
        'IDEMPOTENCY_MISMATCH',
        'PLAN',
      ])
      expect(ERROR_CODES).toEqual(expect.arrayContaining(refused.slice(0, 4)))
      expect(await at.stores.requests.listPending(TENANT)).toHaveLength(1)
      const { request } = await at.ask()
      expect(request.cursor.seq).toBe(2)
    })

    test('TOO_MANY_PENDING says how many are pending and when to come back', async () => {
      await using at = await start(kind)
      await at.session()
      await expect(at.ask({}, { maxPending: 0 })).rejects.toMatchObject({
        code: 'TOO_MANY_PENDING',
        message: expect.stringMatching(/^0 requests/),
        details: { retryAfterSeconds: expect.any(Number) },
      })
    })
  })

  describe('submit with an idempotency key', () => {
    test('R10: the same key and body is the same request, and writes nothing', async () => {
      await using at = await start(kind)
      await at.session()
      const first = await at.ask(key('k'))
      const second = await at.ask(key('k'))
      expect(second).toEqual({ request: first.request, events: [], replayed: true })
      expect(await at.events()).toHaveLength(1)
    })

    test('R10: a repeat is answered with the request as it is now', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask(key('k'))
      await at.stores.requests.settle(request, approval(), 'person:console:ann')
      const again = await at.ask(key('k'))
      expect(again.request.state).toMatchObject({ status: 'decided', outcome: 'approved' })
      expect(again.request.question).toEqual(request.question)
    })

    test('R10: another body is refused', async () => {
      await using at = await start(kind)
      await at.session()
      await at.ask(key('k'))
      await expect(at.ask(key('k', 'digest-2'))).rejects.toMatchObject({
        code: 'IDEMPOTENCY_MISMATCH',
      })
    })

    test('R10: a known key is answered before anything else is looked at', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask(key('k'))
      await at.stores.sessions.setActive(TENANT, 'session-1', false)
      const again = await at.ask(
        { ...key('k'), sessionId: 'none', clientId: 'another' },
        { maxPending: 0 },
      )
      expect(again).toMatchObject({ request, replayed: true })
    })

    test('R10: a key whose submission was refused stands for nothing', async () => {
      await using at = await start(kind)
      await at.session()
      await expect(at.ask(key('k'), { maxPending: 0 })).rejects.toThrow('pending')
      expect(await at.ask(key('k', 'digest-2'))).toMatchObject({ replayed: false })
    })

    test('R10: fifty simultaneous submissions with one key are one request', async () => {
      await using at = await start(kind)
      const sessions = times(5, (i) => `session-${i}`)
      for (const id of sessions) await at.session({ id })
      await at.warmUp()
      const all = await Promise.all(
        times(50, (i) => at.ask({ ...key('k'), sessionId: sessions[i % 5] ?? '' })),
      )
      expect(new Set(all.map(({ request }) => request.question.id)).size).toBe(1)
      expect(all.filter(({ replayed }) => !replayed)).toHaveLength(1)
      expect(await at.stores.requests.listPending(TENANT)).toHaveLength(1)
    })

    test('R10: a key is its tenant’s own', async () => {
      await using at = await start(kind)
      await at.session()
      await at.session({ tenant: 'theirs' })
      const ours = await at.ask(key('k'))
      const theirs = await at.ask(key('k', 'digest-2'), { tenant: 'theirs' })
      expect(theirs.replayed).toBe(false)
      expect(theirs.request.question.id).not.toBe(ours.request.question.id)
    })
  })

  describe('pending requests of a client', () => {
    test('R9: of fifty simultaneous submissions exactly as many are stored as there is room', async () => {
      await using at = await start(kind)
      const sessions = times(5, (i) => `session-${i}`)
      for (const id of sessions) await at.session({ id })
      await at.warmUp()
      const submitted = await outcomes(
        times(50, (i) => at.ask({ sessionId: sessions[i % 5] ?? '' }, { maxPending: 20 })),
      )
      expect(count(submitted, 'stored')).toBe(20)
      expect(count(submitted, 'TOO_MANY_PENDING')).toBe(30)
      expect(await at.stores.requests.listPending(TENANT)).toHaveLength(20)
      const logs = await Promise.all(sessions.map((sessionId) => at.events({ sessionId })))
      for (const log of logs) {
        expect(log.map(({ cursor }) => cursor.seq)).toEqual(times(log.length, (i) => i + 1))
      }
    })

    test('R9: only what is pending counts', async () => {
      await using at = await start(kind)
      await at.session()
      const { request } = await at.ask({}, { maxPending: 1 })
      await expect(at.ask({}, { maxPending: 1 })).rejects.toThrow('pending')
      await at.stores.requests.settle(request, approval(), 'person:console:ann')
      await expect(at.ask({}, { maxPending: 1 })).resolves.toMatchObject({ replayed: false })
    })

    test('R9: an agent with many clients does not flood the reviewers of one place', async () => {
      await using at = await start(kind)
      const reviewers = { telegram: { address: '41', approvers: [] } }
      const ask = async (name: string, tenant = TENANT, where: Reviewers = reviewers) => {
        await at.session({ id: name, clientId: name, tenant, reviewers: where })
        return at.ask({ sessionId: name, clientId: name }, { tenant, maxPending: 2 })
      }
      const many: Awaited<ReturnType<typeof ask>>[] = []
      for (let i = 0; i < 10; i++) many.push(await ask(`client ${i}`))
      await expect(ask('one more')).rejects.toMatchObject({
        code: 'TOO_MANY_PENDING',
        details: { retryAfterSeconds: expect.any(Number) },
      })
      const elsewhere = { telegram: { address: '42', approvers: [] } }
      await ask('elsewhere', TENANT, elsewhere)
      await ask('nowhere', TENANT, {})
      await ask('theirs', 'another tenant')
      const [first] = many
      if (first) await at.stores.requests.settle(first.request, approval(), 'a')
      await ask('now')
    })

    test('R9: other clients and other tenants do not count', async () => {
      await using at = await start(kind)
      await at.session()
      await at.session({ id: 'session-2', clientId: 'client-2' })
      await at.session({ tenant: 'theirs' })
      await at.ask({}, { maxPending: 1 })
      const others = [
        at.ask({ sessionId: 'session-2', clientId: 'client-2' }, { maxPending: 1 }),
        at.ask({}, { maxPending: 1, tenant: 'theirs' }),
      ]
      expect(await outcomes(others)).toEqual(['stored', 'stored'])
    })
  })
}

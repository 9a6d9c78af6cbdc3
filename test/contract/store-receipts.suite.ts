import { createHash } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { formatCursor } from '../../src/core/event.ts'
import { newKey, ReceiptKeys } from '../../src/proof/keys.ts'
import { PgReceiptKeyStore } from '../../src/storage/receipt-key-store.ts'
import { createStores } from '../../src/storage/stores.ts'
import { approval, cancellation, expiration, overdue, TENANT } from '../support/builders.ts'
import { refused } from '../support/builders-core.ts'
import { FakeClock } from '../support/clock.ts'
import { type Started, type StoreKind, start, times } from './store-harness.ts'

const DIGEST = /^sha-256:[0-9a-f]{64}$/

/** A process that signs, on the same database. */
export async function signing(at: Started, issuer = 'https://gate.example.com') {
  const keys = new ReceiptKeys({
    store: new PgReceiptKeyStore(at.db),
    clock: new FakeClock(),
    issuer: () => issuer,
  })
  await keys.open()
  return { keys, stores: createStores(at.db, keys) }
}

export const rotate = async (at: Started) => new PgReceiptKeyStore(at.db).rotate(await newKey())

const textDigest = (text: string) =>
  `sha-256:${createHash('sha256').update(text, 'utf8').digest('hex')}`

const CARD = { channel: 'telegram', address: '501', message: '1' }

async function shownDigest(at: Started, settle: (stores: Started['stores']) => Promise<unknown>) {
  const { stores } = await signing(at)
  await settle(stores)
  const [request] = await at.db.selectFrom('requests').select('id').execute()
  const stored = await stores.requests.find(TENANT, request?.id ?? '')
  const { request: asked } = decodeJwt<{ request: { shown_digest: string | null } }>(
    stored?.request.state.receipt ?? '',
  )
  return asked.shown_digest
}

export function receiptContract(kind: StoreKind): void {
  describe('a receipt', () => {
    test('T1: is on every settled request, and on none that is pending', async () => {
      await using at = await start(kind)
      const { stores } = await signing(at)
      await at.session()
      for (const [settlement, over] of [
        [approval(), {}],
        [approval({ outcome: 'rejected', response: 'Hold' }), {}],
        [cancellation, {}],
        [expiration, overdue],
      ] as const) {
        const { request } = await at.ask(over)
        expect(request.state.receipt).toBeNull()
        const event = await stores.requests.settle(request, settlement, 'a')
        const claims = decodeJwt(event?.state.receipt ?? '')
        const settledAt = event?.state.settledAt?.getTime() ?? 0
        expect(claims).toMatchObject({
          iss: 'https://gate.example.com',
          aud: 'client-1',
          sub: request.question.id,
          jti: formatCursor(event?.cursor ?? request.cursor),
          iat: Math.floor(settledAt / 1000),
          outcome: settlement.outcome,
          approved: settlement.outcome === 'approved',
          response: settlement.response,
          decided_by: settlement.decidedBy,
        })
        expect('exp' in claims).toBe(settlement.outcome === 'approved')
      }
    })

    test('T1: has the same bytes for ever, whoever makes it: another process, another address, another key', async () => {
      await using at = await start(kind)
      const first = await signing(at)
      await at.session()
      const { request } = await at.ask()
      const event = await first.stores.requests.settle(request, approval({ comment: 'go 🚀' }), 'a')
      await rotate(at)
      const { stores } = await signing(at, 'http://127.0.0.1:9999')
      const { id } = request.question
      const stored = await stores.requests.find(TENANT, id)
      const page = await stores.log.read({ tenant: TENANT, sessionId: 'session-1' }, 0, 10)
      const receipt = event?.state.receipt
      expect(receipt).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/)
      expect(stored?.request.state.receipt).toBe(receipt)
      expect(page.events.map(({ state }) => state.receipt)).toEqual([null, receipt])
    })

    test('T1: is signed by the key that is current when it is settled, also where nobody was told of it', async () => {
      await using at = await start(kind)
      const { keys, stores } = await signing(at)
      await at.session()
      const kidOf = async () => {
        const { request } = await at.ask()
        const event = await stores.requests.settle(request, approval(), 'a')
        return decodeProtectedHeader(event?.state.receipt ?? '').kid
      }
      const listed = (await keys.jwks()).keys.map(({ kid }) => kid)
      const before = await kidOf()
      await rotate(at)
      const after = await kidOf()
      expect([before, after].sort()).toEqual([...listed].sort())
      expect(before).not.toBe(after)
      await rotate(at)
      await rotate(at)
      // A key that was not there when this process last looked.
      expect(listed).not.toContain(await kidOf())
    })

    test('of ten processes that start at once, all have the same two keys', async () => {
      await using at = await start(kind)
      const all = await Promise.all(times(10, () => signing(at)))
      const kids = await Promise.all(
        all.map(async ({ keys }) => (await keys.jwks()).keys.map(({ kid }) => kid)),
      )
      expect(kids[0]).toHaveLength(2)
      expect(new Set(kids.map((each) => each.join())).size).toBe(1)
    })

    test('of two rotations at once, both happen, one after the other', async () => {
      await using at = await start(kind)
      await signing(at)
      await Promise.all([rotate(at), rotate(at)])
      const statuses = (await new PgReceiptKeyStore(at.db).all()).map(({ status }) => status)
      expect(statuses.sort()).toEqual(['current', 'next', 'retired', 'retired'])
    })

    test('T2: an approval can be acted on for as long as the request says, else for 15 minutes', async () => {
      await using at = await start(kind)
      const { stores } = await signing(at)
      await at.session()
      const secondsOf = async (approvalTtlSeconds?: number) => {
        const { request } = await at.ask({ approvalTtlSeconds })
        const event = await stores.requests.settle(request, approval(), 'a')
        const { iat = 0, exp = 0 } = decodeJwt(event?.state.receipt ?? '')
        return exp - iat
      }
      expect([await secondsOf(), await secondsOf(60)]).toEqual([900, 60])
    })
  })

  describe('what the reviewer was shown', () => {
    const asked = async (at: Started) => {
      await at.session()
      return (await at.ask({}, { plan: () => [{ channel: 'telegram' }] })).request
    }

    test('is nothing when nobody was shown anything', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      expect(
        await shownDigest(at, ({ requests }) => requests.settle(request, approval(), 'a')),
      ).toBeNull()
    })

    test('is the text of the card as it was sent, also when nobody decided', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      const shown = '❓ bot asks\n\nDeploy “v2”?'
      const card = { ...CARD, requestId: request.question.id, shown }
      await at.stores.deliveries.delivered(card, request)
      expect(
        await shownDigest(at, ({ requests }) => requests.settle(request, cancellation, 'a')),
      ).toBe(textDigest(shown))
    })

    test('is what the channel of the decision says that the person saw', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      const card = { ...CARD, requestId: request.question.id, shown: 'as it was sent' }
      await at.stores.deliveries.delivered(card, request)
      const decision = approval({ shown: 'as it was pressed' })
      expect(await shownDigest(at, ({ requests }) => requests.settle(request, decision, 'a'))).toBe(
        textDigest('as it was pressed'),
      )
    })

    test('is the card of the channel where it was decided, before any other', async () => {
      await using at = await start(kind)
      const request = await asked(at)
      const card = { ...CARD, requestId: request.question.id }
      await at.stores.cards.adopt({ ...card, channel: 'a', shown: 'another' })
      await at.stores.cards.adopt({ ...card, channel: 'telegram', shown: 'the right one' })
      const decidedBy = { channel: 'telegram', id: '501', name: 'Ann' }
      expect(
        await shownDigest(at, ({ requests }) =>
          requests.settle(request, approval({ decidedBy }), 'a'),
        ),
      ).toBe(textDigest('the right one'))
    })
  })

  describe('an approval', () => {
    const approved = async (at: Started, over = {}) => {
      await at.session()
      const { request } = await at.ask(over)
      const { id } = request.question
      const row = await at.db
        .selectFrom('requests')
        .select('digest')
        .where('id', '=', id)
        .executeTakeFirstOrThrow()
      const digest = row.digest ?? ''
      expect(digest).toMatch(DIGEST)
      const consume = (tenant = TENANT, given = digest) =>
        at.stores.approvals.consume(tenant, id, given, 'agent:key-1')
      return { request, id, digest, consume }
    }
    const codeOf = async (call: Promise<unknown>) => (await refused(call)) as { code: string }

    test('T3: is spent once, of fifty who try at once', async () => {
      await using at = await start(kind)
      const { request, id, digest, consume } = await approved(at)
      await at.stores.requests.settle(request, approval(), 'a')
      await at.warmUp()
      const other = at.restart()
      const tries = await Promise.allSettled(
        times(50, (i) => (i % 2 ? consume() : other.approvals.consume(TENANT, id, digest, 'b'))),
      )
      expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      expect(await codeOf(consume())).toMatchObject({ code: 'ALREADY_CONSUMED' })
    })

    test('T3: can not be spent for something else, and is not spent by trying', async () => {
      await using at = await start(kind)
      const { request, consume } = await approved(at)
      await at.stores.requests.settle(request, approval(), 'a')
      const other = textDigest('something else')
      expect(await codeOf(consume(TENANT, other))).toMatchObject({ code: 'DIGEST_MISMATCH' })
      await consume()
      expect(await codeOf(consume(TENANT, other))).toMatchObject({ code: 'DIGEST_MISMATCH' })
    })

    test('T2: is none while it is pending, nor when it was answered otherwise', async () => {
      await using at = await start(kind)
      const { request, consume } = await approved(at)
      expect(await codeOf(consume())).toMatchObject({ code: 'NOT_APPROVED' })
      await at.stores.requests.settle(request, approval({ outcome: 'answered' }), 'a')
      expect(await codeOf(consume())).toMatchObject({ code: 'NOT_APPROVED' })
    })

    test('T3: is over when its time is, by the clock of the database; what was spent stays spent', async () => {
      await using at = await start(kind)
      const age = () =>
        sql`UPDATE requests SET settled_at = settled_at - interval '61 seconds'`.execute(at.db)
      const first = await approved(at, { approvalTtlSeconds: 60 })
      await at.stores.requests.settle(first.request, approval(), 'a')
      await age()
      expect(await codeOf(first.consume())).toMatchObject({ code: 'APPROVAL_EXPIRED' })
      const second = await approved(at, { approvalTtlSeconds: 60 })
      await at.stores.requests.settle(second.request, approval(), 'a')
      await second.consume()
      await age()
      expect(await codeOf(second.consume())).toMatchObject({ code: 'ALREADY_CONSUMED' })
    })

    test('may be acted on for longer than PostgreSQL can count', async () => {
      await using at = await start(kind)
      const over = { approvalTtlSeconds: Number.MAX_SAFE_INTEGER }
      const { request, consume } = await approved(at, over)
      await at.stores.requests.settle(request, approval(), 'a')
      expect(await consume()).toBeUndefined()
    })

    test('R8: is not found by another tenant, nor by an id that is none', async () => {
      await using at = await start(kind)
      const { request, consume } = await approved(at)
      await at.stores.requests.settle(request, approval(), 'a')
      expect(await codeOf(consume('theirs'))).toMatchObject({ code: 'REQUEST_NOT_FOUND' })
      const nothing = at.stores.approvals.consume(TENANT, 'nothing', '', 'a')
      expect(await codeOf(nothing)).toMatchObject({ code: 'REQUEST_NOT_FOUND' })
    })
  })
}

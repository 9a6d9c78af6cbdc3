import { type RawBuilder, sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { type AuditOptions, audit } from '../../src/proof/audit.ts'
import { CHECKPOINT_TYP } from '../../src/proof/checkpoint.ts'
import { publicJwk } from '../../src/proof/keys.ts'
import { withAuditSource } from '../../src/storage/audit-source.ts'
import { PgReceiptKeyStore } from '../../src/storage/receipt-key-store.ts'
import { approval, TENANT } from '../support/builders.ts'
import { QUEUED, type Started, type StoreKind, start, times } from './store-harness.ts'
import { rotate, signing } from './store-receipts.suite.ts'

const CARD = { channel: 'telegram', address: '501', message: '1', shown: 'Deploy?' }

/** What an audit finds, and how much it looked at. */
async function findings(at: Started, options: Partial<AuditOptions> = {}) {
  const keys = (await new PgReceiptKeyStore(at.db).all()).map(publicJwk)
  return withAuditSource(at.db, (source) => audit(source, { keys: { keys }, ...options }))
}

/** Three settled requests and a pending one in each of two sessions: 9 events each, in a checkpoint. */
async function history(at: Started) {
  const process = await signing(at)
  const { keys, stores } = process
  for (const sessionId of ['session-1', 'session-2']) {
    await at.session({ id: sessionId })
    for (const i of times(3, (n) => n)) {
      const { request } = await at.ask({ sessionId, message: `Deploy ${i}?` }, { plan: QUEUED })
      const message = `${sessionId} ${i}`
      await stores.deliveries.delivered(
        { ...CARD, message, requestId: request.question.id },
        request,
      )
      if (i < 2) await stores.requests.settle(request, approval(), 'a')
    }
    const { request } = await at.ask({ sessionId })
    await stores.requests.settle(request, approval({ outcome: 'rejected' }), 'b')
  }
  const checkpoint = () =>
    stores.checkpoints.write(TENANT, (claims, kid) => keys.signAs(CHECKPOINT_TYP, claims, kid))
  return { ...process, checkpoint, made: await checkpoint() }
}

/** The rows as a thief with the database would write them: with hashes that fit. */
async function rehash(at: Started, sessionId: string): Promise<void> {
  const { rows } = await withAuditSource(at.db, async (source) => {
    const rows: { seq: number; entry: string }[] = []
    for await (const { sessionId: of, event } of source.events()) {
      if (of === sessionId && event) rows.push(event)
    }
    return { rows }
  })
  let hash = sql<string>`''`
  const last = rows.at(-1)?.seq ?? 0
  let known = ''
  for (const { seq, entry } of rows) {
    hash = sql<string>`encode(sha256(convert_to(${known + entry}::text, 'UTF8')), 'hex')`
    const result = await sql<{ hash: string }>`UPDATE events SET hash = ${hash}
      WHERE session_id = ${sessionId} AND seq = ${seq} RETURNING hash`.execute(at.db)
    known = result.rows[0]?.hash ?? ''
  }
  await sql`UPDATE sessions SET chain = ${known}, seq = ${last} WHERE id = ${sessionId}`.execute(
    at.db,
  )
}

const AT_2 = 'tenant tenant-1, session session-1, event'

/** What is done with SQL, and the row that is named first. */
const TAMPERING: Readonly<Record<string, readonly [RawBuilder<unknown>, string]>> = {
  'a byte of an event': [
    sql`UPDATE events SET state = jsonb_set(state, '{comment}', '"!"') WHERE session_id = 'session-1' AND seq = 5`,
    `${AT_2} 5`,
  ],
  'the time of an event': [
    sql`UPDATE events SET at = at + interval '1 ms' WHERE session_id = 'session-1' AND seq = 4`,
    `${AT_2} 4`,
  ],
  'the hash of an event': [
    sql`UPDATE events SET hash = repeat('0', 64) WHERE session_id = 'session-1' AND seq = 4`,
    `${AT_2} 4`,
  ],
  'the hash of an event away': [
    sql`UPDATE events SET hash = NULL WHERE session_id = 'session-1' AND seq = 4`,
    `${AT_2} 4`,
  ],
  'an event away': [
    sql`DELETE FROM events WHERE session_id = 'session-1' AND seq = 4`,
    `${AT_2} 4: it is missing`,
  ],
  'the newest events away': [
    sql`DELETE FROM events WHERE session_id = 'session-1' AND seq > 8`,
    `${AT_2} 9: it is missing`,
  ],
  'the order of two events': [
    sql`UPDATE events SET seq = CASE seq WHEN 2 THEN -5 ELSE -2 END WHERE session_id = 'session-1' AND seq IN (2, 5)`,
    `${AT_2} -5`,
  ],
  'a session of its events': [
    sql`DELETE FROM events WHERE session_id = 'session-1'`,
    `${AT_2} 1: it is missing`,
  ],
  'the outcome in a request': [
    sql`UPDATE requests SET outcome = 'approved' WHERE session_id = 'session-1' AND outcome = 'rejected'`,
    `${AT_2} 10`,
  ],
  'who settled a request': [
    sql`UPDATE requests SET settled_by = 'c' WHERE session_id = 'session-1' AND settled_by = 'b'`,
    `${AT_2} 10`,
  ],
  'when a request was settled': [
    sql`UPDATE requests SET settled_at = settled_at + interval '1 ms' WHERE session_id = 'session-1' AND outcome = 'rejected'`,
    `${AT_2} 10`,
  ],
  'what the reviewer was shown': [
    sql`UPDATE requests SET shown_digest = 'sha-256:0' WHERE session_id = 'session-1' AND shown_digest IS NOT NULL`,
    `${AT_2} 3`,
  ],
  'a pending request to an approved one': [
    sql`UPDATE requests SET status = 'decided', outcome = 'approved', settled_at = now(), decided_by = '{}' WHERE session_id = 'session-1' AND status = 'pending'`,
    `${AT_2} 8`,
  ],
}

export function auditContract(kind: StoreKind): void {
  describe('the audit', () => {
    test('finds nothing wrong with what nobody touched, and says how much it looked at', async () => {
      await using at = await start(kind)
      await history(at)
      const { problems, counts } = await findings(at)
      expect(problems).toEqual([])
      expect(counts).toMatchObject({
        ...{ sessions: 2, events: 20, unchained: 0, requests: 8, sealed: 6 },
        ...{ checkpoints: 1, heads: 2, prunedHeads: 0 },
      })
    })

    test('T4: finds nothing wrong after many writers at once: each hash is made of the one before', async () => {
      await using at = await start(kind)
      const { stores, checkpoint } = await history(at)
      await at.warmUp()
      const asked = await Promise.all(times(40, () => at.ask({}, { plan: QUEUED })))
      await Promise.all([
        ...asked.map(({ request }) => stores.requests.settle(request, approval(), 'a')),
        ...asked.map(({ request }, i) =>
          stores.deliveries.delivered(
            { ...CARD, message: `race ${i}`, requestId: request.question.id },
            request,
          ),
        ),
        checkpoint(),
        checkpoint(),
      ])
      await checkpoint()
      const { problems, counts } = await findings(at)
      expect(problems).toEqual([])
      expect(counts.events).toBeGreaterThanOrEqual(20 + 80)
    })

    test.each(Object.entries(TAMPERING))(
      'F25: names the row of who changed %s',
      async (_, [act, name]) => {
        await using at = await start(kind)
        await history(at)
        await act.execute(at.db)
        if (name.endsWith('-5')) {
          await sql`UPDATE events SET seq = -seq WHERE session_id = 'session-1' AND seq < 0`.execute(
            at.db,
          )
        }
        const { problems } = await findings(at)
        expect(problems[0]).toContain(name.replace('-5', '2'))
        expect(problems.every((problem) => problem.includes('session-1'))).toBe(true)
      },
    )

    test('F25: names a request whose question was changed, and one that the log does not know', async () => {
      await using at = await start(kind)
      await history(at)
      const { rows } = await sql<{ id: string }>`UPDATE requests SET message = 'Deploy everything?'
        WHERE session_id = 'session-1' AND seq = 10 RETURNING id`.execute(at.db)
      const changed = await findings(at)
      expect(changed.problems).toEqual([
        `tenant tenant-1, session session-1, request ${rows[0]?.id}: what was asked was changed`,
      ])
      await sql`UPDATE requests SET seq = 6 WHERE id = ${rows[0]?.id}`.execute(at.db)
      expect((await findings(at)).problems.join('\n')).toContain(
        `request ${rows[0]?.id}: the log does not know it`,
      )
    })

    test('F25: a chain that was made anew is not the one of the checkpoint', async () => {
      await using at = await start(kind)
      await history(at)
      await sql`UPDATE events SET state = jsonb_set(state, '{comment}', '"!"')
        WHERE session_id = 'session-2' AND seq = 3`.execute(at.db)
      await sql`UPDATE requests SET comment = '!'
        WHERE session_id = 'session-2' AND seq = 3`.execute(at.db)
      await rehash(at, 'session-2')
      expect((await findings(at)).problems).toEqual([
        'tenant tenant-1, session session-2, event 10: it is not the one that was there (checkpoint 1)',
      ])
    })

    test('F25: a log whose end was cut off, head and all, ends before its checkpoint', async () => {
      await using at = await start(kind)
      await history(at)
      await sql`DELETE FROM events WHERE session_id = 'session-1' AND seq > 8`.execute(at.db)
      await sql`DELETE FROM requests WHERE session_id = 'session-1' AND created_seq > 8`.execute(
        at.db,
      )
      await rehash(at, 'session-1')
      expect((await findings(at)).problems).toEqual([
        'tenant tenant-1, session session-1, event 10: it is missing: the log ends with 8 (checkpoint 1)',
      ])
    })

    test('F25: names a checkpoint that was changed, taken away or put in another’s place', async () => {
      await using at = await start(kind)
      const { checkpoint, made } = await history(at)
      await at.ask()
      const second = await checkpoint()
      await at.ask()
      await checkpoint()
      expect((await findings(at)).problems).toEqual([])
      const kept = [made?.jws ?? '', second?.jws ?? '']
      const first = (await findings(at, { checkpoints: kept })).problems
      expect(first).toEqual([])
      await sql`UPDATE checkpoint_heads SET hash = 'x' WHERE number = 2`.execute(at.db)
      expect((await findings(at)).problems[0]).toBe(
        'tenant tenant-1, checkpoint 2: its heads were changed',
      )
      await sql`UPDATE checkpoints SET jws = ${made?.jws} WHERE number = 2`.execute(at.db)
      expect((await findings(at)).problems[0]).toBe(
        'tenant tenant-1, checkpoint 2: it is another one',
      )
      await sql`DELETE FROM checkpoint_heads WHERE number >= 2`.execute(at.db)
      await sql`DELETE FROM checkpoints WHERE number = 2`.execute(at.db)
      expect((await findings(at)).problems[0]).toBe('tenant tenant-1, checkpoint 2: it is missing')
      await sql`DELETE FROM checkpoints WHERE number >= 2`.execute(at.db)
      expect((await findings(at)).problems).toEqual([])
      expect((await findings(at, { checkpoints: kept })).problems).toEqual([
        'tenant tenant-1, checkpoint 2: it is not the one kept elsewhere',
      ])
    })

    test('F25: a receipt that was kept says when its row says something else', async () => {
      await using at = await start(kind)
      const { stores } = await history(at)
      const { request } = await at.ask()
      const event = await stores.requests.settle(request, approval(), 'a')
      const receipts = [event?.state.receipt ?? '']
      const { id } = request.question
      expect((await findings(at, { receipts })).problems).toEqual([])
      await sql`UPDATE requests SET response = 'Hold', outcome = 'rejected' WHERE id = ${id}`.execute(
        at.db,
      )
      expect((await findings(at, { receipts })).problems.at(-1)).toContain(
        `request ${id}: its row does not say what its receipt says`,
      )
      const forged = receipts.map((receipt) => `${receipt.slice(0, -4)}AAAA`)
      expect((await findings(at, { receipts: forged })).problems.at(-1)).toContain('not authentic')
    })

    test('names the key that a receipt would need', async () => {
      await using at = await start(kind)
      await history(at)
      const all = await new PgReceiptKeyStore(at.db).all()
      const key = all.find(({ status }) => status === 'current')
      await rotate(at)
      await sql`DELETE FROM receipt_keys WHERE kid = ${key?.kid}`.execute(at.db)
      const { problems } = await findings(at)
      expect(problems[0]).toContain(`its receipt needs the key ${key?.kid}, which is not there`)
    })

    test('L6: begins where the log begins, after old events were deleted', async () => {
      await using at = await start(kind)
      const { stores, checkpoint } = await history(at)
      await sql`UPDATE requests SET settled_at = settled_at - interval '31 days'
        WHERE session_id = 'session-1' AND seq <= 6`.execute(at.db)
      expect(await stores.pruning.prune(30, undefined)).toMatchObject({ events: 6 })
      await at.ask()
      await checkpoint()
      const { problems, counts } = await findings(at)
      expect(problems).toEqual([])
      expect(counts).toMatchObject({ events: 15, requests: 9, checkpoints: 2, prunedHeads: 0 })
      expect(counts.deletedUntil?.getTime()).toBeLessThan(Date.now() - 30 * 86_400_000)
      await sql`UPDATE sessions SET floor_chain = repeat('0', 64) WHERE id = 'session-1'`.execute(
        at.db,
      )
      expect((await findings(at)).problems[0]).toContain('session session-1, event 7')
    })

    test('a checkpoint is made when something has moved, and only then', async () => {
      await using at = await start(kind)
      const { stores, checkpoint } = await history(at)
      expect(await stores.checkpoints.behind()).toEqual([])
      expect(await checkpoint()).toBeUndefined()
      await at.ask()
      expect(await stores.checkpoints.behind()).toEqual([TENANT])
      const all = await Promise.all(times(8, () => checkpoint()))
      expect(all.filter((made) => made !== undefined)).toHaveLength(1)
      expect(await checkpoint()).toBeUndefined()
    })
  })
}

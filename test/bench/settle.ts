import { sql } from 'kysely'
import { systemClock } from '../../src/clock.ts'
import type { HitlRequest, Settlement } from '../../src/core/request.ts'
import { ReceiptKeys } from '../../src/proof/keys.ts'
import { type Database, openDatabase } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { PgReceiptKeyStore } from '../../src/storage/receipt-key-store.ts'
import { createStores } from '../../src/storage/stores.ts'
import { epochOf } from '../../src/storage/transition.ts'
import { openPostgres } from './postgres.ts'
import { percentiles, table } from './report.ts'

const WRITERS = 16
/** Requests that are settled in each way, in so many turns. */
const REQUESTS = Number(process.env['BENCH_SETTLED'] ?? 9_600)
const TURNS = 30
const TENANT = 'bench'
const BOOT = 'bench'

const APPROVAL: Settlement = {
  status: 'decided',
  outcome: 'approved',
  response: '🚀 Deploy',
  comment: null,
  decidedBy: { channel: 'telegram', id: '501', name: 'Ann' },
}

/** `npm run bench:settle`: what settling costs with the proof of it, beside the same without. */
const postgres = await openPostgres()
try {
  const database = await openDatabase({ type: 'postgres', url: await postgres.database('settle') })
  await migrate(database.db)
  console.log(`Settling ${REQUESTS} requests in each way, with ${WRITERS} writers:\n`)
  console.log(await measure(database))
  await database.close()
} finally {
  await postgres.close()
}

async function measure({ db }: Database): Promise<string> {
  const keys = new ReceiptKeys({
    store: new PgReceiptKeyStore(db),
    clock: systemClock,
    issuer: () => 'https://gate.example.com',
  })
  await keys.open()
  const { requests, sessions } = createStores(db, keys)
  const unsigned = createStores(db).requests
  const ask = async (count: number) => {
    const asked: HitlRequest[] = []
    await Promise.all(
      Array.from({ length: WRITERS }, async (_, writer) => {
        const id = `session-${writer}`
        await sessions.ensure({ tenant: TENANT, id, clientId: id, reviewers: {} })
        for (let i = 0; i < count / WRITERS; i++) {
          const { request } = await requests.submit(TENANT, submission(id), count, () => [])
          asked.push(request)
        }
      }),
    )
    return asked
  }
  const ways = {
    'without chain and receipt': (request: HitlRequest) => settlePlainly(db, request),
    'with chain, without receipt': (request: HitlRequest) =>
      unsigned.settle(request, APPROVAL, 'person:telegram:501'),
    'with chain and receipt': (request: HitlRequest) =>
      requests.settle(request, APPROVAL, 'person:telegram:501'),
  }
  const results = Object.entries(ways).map(([name, settle]) => {
    return { name, settle, ms: 0, times: [] as number[] }
  })
  // Turn by turn, each time another one first: whatever else the machine does, it does to all alike.
  for (let turn = 0; turn <= TURNS; turn++) {
    for (let i = 0; i < results.length; i++) {
      const result = results[(turn + i) % results.length]
      if (!result) continue
      const { ms, each } = await settleAll(await ask(REQUESTS / TURNS), result.settle)
      // The first one warms up.
      if (turn > 0) {
        result.ms += ms
        result.times.push(...each)
      }
    }
  }
  const [bare] = results
  return table(
    ['', 'per second', 'p50 ms', 'p99 ms', 'speed kept'],
    results.map(({ name, ms, times }) => {
      const { p50, p99 } = percentiles(times)
      const kept = `${Math.round(((bare?.ms ?? 0) / ms) * 100)} %`
      const rate = (times.length / ms) * 1000
      return [name, rate.toFixed(0), p50.toFixed(2), p99.toFixed(2), kept]
    }),
  )
}

function submission(session: string) {
  return {
    ...{ sessionId: session, clientId: session, message: 'Deploy v2.1.0 to production?' },
    ...({
      type: 'choice',
      timeoutSeconds: 3_600,
      metadata: { risk: 'medium', tests: 847 },
    } as const),
    options: [
      { label: '🚀 Deploy', effect: 'approve' },
      { label: '⏸️ Hold', effect: 'reject' },
    ] as const,
  }
}

/** All of them, by as many writers as there are, each with one in the air. */
async function settleAll(
  requests: readonly HitlRequest[],
  settle: (request: HitlRequest) => Promise<unknown>,
): Promise<{ ms: number; each: number[] }> {
  const each: number[] = []
  let next = 0
  const began = performance.now()
  await Promise.all(
    Array.from({ length: WRITERS }, async () => {
      for (let request = requests[next++]; request; request = requests[next++]) {
        const start = performance.now()
        if (!(await settle(request))) throw new Error('it was not settled')
        each.push(performance.now() - start)
      }
    }),
  )
  return { ms: performance.now() - began, each }
}

/** The control: settles and writes the event, as the server does, and proves nothing. */
async function settlePlainly(db: Database['db'], { question }: HitlRequest): Promise<boolean> {
  const { outcome, response, decidedBy } = APPROVAL
  const { rows } = await sql`
    WITH locked AS MATERIALIZED (
      SELECT id, tenant, status, expires_at FROM requests WHERE id = ${question.id}
      FOR NO KEY UPDATE
    ), pending AS MATERIALIZED (
      SELECT id FROM locked WHERE tenant = ${question.tenant} AND status = 'pending'
        AND NOT expires_at <= statement_timestamp()
    ), place AS (
      UPDATE sessions SET seq = sessions.seq + 1, epoch = ${epochOf(BOOT)}
      WHERE sessions.tenant = ${question.tenant} AND sessions.id = ${question.sessionId}
        AND EXISTS (SELECT FROM pending)
      RETURNING sessions.seq, sessions.epoch
    ), changed AS (
      UPDATE requests SET seq = place.seq, epoch = place.epoch, status = 'decided',
        outcome = ${outcome}, response = ${response}, comment = NULL,
        decided_by = ${JSON.stringify(decidedBy)}::jsonb, settled_by = 'person:telegram:501',
        settled_at = statement_timestamp()
      FROM place WHERE requests.id = ${question.id}
      RETURNING requests.*
    )
    INSERT INTO events (tenant, session_id, seq, epoch, type, request_id, at, state)
    SELECT tenant, session_id, seq, epoch, 'request.decided', id, settled_at,
      jsonb_build_object('status', status, 'outcome', outcome, 'response', response,
        'comment', comment, 'decidedBy', decided_by, 'delivery', delivery, 'settledAt', settled_at)
    FROM changed
    RETURNING seq, epoch, type, at, state`.execute(db)
  return rows.length > 0
}

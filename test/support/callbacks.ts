import { sql } from 'kysely'
import type { CallbackAnswer, CallbackSender, OwedCallback } from '../../src/core/callback.ts'
import { Callbacks } from '../../src/core/callbacks.ts'
import { Hub } from '../../src/core/hub.ts'
import type { Jobs, Log, Submission } from '../../src/core/ports.ts'
import type { HitlRequest } from '../../src/core/request.ts'
import { PgJobs } from '../../src/storage/jobs.ts'
import { createStores, type Stores } from '../../src/storage/stores.ts'
import { anAgent, aSession, aSubmission } from './builders.ts'
import { RecordedMetrics } from './builders-core.ts'
import { FakeClock } from './clock.ts'
import { type DatabaseKind, openTestDatabase, type TestDatabase } from './database.ts'

export const ARRIVED: CallbackAnswer = { statusCode: 200, error: null, durationMs: 1 }
export const BROKEN: CallbackAnswer = { statusCode: 500, error: 'it answered 500', durationMs: 1 }

/** The outside of a sender: what was sent, and answers as the test says. */
export class FakeSender implements CallbackSender {
  readonly sent: OwedCallback[] = []
  /** The host of whatever is not answered yet. */
  readonly open: string[] = []
  answer: (owed: OwedCallback, signal: AbortSignal) => Promise<CallbackAnswer> = async () => ARRIVED

  async send(owed: OwedCallback, signal: AbortSignal): Promise<CallbackAnswer> {
    const { host } = new URL(owed.url)
    this.sent.push(owed)
    this.open.push(host)
    try {
      return await this.answer(owed, signal)
    } finally {
      this.open.splice(this.open.indexOf(host), 1)
    }
  }

  get urls(): string[] {
    return this.sent.map(({ url }) => url)
  }
}

/** One process: a hub and its callbacks, on a clock of its own. */
export interface Process {
  readonly hub: Hub
  readonly callbacks: Callbacks
  readonly clock: FakeClock
  readonly sender: FakeSender
  readonly jobs: Jobs
  readonly metrics: RecordedMetrics
}

export interface Office extends AsyncDisposable {
  readonly database: TestDatabase['database']
  readonly stores: Stores
  /** Another process on the same database. It is stopped with the office. */
  process(): Process
  ask(hub: Hub, callbackUrl: string, over?: Partial<Submission>): Promise<HitlRequest>
  /** What is owed is due now. */
  everythingIsDue(): Promise<void>
}

const silent: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/** Processes on one database. */
export async function openOffice(kind: DatabaseKind): Promise<Office> {
  const test = await openTestDatabase(kind)
  const { database } = test
  const stores = createStores(database.db)
  const processes: Process[] = []
  await stores.sessions.ensure(aSession())
  return {
    ...{ database, stores },
    process() {
      const one = start(database, stores)
      processes.push(one)
      return one
    },
    ask: async (hub, callbackUrl, over) =>
      (await hub.submit(anAgent(), aSubmission({ callbackUrl, ...over }))).request,
    async everythingIsDue() {
      await sql`UPDATE callbacks SET due_at = clock_timestamp()
        WHERE status = 'owed'`.execute(database.db)
    },
    async [Symbol.asyncDispose]() {
      for (const { callbacks, clock } of processes) {
        const stopped = callbacks.stop()
        clock.advance(10_000)
        await stopped
      }
      await test[Symbol.asyncDispose]()
    },
  }
}

function start(database: TestDatabase['database'], stores: Stores): Process {
  const clock = new FakeClock()
  const metrics = new RecordedMetrics()
  const parts = { clock, metrics, logger: silent }
  const hub = new Hub({ ...parts, ...stores, couriers: [], maxPending: 100_000 })
  const sender = new FakeSender()
  const jobs = new PgJobs(database, 'callbacks', silent)
  const callbacks = new Callbacks({ ...parts, hub, store: stores.callbacks, jobs, sender })
  return { hub, callbacks, clock, sender, jobs, metrics }
}

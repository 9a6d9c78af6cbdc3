import { sql } from 'kysely'
import { expect, vi } from 'vitest'
import type { Card, Courier, OwedAsk, OwedSettle } from '../../src/core/card.ts'
import { Deliveries } from '../../src/core/delivery.ts'
import type { Event } from '../../src/core/event.ts'
import { Expiry } from '../../src/core/expiry.ts'
import { Hub } from '../../src/core/hub.ts'
import type {
  EventLog,
  Log,
  Metrics,
  NewSession,
  Position,
  Submission,
} from '../../src/core/ports.ts'
import type { Audience, HitlRequest } from '../../src/core/request.ts'
import type { EndReason, Reader, Subscription } from '../../src/core/subscription.ts'
import { createStores, type Stores } from '../../src/storage/stores.ts'
import { anAgent, aSession, aSubmission } from './builders.ts'
import { FakeClock } from './clock.ts'
import { openTestDatabase, type TestDatabase } from './database.ts'

/** A hub with what belongs to it, on a database of its own and a clock of the test's. */
export interface Core extends AsyncDisposable {
  readonly hub: Hub
  readonly expiry: Expiry
  readonly deliveries: Deliveries
  readonly stores: Stores
  readonly clock: FakeClock
  readonly db: TestDatabase['database']['db']
  readonly metrics: RecordedMetrics
  /** What was logged at warn. */
  readonly warnings: string[]
  /** Every event that the hub told of, in order. */
  readonly told: Event[]
  session(over?: Partial<NewSession>): ReturnType<Stores['sessions']['ensure']>
  ask(over?: Partial<Submission>): Promise<HitlRequest>
  /** Another process on the same database. */
  another(): Stores
  /** Whatever waits in a row, such as a lease, is due now. */
  everythingIsDue(): Promise<void>
}

export interface CoreOptions {
  readonly couriers?: readonly Courier[]
  readonly maxPending?: number
  /** The log as the hub sees it: the real one, and what happens beside it. */
  readonly log?: (log: EventLog) => EventLog
}

export async function startCore(options: CoreOptions = {}): Promise<Core> {
  const test = await openTestDatabase('pglite')
  const { db } = test.database
  const stores = createStores(db)
  const clock = new FakeClock()
  const metrics = new RecordedMetrics()
  const warnings: string[] = []
  const told: Event[] = []
  const parts = { clock, metrics, logger: recorder(warnings) }
  const couriers = options.couriers ?? []
  const log = options.log?.(stores.log) ?? stores.log
  const hub = new Hub({
    ...parts,
    ...stores,
    log,
    couriers,
    maxPending: options.maxPending ?? 100,
  })
  hub.onEvent((event) => told.push(event))
  const expiry = new Expiry({ ...parts, hub, requests: stores.requests })
  const deliveries = new Deliveries({ ...parts, hub, couriers, store: stores.deliveries })
  return {
    ...{ hub, expiry, deliveries, stores, clock, db, metrics, warnings, told },
    session: (over) => stores.sessions.ensure(aSession(over)),
    ask: async (over) => (await hub.submit(anAgent(), aSubmission(over))).request,
    another: () => createStores(db),
    async everythingIsDue() {
      await sql`UPDATE deliveries SET due_at = clock_timestamp()`.execute(db)
      await sql`UPDATE cards SET due_at = clock_timestamp()`.execute(db)
    },
    async [Symbol.asyncDispose]() {
      await expiry.stop()
      await deliveries.stop()
      hub.stop()
      await test[Symbol.asyncDispose]()
    },
  }
}

const recorder = (warnings: string[]): Log => ({
  debug: () => undefined,
  info: () => undefined,
  warn: (_, text) => warnings.push(text),
  error: (_, text) => warnings.push(text),
})

/** Every call, as `name argument argument`. */
export class RecordedMetrics implements Metrics {
  readonly calls: string[] = []

  submitted(clientId: string): void {
    this.calls.push(`submitted ${clientId}`)
  }

  settled(outcome: string): void {
    this.calls.push(`settled ${outcome}`)
  }

  delivered(channel: string, result: string): void {
    this.calls.push(`delivered ${channel} ${result}`)
  }

  called(result: string): void {
    this.calls.push(`called ${result}`)
  }

  failed(stage: string): void {
    this.calls.push(`failed ${stage}`)
  }
}

/** The outside of a channel: what it was told to show, and what goes wrong there. */
export class FakeCourier implements Courier {
  readonly channel: string
  readonly asked: OwedAsk[] = []
  readonly settled: OwedSettle[] = []
  /** What the next calls throw, one by one; undefined lets the call through. */
  readonly failures: (Error | undefined)[] = []
  /** Who asks waits for this. */
  gate: Promise<void> = Promise.resolve()
  /** The link of `invite`. */
  link: string | undefined

  constructor(channel = 'telegram') {
    this.channel = channel
  }

  unreachable(audience: Audience | undefined): string | undefined {
    return audience?.address ? undefined : 'nobody has joined yet'
  }

  async ask(owed: OwedAsk): Promise<Card> {
    this.asked.push(owed)
    const message = `m${this.asked.length}`
    await this.#outside()
    return {
      requestId: owed.request.question.id,
      channel: this.channel,
      address: owed.audience.address ?? '',
      message,
    }
  }

  async settle(owed: OwedSettle): Promise<void> {
    this.settled.push(owed)
    await this.#outside()
  }

  async invite(): Promise<string | undefined> {
    return this.link
  }

  async #outside(): Promise<void> {
    await this.gate
    const failure = this.failures.shift()
    if (failure) throw failure
  }
}

/** Keeps what a subscription gave. */
export class RecordedReader implements Reader {
  readonly events: Event[] = []
  position: Position | undefined
  subscription: Subscription | undefined
  end: EndReason | undefined

  started(position: Position, subscription: Subscription): void {
    this.position = position
    this.subscription = subscription
  }

  event(event: Event): void {
    this.events.push(event)
  }

  async drained(): Promise<void> {
    return undefined
  }

  ended(reason: EndReason): void {
    this.end = reason
  }

  get types(): string[] {
    return this.events.map(({ type }) => type)
  }
}

/** Waits until the assertion holds. */
export const eventually = <Result>(assertion: () => Result | Promise<Result>): Promise<Result> =>
  vi.waitFor(assertion, { interval: 2, timeout: 5_000 })

/** What a refused call was refused with. */
export const refused = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => expect.fail('it was not refused'),
    (error: unknown) => error,
  )

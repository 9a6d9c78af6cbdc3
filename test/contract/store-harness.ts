import type { Kysely } from 'kysely'
import type { TestContext } from 'vitest'
import type { Event } from '../../src/core/event.ts'
import type {
  NewSession,
  PlannedDelivery,
  Submission,
  Submitted,
  Target,
} from '../../src/core/ports.ts'
import type { Reviewers } from '../../src/core/request.ts'
import type { Tables } from '../../src/storage/schema.ts'
import { createStores, type Stores } from '../../src/storage/stores.ts'
import { approval, aSession, aSubmission, TENANT } from '../support/builders.ts'
import type { TestDatabase } from '../support/database.ts'

export type Ability = 'hold a transaction open beside another one'

/** A database that the stores run on. */
export interface StoreKind {
  readonly name: string
  open(): Promise<TestDatabase>
  /** What it can not do, and why. The tests that need it are skipped by that reason. */
  readonly cannot: Partial<Record<Ability, string>>
}

type Plan = (reviewers: Reviewers) => readonly PlannedDelivery[]

/** The stores of one server on an empty database. */
export interface Started extends AsyncDisposable {
  readonly db: Kysely<Tables>
  readonly stores: Stores
  /** The stores of another start of the server, on the same database. */
  restart(): Stores
  session(over?: Partial<NewSession>): ReturnType<Stores['sessions']['ensure']>
  ask(over?: Partial<Submission>, more?: Asking): Promise<Submitted>
  /** Opens as many connections as there can be, so that what runs at the same time really does. */
  warmUp(): Promise<void>
  /** The whole log of a session. */
  events(target?: Partial<Target>): Promise<readonly Event[]>
}

interface Asking {
  readonly tenant?: string
  readonly maxPending?: number
  readonly plan?: Plan
}

export async function start(kind: StoreKind): Promise<Started> {
  const test = await kind.open()
  const { db } = test.database
  const stores = createStores(db)
  return {
    db,
    stores,
    restart: () => createStores(db),
    session: (over) => stores.sessions.ensure(aSession(over)),
    ask: (over, { tenant = TENANT, maxPending = 1_000, plan = () => [] } = {}) =>
      stores.requests.submit(tenant, aSubmission(over), maxPending, plan),
    async warmUp() {
      await Promise.all(times(16, () => stores.ping()))
    },
    async events(target) {
      const whole = { tenant: TENANT, sessionId: 'session-1', ...target }
      return (await stores.log.read(whole, 0, 10_000)).events
    },
    [Symbol.asyncDispose]: () => test[Symbol.asyncDispose](),
  }
}

/** Skips the test on a database that can not do what it needs. */
export function needs(ability: Ability, kind: StoreKind, context: TestContext): void {
  const reason = kind.cannot[ability]
  if (reason !== undefined) context.skip(`${kind.name} can not ${ability}: ${reason}`)
}

export const times = <Result>(count: number, make: (i: number) => Result): Result[] =>
  Array.from({ length: count }, (_, i) => make(i))

export const QUEUED: Plan = () => [{ channel: 'telegram' }]

/** A request of the session, settled: two events. */
export async function settled(at: Started, sessionId = 'session-1') {
  const { request, events } = await at.ask({ sessionId })
  const event = await at.stores.requests.settle(request, approval(), 'person:console:ann')
  return { request, events: [...events, ...(event ? [event] : [])] }
}

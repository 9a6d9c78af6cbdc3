import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { systemClock } from '../../src/clock.ts'
import { Hub } from '../../src/core/hub.ts'
import type { Person } from '../../src/core/principal.ts'
import { createMetrics } from '../../src/metrics.ts'
import { PgBus } from '../../src/storage/bus.ts'
import { openDatabase } from '../../src/storage/database.ts'
import { migrate } from '../../src/storage/migrate.ts'
import { createStores } from '../../src/storage/stores.ts'

/**
 * Sixteen writers settle as fast as they can, each in a session of its own: in turns through a hub
 * that tells other processes of every decision, and through one that tells nobody.
 */
const WRITERS = 16
const ROUNDS = 10
const EACH = 50
const TENANT = 'bench'
const PERSON: Person = {
  type: 'person',
  tenant: TENANT,
  channel: 'console',
  id: 'b',
  name: 'Bench',
}

const url = process.env['DATABASE_URL'] ?? ''
const database = await openDatabase({ type: 'postgres', url })
await migrate(database.db)
const stores = createStores(database.db)
const logger = pino({ level: 'silent' })
const none = () => Promise.resolve({ owed: 0, failed: 0 })
const metrics = createMetrics({
  activeSessions: () => Promise.resolve(0),
  cards: none,
  callbacks: none,
})
const bus = new PgBus({ db: database.db, url, clock: systemClock, logger, metrics })
const parts = { ...stores, couriers: [], clock: systemClock, logger, metrics, maxPending: 100_000 }
const hubs = { told: new Hub({ ...parts, bus }), silent: new Hub(parts) }
await bus.start()
if (!bus.isUp) throw new Error(bus.description)

const sessions = Array.from({ length: WRITERS }, () => randomUUID())
for (const id of sessions) {
  await hubs.silent.register(PERSON, { sessionId: id, clientId: 'bench', reviewers: {} })
}

/** Questions that are open, for each writer its own. */
const ask = (): Promise<string[][]> =>
  Promise.all(
    sessions.map(async (sessionId) => {
      const ids: string[] = []
      for (let i = 0; i < EACH; i++) {
        const { request } = await hubs.silent.submit(PERSON, {
          ...{ sessionId, clientId: 'bench', message: 'Deploy?', type: 'confirmation' },
          ...{ options: [], metadata: {}, timeoutSeconds: 86_400 },
        })
        ids.push(request.question.id)
      }
      return ids
    }),
  )

/** Seconds until all are settled. */
async function settle(hub: Hub): Promise<number> {
  const all = await ask()
  const start = performance.now()
  const writers = all.map(async (ids) => {
    for (const id of ids) await hub.decide(PERSON, id, { response: 'yes' })
  })
  await Promise.all(writers)
  return (performance.now() - start) / 1_000
}

const seconds = { told: 0, silent: 0 }
for (let round = -1; round < ROUNDS; round++) {
  for (const kind of ['told', 'silent'] as const) {
    const took = await settle(hubs[kind])
    // The first is for warming up.
    if (round >= 0) seconds[kind] += took
  }
}
const count = ROUNDS * WRITERS * EACH
console.log(`told ${Math.round(count / seconds.told)} silent ${Math.round(count / seconds.silent)}`)
await bus.stop()
await database.close()

import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { type Started, type StoreKind, start, times } from './store-harness.ts'

/** So slow that no test waits for it. */
const RATE = { burst: 4, everyMs: 600_000 }

const pass = (at: Started, ms: number) =>
  sql`UPDATE rates SET at = at - make_interval(secs => ${ms / 1_000})`.execute(at.db)

export function rateContract(kind: StoreKind): void {
  describe('a rate', () => {
    test('lets a burst through, of forty processes at once, and no more', async () => {
      await using at = await start(kind)
      await at.warmUp()
      const taken = await Promise.all(times(40, () => at.stores.rates.take('a', RATE, 1)))
      expect(taken.filter((ms) => ms === 0)).toHaveLength(RATE.burst)
      for (const ms of taken.filter((one) => one > 0)) {
        expect(ms).toBeGreaterThan(RATE.everyMs - 60_000)
        expect(ms).toBeLessThanOrEqual(RATE.everyMs)
      }
    })

    test('says when to ask again, and then it is so', async () => {
      await using at = await start(kind)
      const { rates } = at.stores
      for (let i = 0; i < RATE.burst; i++) expect(await rates.take('a', RATE, 1)).toBe(0)
      const ms = await rates.take('a', RATE, 1)
      await pass(at, ms)
      expect(await rates.take('a', RATE, 1)).toBe(0)
      expect(await rates.take('a', RATE, 1)).toBeGreaterThan(RATE.everyMs - 60_000)
    })

    test('counts two for two, and each key for itself', async () => {
      await using at = await start(kind)
      const { rates } = at.stores
      expect(await rates.take('a', RATE, 2)).toBe(0)
      expect(await rates.take('a', RATE, 2)).toBe(0)
      expect(await rates.take('a', RATE, 2)).toBeGreaterThan(RATE.everyMs)
      expect(await rates.take('b', RATE, 2)).toBe(0)
    })

    test('after a long silence lets no larger burst through', async () => {
      await using at = await start(kind)
      const { rates } = at.stores
      await rates.take('a', RATE, 1)
      await pass(at, 100 * RATE.everyMs)
      const taken = await Promise.all(times(10, () => rates.take('a', RATE, 1)))
      expect(taken.filter((ms) => ms === 0)).toHaveLength(RATE.burst)
    })

    test('that is held lets nothing through until then', async () => {
      await using at = await start(kind)
      const { rates } = at.stores
      for (const key of ['new', 'used']) {
        if (key === 'used') await rates.take(key, RATE, 1)
        await rates.hold(key, RATE, 60_000)
        const ms = await rates.take(key, RATE, 1)
        expect(ms).toBeGreaterThan(50_000)
        await pass(at, ms)
        expect(await rates.take(key, RATE, 1)).toBe(0)
      }
    })
  })
}

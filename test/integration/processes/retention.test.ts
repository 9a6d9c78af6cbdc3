import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import type { Clock } from '../../../src/core/ports.ts'
import { openTestDatabase } from '../../support/database.ts'
import { READERS } from '../../support/readers/index.ts'
import { Line } from '../../support/readers/line.ts'
import { startOn } from '../../support/readers/server.ts'

/** Whoever waits for a minute waits for the test instead. */
function impatient() {
  const waiting: (() => void)[] = []
  const clock: Clock = {
    now: systemClock.now,
    after(ms, callback) {
      if (ms !== 60_000) return systemClock.after(ms, callback)
      waiting.push(callback)
      return () => undefined
    },
  }
  return {
    clock,
    aMinuteLater() {
      for (const callback of waiting.splice(0)) callback()
    },
  }
}

test('two servers delete what EVENT_RETENTION_DAYS is over for, and tell who comes from before it', async () => {
  await using at = await openTestDatabase('postgres')
  const { db } = at.database
  const place = { DATABASE_URL: at.url ?? '', EVENT_RETENTION_DAYS: '7' }
  const [first, second] = [impatient(), impatient()]
  await using a = await startOn(place, {}, first.clock)
  await using b = await startOn(place, {}, second.clock)
  const line = await Line.open(a)
  const old = await line.ask()
  const decided = await line.decide(old)
  await sql`UPDATE requests SET settled_at = settled_at - interval '8 days'`.execute(db)
  const young = await line.settled()
  const open = await line.ask()
  await using live = await READERS.websocket(b.url, { target: line.target })
  first.aMinuteLater()
  second.aMinuteLater()
  const log = await expect
    .poll(async () => (await line.log()).map(({ request_id }) => request_id))
    .toEqual([young.request_id, young.request_id, open.request_id])
    .then(() => line.log())
  for (const [name, connect] of Object.entries(READERS)) {
    await using reader = await connect(b.url, { target: line.target, since: old.cursor })
    expect({ name, recovered: reader.place?.recovered }).toEqual({ name, recovered: false })
    expect(await reader.upTo(open.cursor)).toEqual(log)
    await using sound = await connect(b.url, { target: line.target, since: decided.cursor })
    expect(sound.place?.recovered).toBe(true)
    expect(await sound.upTo(open.cursor)).toEqual(log)
  }
  // The request itself is kept, and whoever was up to date goes on.
  expect((await a.view(old.request_id)).outcome).toBe('approved')
  const answered = await line.decide(open)
  expect((await live.upTo(answered.cursor)).map(({ id }) => id)).toEqual([answered.cursor])
})

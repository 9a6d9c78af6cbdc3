import { expect, test } from 'vitest'
import type { EventPruning, SessionKey } from '../../../src/core/ports.ts'
import { Retention } from '../../../src/core/retention.ts'
import { eventually, RecordedMetrics } from '../../support/builders-core.ts'
import { FakeClock } from '../../support/clock.ts'

const HOUR = 3_600_000
const KEY: SessionKey = { tenant: 't', sessionId: 's' }

function open(prune: EventPruning['prune']) {
  const clock = new FakeClock()
  const metrics = new RecordedMetrics()
  const nothing = () => undefined
  const logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }
  const retention = new Retention({ pruning: { prune }, days: 7, clock, logger, metrics })
  return { clock, metrics, retention }
}

test('a minute after the start, batch by batch to the end, and then every hour', async () => {
  const asked: unknown[] = []
  const { clock, retention } = open(async (days, from) => {
    asked.push([days, from])
    return { events: 1, next: asked.length === 1 ? KEY : undefined }
  })
  retention.start()
  expect(clock.next).toBe(60_000)
  clock.advance(60_000)
  await eventually(() => expect(clock.next).toBe(50))
  clock.advance(50)
  await eventually(() => expect(clock.next).toBe(HOUR))
  clock.advance(HOUR)
  await eventually(() => expect(clock.next).toBe(HOUR))
  expect(asked).toEqual([
    [7, undefined],
    [7, KEY],
    [7, undefined],
  ])
})

test('a failure is counted, and the batch is tried again a minute later', async () => {
  const asked: unknown[] = []
  const { clock, metrics, retention } = open(async (_, from) => {
    asked.push(from)
    if (asked.length === 2) throw new Error('the database is away')
    return { events: 0, next: asked.length === 1 ? KEY : undefined }
  })
  retention.start()
  clock.advance(60_000)
  await eventually(() => expect(clock.next).toBe(50))
  clock.advance(50)
  await eventually(() => expect(clock.next).toBe(60_000))
  expect(metrics.calls).toEqual(['failed retention'])
  clock.advance(60_000)
  await eventually(() => expect(clock.next).toBe(HOUR))
  expect(asked).toEqual([undefined, KEY, KEY])
})

test('a stop waits for the batch that is under way, and there is no other', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { clock, retention } = open(async () => {
    await promise
    return { events: 0, next: KEY }
  })
  retention.start()
  clock.advance(60_000)
  let isStopped = false
  const stopping = retention.stop().then(() => {
    isStopped = true
  })
  await Promise.resolve()
  expect(isStopped).toBe(false)
  resolve()
  await stopping
  expect(clock.waiting).toBe(0)
})

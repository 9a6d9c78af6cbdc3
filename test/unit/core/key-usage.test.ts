import { expect, test } from 'vitest'
import { KeyUsage } from '../../../src/core/key-usage.ts'
import { FakeClock } from '../../support/clock.ts'

test('a key was used when it was used, not when that is written', async () => {
  const clock = new FakeClock()
  const written: unknown[] = []
  const store = { used: async (uses: unknown) => void written.push(uses) }
  const usage = new KeyUsage({ store, clock, logger: console })

  usage.note('first')
  usage.note('again')
  clock.advance(4_000)
  usage.note('again')
  clock.advance(3_000)
  await usage.flush()

  expect(written).toEqual([
    [
      { id: 'first', agoMs: 7_000 },
      { id: 'again', agoMs: 3_000 },
    ],
  ])
})

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runExpiryRace } from './expiry-race.ts'

/** By hand, `npm run chaos -- expiry-race` has more of them. */
const ROUNDS = 200

test('a request that is pressed at its very end is decided or expired, and everybody is told the same', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'loopgate-chaos-'))
  const tell = () => undefined
  const report = await runExpiryRace({ rounds: ROUNDS, seed: 1, directory, tell })
  expect(report.wrong).toEqual([])
  expect(report.decided + report.expired).toBe(ROUNDS)
  // It was a race: both happened, and often.
  expect(report.decided).toBeGreaterThan(ROUNDS / 10)
  expect(report.expired).toBeGreaterThan(ROUNDS / 10)
})

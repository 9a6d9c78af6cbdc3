import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseName } from './place.ts'
import { type ChaosReport, runChaos } from './run.ts'

/** What `npm test` has time for. The seed is fixed, so that it plans the same faults each time. */
export function runShort(database: DatabaseName): Promise<ChaosReport> {
  const processes = database === 'postgres' ? 2 : 1
  return runChaos({
    ...{ database, processes, seed: 1, seconds: 25, lines: 12 },
    // What takes longer than this run is left to the long ones.
    only: ['kill', 'SIGTERM', 'reader', 'restart', 'LISTEN', 'slow', 'reset', 'clock', 'Telegram'],
    telegram: processes > 1 ? 'webhook' : 'polling',
    directory: mkdtempSync(join(tmpdir(), 'loopgate-chaos-')),
    tell: () => undefined,
  })
}

import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Envelope } from '../../../src/protocol/types.ts'
import { openDataDirectory } from '../../support/readers/data-directory.ts'
import { READERS } from '../../support/readers/index.ts'
import { Line } from '../../support/readers/line.ts'
import { startOn } from '../../support/readers/server.ts'

/** Runs a server on the directory, and stops it. */
async function during<Value>(
  path: string,
  act: (url: string, line: (id?: string) => Promise<Line>) => Promise<Value>,
): Promise<Value> {
  await using app = await startOn({ LOOPGATE_DATA_DIR: path })
  return await act(app.url, () => Line.open(app, { session_id: 'restored' }))
}

test('after a backup is restored, a cursor from before is told on every transport', async () => {
  using data = await openDataDirectory()
  const backup = mkdtempSync(join(tmpdir(), 'loopgate-backup-'))
  try {
    const kept = await during(data.path, async (_, line) => (await line()).settled())
    cpSync(data.path, backup, { recursive: true })
    // What happens now is undone by restoring the backup, and then other things happen.
    const undone = await during(data.path, async (_, line) => (await line()).settled())
    await during(backup, async (url, line) => {
      const restored = await line()
      const again = await restored.settled()
      expect(seq(again.cursor)).toBe(seq(undone.cursor))
      const log = await restored.log()
      for (const [name, connect] of Object.entries(READERS)) {
        await using reader = await connect(url, { target: restored.target, since: undone.cursor })
        expect({ name, recovered: reader.place?.recovered }).toEqual({ name, recovered: false })
        expect(await reader.upTo(again.cursor)).toEqual(log)
        await using sound = await connect(url, { target: restored.target, since: kept.cursor })
        expect(sound.place).toEqual({ cursor: kept.cursor, recovered: true })
        expect(idsOf(await sound.upTo(again.cursor))).toEqual(idsOf(log.slice(2)))
      }
    })
  } finally {
    rmSync(backup, { recursive: true })
  }
}, 60_000)

const seq = (cursor: string): string => cursor.replace(/^.*-/, '')
const idsOf = (events: readonly Envelope[]): string[] => events.map(({ id }) => id)

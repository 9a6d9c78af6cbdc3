import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Fault } from './fault.ts'

const LEFT_BYTES = 4_096

/** The database's disk is full for a while. */
const full: Fault = {
  name: 'disk full',
  every: [25, 40],
  fits: ({ place }) => place.disk !== undefined,
  async inject({ place: { disk = '', postgres } }, random) {
    const ms = random.whole(500, 4_000)
    const ballast = join(disk, 'ballast')
    const { bavail, bsize } = statfsSync(disk)
    try {
      writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail * bsize - LEFT_BYTES)))
      await setTimeout(ms)
    } finally {
      rmSync(ballast, { force: true })
    }
    return `${ms} ms${postgres ? `, and ${await postgres.revive()}` : ''}`
  },
}

export const diskFaults = [full]

import { setTimeout } from 'node:timers/promises'
import type { Fault } from './fault.ts'

/** Seconds that a drain may take, beyond the grace. */
const GRACE_MS = 20_000

/** A process that is not ready after this long is killed all the same. */
const READY_MS = 15_000

/** kill -9: often at once, also of a process that is just starting, else of one that had its chance. */
const kill: Fault = {
  name: 'kill -9',
  every: [2, 5],
  fits: () => true,
  async inject({ place }, random) {
    const server = random.pick(place.servers)
    const workedMs = random.whole(0, 2_000)
    if (random.chance(0.7)) {
      await server.untilReady(READY_MS).catch(() => undefined)
      await setTimeout(workedMs)
    }
    const when = server.isReady ? 'while it served' : 'while it started'
    server.kill()
    return `process ${server.number} ${when}`
  },
}

/** kill -9 of everything at once. */
const killAll: Fault = {
  name: 'kill -9 all',
  every: [25, 45],
  fits: ({ place }) => place.servers.length > 1,
  async inject({ place }) {
    for (const server of place.servers) server.kill()
    return 'every process'
  },
}

const pause: Fault = {
  name: 'SIGSTOP 30 s',
  every: [60, 90],
  fits: ({ place }) => place.servers.length > 1,
  async inject({ place }, random) {
    const server = random.pick(place.servers)
    server.stop()
    await setTimeout(30_000)
    server.resume()
    return `process ${server.number}`
  },
}

const roll: Fault = {
  name: 'SIGTERM',
  every: [15, 25],
  fits: () => true,
  async inject({ place }, random) {
    const said: string[] = []
    const first = random.whole(0, place.servers.length - 1)
    for (let i = 0; i < place.servers.length; i++) {
      const server = place.servers[(first + i) % place.servers.length]
      if (!server) continue
      const code = await server.end(GRACE_MS)
      if (code === '1' || code === 'late') server.crashes.push(`SIGTERM ended with ${code}`)
      await server.untilReady(30_000).catch(() => undefined)
      said.push(`process ${server.number}: ${code}`)
    }
    return said.join(', ')
  },
}

const JUMP_MS = 600_000

/** The wall clock of one process is set ten minutes off, and back. The database keeps its own. */
const jump: Fault = {
  name: 'clock jump',
  every: [6, 14],
  // An embedded database has the clock of its process.
  fits: ({ place }) => place.postgres !== undefined,
  async inject({ place }, random) {
    const server = random.pick(place.servers)
    const aheadMs = random.pick([JUMP_MS, -JUMP_MS])
    server.order({ type: 'clock', aheadMs })
    await setTimeout(random.whole(2_000, 8_000))
    server.order({ type: 'clock', aheadMs: 0 })
    return `process ${server.number} by ${aheadMs / 1_000} s`
  },
}

export const processFaults = [kill, killAll, pause, roll, jump]

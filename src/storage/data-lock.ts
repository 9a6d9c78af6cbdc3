import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Keeps a second process off the embedded database: with two of them on one directory there is no
 * error, and one loses everything it committed.
 *
 * The lock is a file that says who holds it. Its holder is identified by pid, start time and boot,
 * because in a container every server has the same pid. A lock whose holder is gone is taken over.
 */
export interface Holder {
  readonly pid: number
  /** Field 22 of /proc/<pid>/stat, in clock ticks since boot; null where there is no /proc. */
  readonly startTicks: string | null
  readonly boot: string | null
  readonly since: string
}

export class DataInUseError extends Error {
  override readonly name = 'DataInUseError'

  constructor(dir: string, { pid, since }: Holder) {
    super(
      `${dir} is in use by another Loopgate: process ${pid}, running since ${since}. ` +
        'Stop it, or give this one another LOOPGATE_DATA_DIR.',
    )
  }
}

/** Takes the lock and returns what gives it back. @throws {DataInUseError} */
export function lockDataDirectory(dir: string): () => void {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const path = join(dir, 'loopgate.lock')
  const self = JSON.stringify(describe(process.pid))
  // Written whole under a name of its own, then linked: a lock is never seen half written.
  const own = `${path}.${randomBytes(6).toString('hex')}`
  writeFileSync(own, self, { mode: 0o600 })
  try {
    while (!tryLink(own, path)) breakStale(dir, path)
  } finally {
    rmSync(own, { force: true })
  }
  return () => {
    if (read(path) === self) rmSync(path, { force: true })
  }
}

function tryLink(own: string, path: string): boolean {
  try {
    linkSync(own, path)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  }
}

function breakStale(dir: string, path: string): void {
  const text = read(path)
  if (text === undefined) return
  const holder = parse(text)
  if (holder && isRunning(holder)) throw new DataInUseError(dir, holder)
  // Of several processes that find it stale, the rename succeeds for one.
  const aside = `${path}.${randomBytes(6).toString('hex')}`
  try {
    renameSync(path, aside)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return
    throw error
  }
  // Somebody may have taken it over in between: then it goes back where it was.
  if (read(aside) !== text) tryLink(aside, path)
  rmSync(aside, { force: true })
}

function describe(pid: number): Holder {
  return {
    pid,
    startTicks: startTicks(pid),
    boot: read('/proc/sys/kernel/random/boot_id')?.trim() ?? null,
    since: new Date(Date.now() - process.uptime() * 1000).toISOString(),
  }
}

function isRunning(holder: Holder): boolean {
  const now = describe(holder.pid)
  if (holder.boot !== now.boot) return false
  if (holder.startTicks !== null) return holder.startTicks === now.startTicks
  try {
    process.kill(holder.pid, 0)
    return true
  } catch (error) {
    return !hasCode(error, 'ESRCH')
  }
}

/** The command in field 2 may contain spaces and parentheses: the rest is after the last ")". */
function startTicks(pid: number): string | null {
  const fields = read(`/proc/${pid}/stat`)?.split(') ').at(-1)?.split(' ')
  return fields?.[19] ?? null
}

function parse(text: string): Holder | undefined {
  try {
    return JSON.parse(text) as Holder
  } catch {
    // A file that is no lock of ours keeps nobody out.
    return undefined
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ESRCH')) return undefined
    throw error
  }
}

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code

import { mkdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/**
 * Keeps a second process off the embedded database: with two of them on one directory there is no
 * error, and one loses everything it committed.
 *
 * The lock is the operating system's, on a file that SQLite holds open: it ends with its process,
 * however that ends, and holds between containers that share the directory. Nothing is ever stale,
 * so nothing has to be taken over. Who has it stands in a file beside it, for people.
 */
const LOCK = 'loopgate.lock'
const HOLDER = 'loopgate.holder'

export interface Holder {
  readonly pid: number
  readonly since: string
}

export class DataInUseError extends Error {
  override readonly name = 'DataInUseError'

  constructor(dir: string, holder: Holder | undefined) {
    const who = holder ? `: process ${holder.pid}, running since ${holder.since}` : ''
    super(
      `${dir} is in use by another Loopgate${who}. ` +
        'Stop it, or give this one another LOOPGATE_DATA_DIR.',
    )
  }
}

/** A database that nobody holds is collected, and its lock with it. */
const held = new Set<DatabaseSync>()

/** Takes the lock and returns what gives it back. @throws {DataInUseError} */
export function lockDataDirectory(dir: string): () => void {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const lock = tryLock(join(dir, LOCK))
  const path = join(dir, HOLDER)
  if (!lock) throw new DataInUseError(dir, read(path))
  held.add(lock)
  const self: Holder = {
    pid: process.pid,
    since: new Date(Date.now() - process.uptime() * 1000).toISOString(),
  }
  // Renamed, so that it is never seen half written.
  writeFileSync(`${path}.new`, JSON.stringify(self), { mode: 0o600 })
  renameSync(`${path}.new`, path)
  return () => {
    if (!held.delete(lock)) return
    rmSync(path, { force: true })
    lock.close()
  }
}

/** SQLite result codes (sqlite.org/rescode.html). */
const BUSY = 5
const NOT_A_DATABASE = 26
/** Of processes that try at once one gets it, once the others have let go. */
const TRY_MS = 250

/** Undefined when somebody has it, in this process or another. */
function tryLock(path: string): DatabaseSync | undefined {
  const database = new DatabaseSync(path, { timeout: TRY_MS })
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    return database
  } catch (error) {
    database.close()
    if (hasCode(error, BUSY)) return undefined
    if (!hasCode(error, NOT_A_DATABASE)) throw error
    // Text that somebody put there. It keeps nobody out, and nobody has it: that is BUSY.
    truncateSync(path)
    return tryLock(path)
  }
}

const hasCode = (error: unknown, code: number): boolean =>
  error instanceof Error && 'errcode' in error && error.errcode === code

function read(path: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Holder
  } catch {
    // It has the lock and has not written yet who it is.
    return undefined
  }
}

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import pg from 'pg'

const REVIVE_MS = 5_000

/** A real PostgreSQL for one run, in a process of its own, that can be made to crash. */
export class PostgresServer implements AsyncDisposable {
  readonly url: URL
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor(child: ChildProcess, lines: AsyncIterator<string>, url: string) {
    this.#child = child
    this.#lines = lines
    this.url = new URL(url)
  }

  /** In memory, or in a directory that is to be made. */
  static async start(directory?: string): Promise<PostgresServer> {
    const script = join(import.meta.dirname, '../support/postgres.ts')
    const child = spawn(process.execPath, [script, ...(directory ? [directory] : [])], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
    const { value, done } = await lines.next()
    if (done) throw new Error('PostgreSQL did not start')
    return new PostgresServer(child, lines, value)
  }

  /** All its processes end at once, and it recovers. */
  async restart(): Promise<void> {
    this.#child.stdin?.write('restart\n')
    const { done } = await this.#lines.next()
    if (done) throw new Error('PostgreSQL did not come back')
  }

  /** Gives it time to recover, and starts it when it has ended by itself. */
  async revive(): Promise<string> {
    const until = Date.now() + REVIVE_MS
    while (Date.now() < until) {
      if (await this.#answers()) return 'it went on'
      await setTimeout(100)
    }
    await this.restart()
    return 'it had to be started'
  }

  async #answers(): Promise<boolean> {
    const client = new pg.Client({ connectionString: this.url.href })
    client.on('error', () => undefined)
    try {
      await client.connect()
      await client.query('SELECT 1')
      return true
    } catch {
      return false
    } finally {
      await client.end().catch(() => undefined)
    }
  }

  /** Ends the connections on which somebody listens, as far as they can be told by what they are. */
  async endListeners(): Promise<number> {
    const client = new pg.Client({ connectionString: this.url.href })
    client.on('error', () => undefined)
    try {
      await client.connect()
      const { rowCount } = await client.query(`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND (query ~* '^\\s*listen\\M' OR application_name ~* 'listen')`)
      return rowCount ?? 0
    } finally {
      await client.end().catch(() => undefined)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.stdin?.end()
    await exited
  }
}

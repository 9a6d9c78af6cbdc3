import pg from 'pg'
import { pause } from '../core/pause.ts'
import type { Candidacy, Clock, Lead, Leadership, Log } from '../core/ports.ts'

/** The server ends a session that is silent for so long: its process was stopped, or cut off. */
const IDLE_MS = 10_000
const PING_MS = 3_000
/** An answer that takes longer does not come. With the pause before it: sooner than the server acts. */
const ANSWER_MS = 4_000
/** Without an answer for so long the lock is not ours any more, whatever the connection says. */
const SILENT_MS = IDLE_MS - 1_000
/** How often a follower tries. Waiting inside the lock would hold up vacuum as long as it waits. */
const RETRY_MS = 1_000
const CONNECT_MS = 5_000
const CLOSE_MS = 1_000
const MAX_PAUSE_MS = 5_000

interface Parts {
  /** A direct connection: a pooler would give the session, and with it the lock, to somebody else. */
  readonly url: string
  readonly clock: Clock
  readonly logger: Log
}

/**
 * One leader among the processes on a PostgreSQL, by a session advisory lock.
 *
 * The lock lives as long as its connection, which is used for nothing else. The kernel of a stopped
 * process answers TCP keep-alives for ever, so the session times out when nothing is said on it, and
 * the holder pings. It gives up before the server does: there are never two.
 */
export class PgLeadership implements Leadership {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  campaign(name: string, lead: Lead): Candidacy {
    return new PgCandidacy(name, lead, this.#parts)
  }
}

interface Taken {
  readonly backend: number
  readonly askedAt: number
}

class PgCandidacy implements Candidacy {
  readonly #name: string
  readonly #lead: Lead
  readonly #parts: Parts
  readonly #stopping = new AbortController()
  readonly #tried = Promise.withResolvers<void>()
  readonly #running: Promise<void>
  #standing: Candidacy['standing'] = 'unknown'
  #isOver = false

  constructor(name: string, lead: Lead, parts: Parts) {
    this.#name = name
    this.#lead = lead
    this.#parts = parts
    this.#running = this.#run()
  }

  get standing(): Candidacy['standing'] {
    return this.#standing
  }

  get tried(): Promise<void> {
    return this.#tried.promise
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { clock, logger } = this.#parts
    for (let failures = 0; !this.#isOver && !this.#stopping.signal.aborted; failures++) {
      try {
        if (await this.#compete()) failures = 0
      } catch (error) {
        logger.warn({ name: this.#name, err: error }, 'competing for the lead failed; trying again')
      }
      this.#tried.resolve()
      if (this.#isOver) return
      const ms = Math.min(500 * 2 ** failures, MAX_PAUSE_MS)
      await pause(clock, ms, this.#stopping.signal)
    }
  }

  /** On one connection, until it is lost, or nobody here wants the lead any more. Whether it led. */
  async #compete(): Promise<boolean> {
    const gone = new AbortController()
    const client = new pg.Client({
      connectionString: this.#parts.url,
      application_name: 'loopgate leader',
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: ANSWER_MS,
      keepAlive: true,
    })
    client.on('error', (error) => gone.abort(error))
    client.on('end', () => gone.abort())
    const ended = AbortSignal.any([gone.signal, this.#stopping.signal])
    try {
      await client.connect()
      await client.query(`SET idle_session_timeout = ${IDLE_MS}`)
      while (!ended.aborted) {
        const askedAt = this.#parts.clock.now()
        const backend = await this.#take(client)
        if (backend !== undefined) {
          await this.#hold(client, gone, { backend, askedAt })
          return true
        }
        this.#standing = 'following'
        this.#tried.resolve()
        await pause(this.#parts.clock, RETRY_MS, ended)
      }
      return false
    } finally {
      this.#standing = 'unknown'
      await this.#close(client)
    }
  }

  /** The server's process that has the lock now; undefined when somebody else has it. */
  async #take(client: pg.Client): Promise<number | undefined> {
    const { rows } = await client.query<{ taken: boolean; backend: number }>(
      'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS taken, pg_backend_pid() AS backend',
      [`leader ${this.#name}`],
    )
    const [row] = rows
    return row?.taken ? row.backend : undefined
  }

  async #hold(client: pg.Client, gone: AbortController, taken: Taken): Promise<void> {
    const { logger } = this.#parts
    const done = new AbortController()
    const pinging = this.#ping(client, gone, done.signal, taken)
    const ended = AbortSignal.any([gone.signal, this.#stopping.signal])
    this.#standing = 'leading'
    this.#tried.resolve()
    logger.info({ name: this.#name }, 'this process leads')
    try {
      await this.#lead(ended, gone.signal)
      // Ended by itself: it wants the lead no more.
      this.#isOver = !ended.aborted
    } finally {
      done.abort()
      await pinging
      if (gone.signal.aborted) {
        logger.warn({ name: this.#name, err: gone.signal.reason }, 'this process lost the lead')
      }
    }
  }

  /** Never rejects. A process that was stopped finds out here, by how long ago it last asked. */
  async #ping(
    client: pg.Client,
    gone: AbortController,
    done: AbortSignal,
    { backend, askedAt }: Taken,
  ): Promise<void> {
    const { clock } = this.#parts
    const ended = AbortSignal.any([gone.signal, done])
    let confirmedAt = askedAt
    const isSilent = () => clock.now() - confirmedAt > SILENT_MS
    while (!ended.aborted) {
      await pause(clock, PING_MS, ended)
      if (ended.aborted) return
      const sentAt = clock.now()
      try {
        if (isSilent()) throw new Error('nothing was heard on the connection of the lock')
        await requireBackend(client, backend)
        confirmedAt = sentAt
        if (isSilent()) throw new Error('the connection of the lock was silent for too long')
      } catch (error) {
        gone.abort(error)
      }
    }
  }

  /** Ending the session gives the lock back. A connection that does not end is cut. */
  async #close(client: pg.Client): Promise<void> {
    const late = new AbortController()
    const ending = client.end().catch(() => undefined)
    await Promise.race([ending, pause(this.#parts.clock, CLOSE_MS, late.signal)])
    late.abort()
    client.connection.stream.destroy()
  }
}

/** A pooler that shares its connections leaves the lock with a session that is not ours. */
async function requireBackend(client: pg.Client, backend: number): Promise<void> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  if (rows[0]?.pid === backend) return
  throw new Error('the lock needs a connection of its own: set LISTEN_DATABASE_URL to a direct one')
}

/** On the embedded database there is nobody else. */
export const soleLeadership: Leadership = {
  campaign(_name, lead) {
    const stopping = new AbortController()
    const running = lead(stopping.signal, new AbortController().signal)
    return {
      standing: 'leading',
      tried: Promise.resolve(),
      async stop() {
        stopping.abort()
        await running
      },
    }
  },
}

import type { PgBoss } from 'pg-boss'
import type { Job, Jobs, Log } from '../core/ports.ts'
import type { Database } from './database.ts'

const SCHEMA = 'loopgate_jobs'
/** A job of a process that died is forgotten after this; its row was enqueued again long before. */
const EXPIRE_SECONDS = 120
const KEEP_QUEUED_SECONDS = 24 * 60 * 60
const KEEP_DONE_SECONDS = 60

/**
 * pg-boss as the queue of one kind of work, over the one pool that there is.
 *
 * It is loaded (25 MB) and started when it is first needed, and makes and migrates its schema itself:
 * who has no such work pays nothing for it. Its workers (`work`) are not used. They poll, each for itself; with one
 * job at a time they ignore `burstWhenBatchFull`, and with more a slow job holds up its batch. Retries
 * are not its own either: when to try again depends on what the other side answered.
 */
export class PgJobs implements Jobs {
  readonly #database: Database
  readonly #queue: string
  readonly #logger: Log
  #boss: Promise<PgBoss> | undefined
  #stopped = false

  constructor(database: Database, queue: string, logger: Log) {
    this.#database = database
    this.#queue = queue
    this.#logger = logger
  }

  async enqueue(jobs: readonly Job[]): Promise<void> {
    const boss = await this.#started()
    await boss.insert(
      this.#queue,
      jobs.map(({ key, group }) => ({ singletonKey: key, data: { key }, group: { id: group } })),
    )
  }

  async take(exceptGroups: readonly string[]): Promise<(Job & { id: string }) | undefined> {
    const boss = await this.#started()
    const [job] = await boss.fetch<{ key: string }>(this.#queue, {
      ignoreGroups: [...exceptGroups],
    })
    return job && { id: job.id, key: job.data.key, group: job.groupId ?? '' }
  }

  async done(id: string): Promise<void> {
    const boss = await this.#started()
    await boss.complete(this.#queue, id)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    const boss = await this.#boss?.catch(() => undefined)
    // The pool is not its own, and nobody works for it: there is nothing to wait for.
    await boss?.stop({ graceful: false, close: false })
  }

  #started(): Promise<PgBoss> {
    if (this.#stopped) throw new Error('the job queue is stopped')
    this.#boss ??= this.#start().catch((error: unknown) => {
      this.#boss = undefined
      throw error
    })
    return this.#boss
  }

  async #start(): Promise<PgBoss> {
    const { PgBoss } = await import('pg-boss')
    const { executeSql } = this.#database
    const boss = new PgBoss({
      db: { executeSql: async (text, values) => executeSql(text, values) },
      schema: SCHEMA,
      schedule: false,
      // Both look at the database as a whole, which is its operator's to do.
      reindex: false,
      monitorVacuum: false,
    })
    // Without a listener an 'error' event ends the process.
    boss.on('error', (error) => this.#logger.warn({ err: error }, 'the job queue had an error'))
    boss.on('warning', (warning) => this.#logger.warn({ warning }, 'the job queue warns'))
    try {
      await boss.start()
      await boss.createQueue(this.#queue, {
        // One job waits for a key, and another may be enqueued while it is worked on.
        policy: 'short',
        retryLimit: 0,
        expireInSeconds: EXPIRE_SECONDS,
        retentionSeconds: KEEP_QUEUED_SECONDS,
        deleteAfterSeconds: KEEP_DONE_SECONDS,
      })
    } catch (error) {
      await boss.stop({ graceful: false, close: false }).catch(() => undefined)
      throw error
    }
    return boss
  }
}

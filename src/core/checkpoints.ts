import type { Hub } from './hub.ts'
import type { Clock, Log, Metrics } from './ports.ts'

/** What is done to a log before its checkpoint can be undone without a trace. */
const PERIOD_MS = 60_000
/** After a start, for what the process before has left. */
const FIRST_MS = 5_000

/** What a checkpoint signs. Digests are `sha-256:` and hex. */
export interface CheckpointClaims {
  readonly tenant: string
  /** Counts the tenant's checkpoints by one. */
  readonly number: number
  /** Seconds. */
  readonly iat: number
  /** Of the checkpoint before, as it was signed; null in the first. */
  readonly previous: string | null
  /** The heads of the sessions that have moved since then. */
  readonly heads: { readonly count: number; readonly digest: string }
}

/** Signs with the key. Null when it is not there. */
export type SignCheckpoint = (claims: CheckpointClaims, kid: string) => Promise<string | null>

/** A checkpoint that was written. */
export interface Checkpoint {
  readonly number: number
  /** The signed text. */
  readonly jws: string
  /** False when there are more heads than one checkpoint holds. */
  readonly isComplete: boolean
}

/** Checkpoints over the heads of a tenant's logs, each with the digest of the one before. */
export interface CheckpointStore {
  /** Tenants whose logs have moved since their last checkpoint. */
  behind(): Promise<readonly string[]>
  /** The tenant's next checkpoint. Undefined when nothing has moved, or another process was faster. */
  write(tenant: string, sign: SignCheckpoint): Promise<Checkpoint | undefined>
}

/** Makes a checkpoint, soon after something has changed. Any number of processes may do it. */
export class Checkpoints {
  readonly #parts: Parts
  readonly #moved = new Set<string>()
  #cancel: (() => void) | undefined
  #running: Promise<void> | undefined
  #isBehindKnown = false
  #stopped = false

  constructor(parts: Parts) {
    this.#parts = parts
  }

  start(): void {
    this.#parts.hub.onEvent(({ question }) => this.#moved.add(question.tenant))
    this.#after(FIRST_MS)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel?.()
    await this.#running
  }

  #after(ms: number): void {
    if (this.#stopped) return
    this.#cancel = this.#parts.clock.after(ms, () => {
      this.#running = this.#run()
    })
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { store, logger, metrics } = this.#parts
    try {
      if (!this.#isBehindKnown) for (const tenant of await store.behind()) this.#moved.add(tenant)
      this.#isBehindKnown = true
      for (const tenant of [...this.#moved]) await this.#write(tenant)
    } catch (error) {
      metrics.failed('checkpoint')
      logger.warn({ err: error }, 'making a checkpoint of the log failed')
    }
    this.#after(PERIOD_MS)
  }

  async #write(tenant: string): Promise<void> {
    const { store, sign, logger } = this.#parts
    this.#moved.delete(tenant)
    try {
      for (let isComplete = false; !isComplete && !this.#stopped; ) {
        const made = await store.write(tenant, sign)
        // Kept elsewhere, the line says later that nothing before it was changed.
        if (made) logger.info({ tenant, number: made.number, jws: made.jws }, 'audit checkpoint')
        isComplete = made?.isComplete ?? true
      }
    } catch (error) {
      this.#moved.add(tenant)
      throw error
    }
  }
}

interface Parts {
  readonly hub: Hub
  readonly store: CheckpointStore
  readonly sign: SignCheckpoint
  readonly clock: Clock
  readonly logger: Log
  readonly metrics: Metrics
}

import type { AuthorizationStore } from './account.ts'
import type { Clock, Log, Metrics } from './ports.ts'
import { LOCAL_TENANT, type Principal } from './principal.ts'
import { Rounds } from './rounds.ts'

/** How often those who stay are looked at again, and so how long a revoked one stays at most. */
const LOOK_MS = 2_000

interface Held {
  readonly principal: Principal
  /** By the clock; undefined: it does not end by itself. */
  readonly deadline: number | undefined
  readonly ended: () => void
}

/**
 * Looks after those who were let in and stay: streams, sockets, calls that wait. Whoever's key was
 * revoked, in whichever process, whose user is gone, or whose time is over, is told within seconds.
 */
export class Authorizations {
  readonly #store: AuthorizationStore
  readonly #clock: Clock
  readonly #logger: Log
  readonly #metrics: Pick<Metrics, 'failed'>
  readonly #held: Rounds<Held>

  constructor(parts: {
    store: AuthorizationStore
    clock: Clock
    logger: Log
    metrics: Pick<Metrics, 'failed'>
  }) {
    this.#store = parts.store
    this.#clock = parts.clock
    this.#logger = parts.logger
    this.#metrics = parts.metrics
    this.#held = new Rounds(parts.clock, LOOK_MS, () => this.#look())
  }

  /** Calls `ended` once when the principal is not let in any more. Returns what takes it off. */
  hold(principal: Principal, ended: () => void): () => void {
    if (principal.type === 'local') return () => undefined
    const left = principal.until && principal.until.getTime() - Date.now()
    const deadline = left === undefined ? undefined : this.#clock.now() + left
    return this.#held.add({ principal, deadline, ended })
  }

  stop(): void {
    this.#held.stop()
  }

  /** Never rejects: while the database is away nobody can be let in or out, nor settle anything. */
  async #look(): Promise<void> {
    this.#end(({ deadline }) => deadline !== undefined && deadline <= this.#clock.now())
    const keys = new Set<string>()
    const users = new Set<string>()
    for (const { principal } of this.#held.members) {
      if (principal.type === 'agent') keys.add(principal.id)
      else if (principal.tenant !== LOCAL_TENANT) users.add(principal.tenant)
    }
    if (keys.size + users.size === 0) return
    try {
      const gone = await this.#store.ended({ keys: [...keys], users: [...users] })
      const [goneKeys, goneUsers] = [new Set(gone.keys), new Set(gone.users)]
      this.#end(({ principal }) =>
        principal.type === 'agent' ? goneKeys.has(principal.id) : goneUsers.has(principal.tenant),
      )
    } catch (error) {
      this.#metrics.failed('authorization')
      this.#logger.warn({ err: error }, 'whether keys still hold could not be looked up')
    }
  }

  #end(isOver: (held: Held) => boolean): void {
    for (const held of [...this.#held.members].filter(isOver)) {
      this.#held.members.delete(held)
      held.ended()
    }
  }
}

import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import type { Clock } from '../../core/ports.ts'
import { type Principal, principalKey } from '../../core/principal.ts'

/** A caller that comes back later than this asks anew. */
const KEPT_MS = 15 * 60_000
const MAX_KEPT = 1_000
/** A client that gives up says so in one HTTP request and repeats the call in another: the later may be first. */
const OVERTAKEN_MS = 500

/** Who waits with the same arguments. */
interface Waiting {
  count: number
  /** What is to be called when one of them is done. */
  readonly wake: Set<() => void>
}

/**
 * Questions whose callers left before the answer, and gave no idempotency key: most clients give
 * up after a minute, and the model then calls again with the same arguments. Such a call finds its
 * question, once. Nobody who got an answer, or an id to ask by, is in here, so that one approval is
 * never given to two calls.
 */
export class LeftQuestions {
  readonly #clock: Clock
  readonly #kept = new Map<string, { readonly requestId: string; readonly at: number }>()
  readonly #waiting = new Map<string, Waiting>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Somebody waits. Call what is returned when that is over, and say whether the caller left. */
  waits(principal: Principal, body: object, requestId: string): (isLeft: boolean) => void {
    const key = keyOf(principal, body)
    const waiting = this.#waiting.get(key) ?? { count: 0, wake: new Set() }
    waiting.count++
    this.#waiting.set(key, waiting)
    return (isLeft) => {
      waiting.count--
      if (waiting.count === 0) this.#waiting.delete(key)
      if (isLeft) this.#keep(key, requestId)
      for (const call of waiting.wake) call()
    }
  }

  /** The question that the same principal left with the same body. It is nobody else's then. */
  async take(principal: Principal, body: object): Promise<string | undefined> {
    const key = keyOf(principal, body)
    const waiting = this.#waiting.get(key)
    if (!this.#kept.has(key) && waiting) await this.#next(waiting)
    const kept = this.#kept.get(key)
    this.#kept.delete(key)
    return kept && this.#clock.now() - kept.at < KEPT_MS ? kept.requestId : undefined
  }

  /** An agent was told how it ended, by another call: a repeated one asks anew. */
  told(requestId: string): void {
    for (const [key, kept] of this.#kept) if (kept.requestId === requestId) this.#kept.delete(key)
  }

  async #next({ wake }: Waiting): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    wake.add(resolve)
    const cancel = this.#clock.after(OVERTAKEN_MS, resolve)
    await promise
    cancel()
    wake.delete(resolve)
  }

  #keep(key: string, requestId: string): void {
    this.#kept.delete(key)
    this.#kept.set(key, { requestId, at: this.#clock.now() })
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest)
  }
}

const keyOf = (principal: Principal, body: object): string =>
  createHash('sha256')
    .update(canonicalize([principal.tenant, principalKey(principal), body]) ?? '')
    .digest('hex')

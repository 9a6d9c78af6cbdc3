import type { KeyStore } from './account.ts'
import type { Clock, Log } from './ports.ts'

/** How often what was used is written. */
const FLUSH_MS = 10_000
/** Keys that are remembered until then. More are written sooner. */
const MAX_WAITING = 1_000

/** When keys were used last, written now and then for many calls together. */
export class KeyUsage {
  readonly #store: Pick<KeyStore, 'used'>
  readonly #clock: Clock
  readonly #logger: Log
  /** By id, when by the clock. */
  readonly #waiting = new Map<string, number>()
  #cancel: (() => void) | undefined

  constructor(parts: { store: Pick<KeyStore, 'used'>; clock: Clock; logger: Log }) {
    this.#store = parts.store
    this.#clock = parts.clock
    this.#logger = parts.logger
  }

  note(id: string): void {
    this.#waiting.set(id, this.#clock.now())
    if (this.#waiting.size >= MAX_WAITING) void this.flush()
    else {
      this.#cancel ??= this.#clock.after(FLUSH_MS, () => {
        void this.flush()
      })
    }
  }

  /** Writes what was used. Never rejects: it is what an owner looks at, and decides nothing. */
  async flush(): Promise<void> {
    this.#cancel?.()
    this.#cancel = undefined
    if (this.#waiting.size === 0) return
    const now = this.#clock.now()
    const uses = Array.from(this.#waiting, ([id, at]) => ({ id, agoMs: now - at }))
    this.#waiting.clear()
    try {
      await this.#store.used(uses)
    } catch (error) {
      this.#logger.warn({ err: error, keys: uses.length }, 'when keys were used was not written')
    }
  }
}

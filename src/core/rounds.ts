import type { Clock } from './ports.ts'

/** Looks after its members every so often, as long as there are any, and one round at a time. */
export class Rounds<Member> {
  readonly members: Set<Member> = new Set()
  readonly #clock: Clock
  readonly #everyMs: number
  readonly #look: () => Promise<void>
  #cancel: (() => void) | undefined
  #isLooking = false

  /** `look` MUST NOT reject. */
  constructor(clock: Clock, everyMs: number, look: () => Promise<void>) {
    this.#clock = clock
    this.#everyMs = everyMs
    this.#look = look
  }

  /** Returns what takes it off. */
  add(member: Member): () => void {
    this.members.add(member)
    this.#schedule()
    return () => this.members.delete(member)
  }

  stop(): void {
    this.#cancel?.()
    this.members.clear()
  }

  #schedule(): void {
    if (this.#isLooking) return
    this.#cancel ??= this.#clock.after(this.#everyMs, () => {
      this.#cancel = undefined
      this.#isLooking = true
      void this.#look().finally(() => {
        this.#isLooking = false
        if (this.members.size > 0) this.#schedule()
      })
    })
  }
}

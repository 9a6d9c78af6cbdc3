/** Generous, because the machine of a test may be busy; a test that passes never waits this long. */
export const DEADLINE_MS = 10_000

/** Lets others wait for what becomes true: whoever changes something says so, and they look again. */
export class Watch {
  readonly #looks = new Set<() => void>()

  changed(): void {
    for (const look of [...this.#looks]) look()
  }

  /** What `look` finds as soon as it finds something. `look` may throw to give up. */
  until<Value>(look: () => Value | undefined, complain: () => string): Promise<Value> {
    const { promise, resolve, reject } = Promise.withResolvers<Value>()
    // Not a timer of this process's own, which a test may have stopped.
    const deadline = AbortSignal.timeout(DEADLINE_MS)
    const leave = () => {
      this.#looks.delete(again)
      deadline.removeEventListener('abort', late)
    }
    const again = () => {
      try {
        const found = look()
        if (found === undefined) return
        leave()
        resolve(found)
      } catch (error) {
        leave()
        reject(error)
      }
    }
    const late = () => {
      leave()
      reject(new Error(`not within ${DEADLINE_MS} ms: ${complain()}`))
    }
    this.#looks.add(again)
    deadline.addEventListener('abort', late)
    again()
    return promise
  }
}

/** Things that come one after the other. */
export class Inbox<Item> {
  readonly #items: Item[] = []
  readonly #watch = new Watch()

  get items(): readonly Item[] {
    return this.#items
  }

  push(item: Item): void {
    this.#items.push(item)
    this.#watch.changed()
  }

  /** The first `count` of them. */
  take(count: number): Promise<Item[]> {
    return this.#watch.until(
      () => (this.#items.length >= count ? this.#items.slice(0, count) : undefined),
      () => `${count} things; there are ${this.#items.length}: ${this.#tell()}`,
    )
  }

  /** The first that matches, past or to come. */
  find(matches: (item: Item) => boolean): Promise<Item> {
    return this.#watch.until(
      () => this.#items.find(matches),
      () => `one that matches ${matches}; there are ${this.#items.length}: ${this.#tell()}`,
    )
  }

  #tell(): string {
    return JSON.stringify(this.#items.slice(-5)).slice(0, 2_000)
  }
}

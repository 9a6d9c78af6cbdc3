export interface WaitOptions {
  /** How long to wait, in real milliseconds; the default is the `waitMs` the fake was started with. */
  readonly timeoutMs?: number
  /** Ignore what happened before this call. */
  readonly fresh?: boolean
}

interface Waiter<T> {
  readonly matches: (item: T) => boolean
  readonly resolve: (item: T) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

/** Promises that settle when a matching thing happens; nothing polls. */
export class Waiters<T> {
  readonly #waiters = new Set<Waiter<T>>()

  /** `complain` writes the error a wait ends with when nothing came in time. */
  wait(matches: (item: T) => boolean, timeoutMs: number, complain: () => string): Promise<T> {
    const promise = new Promise<T>((resolve, reject) => {
      const waiter: Waiter<T> = {
        matches,
        resolve,
        reject,
        timer: setTimeout(() => {
          this.#waiters.delete(waiter)
          reject(new Error(complain()))
        }, timeoutMs),
      }
      this.#waiters.add(waiter)
    })
    // A test that ends early leaves its wait behind: closing the fake must not become an unhandled rejection.
    promise.catch(() => undefined)
    return promise
  }

  notify(item: T): void {
    for (const waiter of [...this.#waiters]) {
      if (!waiter.matches(item)) continue
      this.#waiters.delete(waiter)
      clearTimeout(waiter.timer)
      waiter.resolve(item)
    }
  }

  close(): void {
    for (const waiter of this.#waiters) {
      clearTimeout(waiter.timer)
      waiter.reject(new Error('the fake Telegram was closed while this was awaited'))
    }
    this.#waiters.clear()
  }
}

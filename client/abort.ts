import { Disconnected } from './errors.ts'

/** Signals and timers that leave nothing behind. */

export interface Scope {
  readonly signal: AbortSignal
  abort(reason: unknown): void
  /** No longer follows. */
  release(): void
}

/**
 * A signal that follows another one until it is released. AbortSignal.any would stay with a
 * long-lived one, on Node 20.
 */
export function follow(leader: AbortSignal | undefined): Scope {
  const controller = new AbortController()
  const abort = () => controller.abort(leader?.reason)
  leader?.addEventListener('abort', abort)
  if (leader?.aborted) abort()
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    release: () => leader?.removeEventListener('abort', abort),
  }
}

/**
 * Runs a task that is aborted when the time is over.
 * @throws {Disconnected} then, and the signal's reason when that is aborted.
 */
export async function within<T>(
  ms: number,
  signal: AbortSignal | undefined,
  task: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const bounded = follow(signal)
  const timer = setTimeout(
    () => bounded.abort(new Disconnected(`no answer within ${ms} ms`, { isSilence: true })),
    ms,
  )
  try {
    bounded.signal.throwIfAborted()
    return await task(bounded.signal)
  } catch (error) {
    bounded.signal.throwIfAborted()
    throw error
  } finally {
    clearTimeout(timer)
    bounded.release()
  }
}

/** @throws the signal's reason, when it is aborted before the time is over. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      if (signal.aborted) reject(signal.reason)
      else resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
    if (signal.aborted) done()
  })
}

/** The promise's outcome, or the signal's reason as soon as it is aborted. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort)
    if (signal.aborted) abort()
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

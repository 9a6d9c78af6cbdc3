import type { Clock } from './ports.ts'

/** Resolves after `ms`, or when the signal is aborted. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  const { promise, resolve } = Promise.withResolvers<void>()
  const cancel = clock.after(ms, resolve)
  const wake = () => {
    cancel()
    resolve()
  }
  signal.addEventListener('abort', wake)
  return promise.finally(() => signal.removeEventListener('abort', wake))
}

import { setTimeout as pause } from 'node:timers/promises'

/**
 * Waits before another attempt: a random time from half of a limit to the whole. The limit doubles, from
 * 250 ms to `maxMs`. Returns early when the signal is aborted.
 */
export async function backOff(attempt: number, maxMs: number, signal: AbortSignal): Promise<void> {
  const limit = Math.min(250 * 2 ** attempt, maxMs)
  await pause(limit / 2 + (Math.random() * limit) / 2, undefined, { signal }).catch(() => undefined)
}

import type { Clock } from './core/ports.ts'

/** setTimeout fires at once for longer delays. */
const MAX_DELAY_MS = 2_147_483_647

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(ms, 0), MAX_DELAY_MS))
    return () => clearTimeout(timer)
  },
}

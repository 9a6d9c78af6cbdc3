import { pause } from './abort.ts'
import { Disconnected, LoopgateError, unreachable } from './errors.ts'
import type { Timing } from './timing.ts'

/** Said before each new attempt, so that nobody waits without knowing for what. */
export interface Retry {
  /** A call, or the way of receiving that was lost. */
  readonly during: string
  readonly error: Error
  readonly delayMs: number
}

export type OnRetry = (retry: Retry) => void

/** What another attempt may mend. */
export type Trouble = LoopgateError | Disconnected

export const isTrouble = (error: unknown): error is Trouble =>
  error instanceof LoopgateError || error instanceof Disconnected

/**
 * Full jitter: a random time up to a limit that doubles with each attempt. What the server asked for
 * comes before it, and is spread a little, because it asked everybody.
 */
export function delayAfter(error: Trouble, attempt: number, timing: Timing): number {
  const { minBackoffMs, maxBackoffMs } = timing
  const { retryAfterMs } = error
  if (retryAfterMs !== undefined) return retryAfterMs + Math.random() * minBackoffMs
  return Math.random() * Math.min(maxBackoffMs, minBackoffMs * 2 ** attempt)
}

export interface RetryOptions {
  /** What is being tried, for `onRetry`. */
  readonly during: string
  readonly attempts: number
  readonly mayRetry: (error: LoopgateError) => boolean
  readonly timing: Timing
  readonly signal: AbortSignal
  readonly onRetry: OnRetry | undefined
}

/**
 * Tries until there is an answer, one that another attempt does not mend, or no attempt left.
 * @throws {LoopgateError} and the signal's reason.
 */
export async function retrying<T>(task: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { during, timing, signal, onRetry } = options
  for (let attempt = 0; ; attempt++) {
    try {
      return await task()
    } catch (thrown) {
      signal.throwIfAborted()
      const error = asTrouble(thrown, attempt + 1, options)
      const delayMs = delayAfter(error, attempt, timing)
      onRetry?.({ during, error, delayMs })
      await pause(delayMs, signal)
    }
  }
}

/** @throws what was thrown, when there shall be no other attempt. */
function asTrouble(thrown: unknown, made: number, { attempts, mayRetry }: RetryOptions): Trouble {
  if (!isTrouble(thrown)) throw thrown
  const isLast = made >= attempts
  if (thrown instanceof LoopgateError) {
    if (isLast || !mayRetry(thrown)) throw thrown
  } else if (isLast) {
    throw unreachable(thrown)
  }
  return thrown
}

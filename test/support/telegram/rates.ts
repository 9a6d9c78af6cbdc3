import type { Clock } from './clock.ts'
import { tooManyRequests } from './errors.ts'
import { CHAT_BURST, GROUP_PER_MINUTE, OVERALL_PER_SECOND } from './limits.ts'

/** A call made although an earlier 429 said to wait. */
export interface Violation {
  readonly method: string
  readonly chatId: number | undefined
  readonly at: number
  readonly allowedAt: number
}

interface Bucket {
  tokens: number
  at: number
}

const SENDING = new Set(['sendMessage', 'sendDocument', 'editMessageText'])

/**
 * Flood control. After any 429 the calls it covers are refused until its time is over, and each one
 * made meanwhile is a violation. An injected 429 covers its method in its chat; one for going too
 * fast covers all sending to the chat, or all sending when the overall rate was the reason.
 */
export class Rates {
  readonly violations: Violation[] = []
  readonly #clock: Clock
  readonly #enforced: boolean
  readonly #holds = new Map<string, number>()
  readonly #buckets = new Map<number, Bucket>()
  readonly #groupSends = new Map<number, number[]>()
  #sends: number[] = []

  constructor(clock: Clock, enforced: boolean) {
    this.#clock = clock
    this.#enforced = enforced
  }

  /** Refuses a call that a 429 still covers. */
  check(method: string, chatId: number | undefined): void {
    const now = this.#clock.now()
    const ends = coverings(method, chatId).map((key) => this.#holds.get(key) ?? 0)
    const allowedAt = Math.max(...ends)
    if (now >= allowedAt) return
    this.violations.push({ method, chatId, at: now, allowedAt })
    throw tooManyRequests(Math.ceil((allowedAt - now) / 1000))
  }

  /** Starts a 429 that a test asked for. */
  hold(method: string, chatId: number | undefined, seconds: number): Error {
    const key = method === '*' || chatId === undefined ? method : `${method} ${chatId}`
    return this.#refuse(key, seconds)
  }

  /** Counts one message; throws when it is one too many. */
  admit(chatId: number, isGroup: boolean): void {
    if (!this.#enforced) return
    const now = this.#clock.now()
    this.#sends = this.#sends.filter((at) => at > now - 1000)
    if (this.#sends.length >= OVERALL_PER_SECOND) throw this.#refuse('send', 1)
    if (isGroup) this.#checkGroup(chatId, now)
    this.#takeToken(chatId, now)
    this.#sends.push(now)
    this.#groupSends.get(chatId)?.push(now)
  }

  #checkGroup(chatId: number, now: number): void {
    const recent = (this.#groupSends.get(chatId) ?? []).filter((at) => at > now - 60_000)
    this.#groupSends.set(chatId, recent)
    const [oldest] = recent
    if (recent.length >= GROUP_PER_MINUTE && oldest !== undefined) {
      throw this.#refuse(`send ${chatId}`, Math.ceil((oldest + 60_000 - now) / 1000))
    }
  }

  #takeToken(chatId: number, now: number): void {
    const bucket = this.#buckets.get(chatId) ?? { tokens: CHAT_BURST, at: now }
    const tokens = Math.min(CHAT_BURST, bucket.tokens + (now - bucket.at) / 1000)
    this.#buckets.set(chatId, { tokens: tokens < 1 ? tokens : tokens - 1, at: now })
    if (tokens < 1) throw this.#refuse(`send ${chatId}`, Math.ceil(1 - tokens))
  }

  #refuse(key: string, seconds: number): Error {
    this.#holds.set(key, this.#clock.now() + seconds * 1000)
    return tooManyRequests(seconds)
  }
}

function coverings(method: string, chatId: number | undefined): string[] {
  const keys = ['*', method, `${method} ${chatId}`]
  return SENDING.has(method) ? [...keys, 'send', `send ${chatId}`] : keys
}

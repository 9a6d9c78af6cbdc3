import { type IRateLimiterRes, RateLimiterMemory } from 'rate-limiter-flexible'
import { LoopgateError } from '../core/errors.ts'

/** Seconds in which attempts are counted, and so how long anybody is kept waiting at most. */
const WINDOW_SECONDS = 60

/** What is let through in a window. */
const MAX = {
  /** Wrong credentials of an address. A right one is let in all the same. */
  credentials: 60,
  /** Wrong passwords of an address, whichever user they are for. */
  loginsOfAddress: 60,
  /** Wrong passwords for a user, from one address. */
  loginsOfPair: 10,
  /** Wrong passwords for a user, from addresses that the user has never come from. */
  loginsOfUser: 50,
  /** Users made from an address. */
  registrations: 120,
  /** Wrong ones of everybody, which bounds what is remembered. */
  failures: 20_000,
} as const

/** Where users logged in from, to know an owner while others try his name. */
const MAX_KNOWN = 10_000

type Kind = keyof typeof MAX

/**
 * Counts what failed, by address and by user, in the memory of this process. Only wrong passwords
 * and credentials are counted, so that nobody is slowed down by doing right often.
 */
export class Limits {
  readonly #limiters = Object.fromEntries(
    Object.entries(MAX).map(([kind, points]) => [
      kind,
      new RateLimiterMemory({ points, duration: WINDOW_SECONDS, keyPrefix: kind }),
    ]),
  ) as Readonly<Record<Kind, RateLimiterMemory>>
  readonly #known = new Set<string>()

  /** @throws {LoopgateError} RATE_LIMITED for one too many. */
  async wrongCredential(address: string): Promise<void> {
    await this.#count('failures', '')
    await this.#count('credentials', address)
  }

  /** @throws {LoopgateError} RATE_LIMITED for one too many. */
  async registration(address: string): Promise<void> {
    await this.#count('failures', '')
    await this.#count('registrations', address)
  }

  /** @throws {LoopgateError} RATE_LIMITED when too many failed before. */
  async beforeLogin(user: string, address: string): Promise<void> {
    await this.#check('failures', '')
    for (const [kind, key] of this.#countersOf(user, address)) await this.#check(kind, key)
  }

  async wrongLogin(user: string, address: string): Promise<void> {
    await this.#limiters.failures.penalty('')
    for (const [kind, key] of this.#countersOf(user, address)) {
      await this.#limiters[kind].penalty(key)
    }
  }

  /** From here on, what others try does not keep the user out who comes from this address. */
  loggedIn(user: string, address: string): void {
    const pair = pairOf(user, address)
    this.#known.delete(pair)
    this.#known.add(pair)
    const [oldest] = this.#known
    if (this.#known.size > MAX_KNOWN && oldest !== undefined) this.#known.delete(oldest)
  }

  #countersOf(user: string, address: string): readonly (readonly [Kind, string])[] {
    const pair = pairOf(user, address)
    return [
      ['loginsOfAddress', address],
      ['loginsOfPair', pair],
      ...(this.#known.has(pair) ? [] : [['loginsOfUser', user] as const]),
    ]
  }

  async #check(kind: Kind, key: string): Promise<void> {
    const now = await this.#limiters[kind].get(key)
    if (now && now.consumedPoints >= MAX[kind]) throw limited(now)
  }

  async #count(kind: Kind, key: string): Promise<void> {
    await this.#check(kind, key)
    await this.#limiters[kind].penalty(key)
  }
}

const pairOf = (user: string, address: string): string => `${address} ${user}`

const limited = ({ msBeforeNext = 0 }: Partial<IRateLimiterRes>): LoopgateError =>
  new LoopgateError('RATE_LIMITED', 'too many attempts; try again later', {
    retryAfterSeconds: Math.max(1, Math.ceil(msBeforeNext / 1_000)),
  })

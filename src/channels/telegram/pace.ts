import type { Rate } from '../../core/card.ts'
import type { Clock } from '../../core/ports.ts'
import { isGroup } from './reviewers.ts'

export interface Limits {
  readonly overall: Rate
  readonly chat: Rate
  readonly group: Rate
}

/**
 * Bot FAQ: 30 messages a second over all, one a second to a chat (short bursts are let through), 20 a
 * minute to a group. In no second, and in no minute, does burst and rate together come to more.
 */
export const TELEGRAM_LIMITS: Limits = {
  overall: { burst: 4, everyMs: 1_000 / 24 },
  chat: { burst: 4, everyMs: 1_050 },
  group: { burst: 4, everyMs: 3_800 },
}

/** Nobody is told to wait longer before he asks again: of those before him many may be gone by then. */
const HORIZON_MS = 15_000
/** Who does not come when it is his turn has lost it. */
const LATE_MS = 5_000
/** Chats beyond this many are forgotten, those first that had nothing sent for longest. */
const MAX_CHATS = 10_000

interface Line {
  readonly rate: Rate
  /** When the last thing sent would have been, at the even rate (GCRA's theoretical arrival time). */
  sentAt: number
  /** Who waits, and for when; in this order. */
  readonly turns: Map<string, number>
  /** Telegram asked for quiet until then. */
  quietUntil: number
}

/**
 * Keeps what is sent inside Telegram's limits.
 *
 * Every chat has a line of its own, and nobody waits in it here: who is told to wait gives his work
 * back and comes again. So a chat with a thousand cards holds up no other one.
 */
export class Pace {
  readonly #clock: Clock
  readonly #limits: Limits
  readonly #lines = new Map<string, Line>()
  #overallAt = 0
  #quietUntil = 0

  constructor(clock: Clock, limits: Limits) {
    this.#clock = clock
    this.#limits = limits
  }

  /**
   * Asks to send `count` messages to a chat: 0 when they may go now, else how long to wait before
   * asking again under the same key. The turn is kept that long.
   */
  turn(chat: string, key: string, count = 1): number {
    const now = this.#clock.now()
    const line = this.#lineOf(chat)
    const quiet = Math.max(line.quietUntil, this.#quietUntil) - now
    if (quiet > 0) return quiet
    const reserved = line.turns.get(key)
    if (reserved !== undefined && reserved > now) return reserved - now
    line.turns.delete(key)
    dropLate(line, now - LATE_MS)
    const freeAt = freeFrom(line.sentAt, line.rate, count)
    const isNext = reserved !== undefined || line.turns.size === 0
    if (isNext && freeAt <= now) {
      line.sentAt = Math.max(line.sentAt, now) + count * line.rate.everyMs
      return 0
    }
    const last = [...line.turns.values()].at(-1)
    const behind = last === undefined ? 0 : last + count * line.rate.everyMs
    const at = Math.max(freeAt, behind, now + 1)
    if (at > now + HORIZON_MS) return HORIZON_MS
    line.turns.set(key, at)
    return at - now
  }

  /**
   * When `count` messages may go as far as all chats together are concerned, as milliseconds from
   * now. Undefined when that is more than `maxMs` away; else the place is taken.
   */
  place(count: number, maxMs: number): number | undefined {
    const now = this.#clock.now()
    const { overall } = this.#limits
    const wait = Math.max(freeFrom(this.#overallAt, overall, count) - now, 0)
    if (wait > maxMs) return undefined
    this.#overallAt = Math.max(this.#overallAt, now) + count * overall.everyMs
    return wait
  }

  /**
   * Telegram refused a chat's message and asked for quiet. It does not say whether it means the chat
   * or the bot: when a second chat hears it meanwhile, it is the bot. Returns whether it is.
   */
  quiet(chat: string, ms: number): boolean {
    const now = this.#clock.now()
    const until = now + ms
    let isAll = false
    for (const [other, { quietUntil }] of this.#lines) {
      if (other === chat || quietUntil <= now) continue
      isAll = true
      this.#quietUntil = Math.max(until, quietUntil, this.#quietUntil)
    }
    this.#lineOf(chat).quietUntil = until
    return isAll
  }

  rateOf(chat: string): Rate {
    return isGroup(chat) ? this.#limits.group : this.#limits.chat
  }

  get overall(): Rate {
    return this.#limits.overall
  }

  #lineOf(chat: string): Line {
    const known = this.#lines.get(chat)
    if (known) {
      // To the end: the first is the one that was not used for longest.
      this.#lines.delete(chat)
      this.#lines.set(chat, known)
      return known
    }
    const [oldest] = this.#lines.keys()
    if (this.#lines.size >= MAX_CHATS && oldest !== undefined) this.#lines.delete(oldest)
    const line: Line = { rate: this.rateOf(chat), sentAt: 0, turns: new Map(), quietUntil: 0 }
    this.#lines.set(chat, line)
    return line
  }
}

const freeFrom = (sentAt: number, { burst, everyMs }: Rate, count: number): number =>
  sentAt - Math.max(burst - count, 0) * everyMs

function dropLate({ turns }: Line, before: number): void {
  for (const [key, at] of turns) {
    if (at >= before) return
    turns.delete(key)
  }
}

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

/** What is to be sent. `key` is the same for every try; `owner` is on whose behalf it is sent. */
export interface Outgoing {
  readonly key: string
  readonly owner: string
  readonly count: number
}

interface Turn extends Outgoing {
  at: number
}

interface Line {
  readonly rate: Rate
  /** When the last thing sent would have been, at the even rate (GCRA's theoretical arrival time). */
  sentAt: number
  /** Who waits, and for when; in this order. */
  readonly turns: Turn[]
  /** Telegram asked for quiet until then. */
  quietUntil: number
}

/**
 * Keeps what is sent inside Telegram's limits.
 *
 * Every chat has a line of its own, and nobody waits in it here: who is told to wait gives his work
 * back and comes again. So a chat with a thousand cards holds up no other one. In one chat the owners
 * take turns: however much one of them sends, another waits for one more of his at the most.
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
   * Asks to send to a chat: 0 when it may go now, else how long to wait before asking again with the
   * same key. The turn is kept that long.
   */
  turn(chat: string, outgoing: Outgoing): number {
    const now = this.#clock.now()
    const line = this.#lineOf(chat)
    const quiet = Math.max(line.quietUntil, this.#quietUntil) - now
    if (quiet > 0) return quiet
    const { turns, rate } = line
    const place = turns.findIndex(({ key }) => key === outgoing.key)
    const reserved = turns[place]
    if (reserved && reserved.at > now) return Math.min(reserved.at - now, HORIZON_MS)
    if (reserved) turns.splice(place, 1)
    dropLate(line, now - LATE_MS)
    const freeAt = freeFrom(line.sentAt, rate, outgoing.count)
    if ((reserved || turns.length === 0) && freeAt <= now) {
      line.sentAt = Math.max(line.sentAt, now) + outgoing.count * rate.everyMs
      return 0
    }
    const soonest = Math.max(freeAt, now + 1)
    // Whose turn it was stays the next.
    const at = reserved ? insertAt(turns, outgoing, soonest) : lineUp(line, outgoing, soonest, now)
    return Math.min(at - now, HORIZON_MS)
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
    const line: Line = { rate: this.rateOf(chat), sentAt: 0, turns: [], quietUntil: 0 }
    this.#lines.set(chat, line)
    return line
  }
}

const freeFrom = (sentAt: number, { burst, everyMs }: Rate, count: number): number =>
  sentAt - Math.max(burst - count, 0) * everyMs

function dropLate({ turns }: Line, before: number): void {
  const first = turns.findIndex(({ at }) => at >= before)
  turns.splice(0, first < 0 ? turns.length : first)
}

function insertAt(turns: Turn[], outgoing: Outgoing, at: number): number {
  const place = turns.findIndex((turn) => turn.at > at)
  turns.splice(place < 0 ? turns.length : place, 0, { ...outgoing, at })
  return at
}

/**
 * Before the first who has more waiting in front of him, of his own owner, than this one. Returns the
 * time; one that is beyond the horizon is not kept.
 */
function lineUp({ turns, rate }: Line, outgoing: Outgoing, soonest: number, now: number): number {
  const waiting = new Map<string, number>()
  const mine = turns.filter(({ owner }) => owner === outgoing.owner).length
  const place = turns.findIndex(({ owner }) => {
    const before = waiting.get(owner) ?? 0
    waiting.set(owner, before + 1)
    return before > mine
  })
  const took = outgoing.count * rate.everyMs
  const displaced = turns[place]
  const last = turns.at(-1)
  const at = Math.max(soonest, displaced?.at ?? (last ? last.at + took : 0))
  if (at > now + HORIZON_MS) return at
  if (displaced) {
    for (const turn of turns.slice(place)) turn.at += took
    turns.splice(place, 0, { ...outgoing, at })
    // They come again all the same, and line up anew.
    while ((turns.at(-1)?.at ?? now) > now + 2 * HORIZON_MS) turns.pop()
  } else turns.push({ ...outgoing, at })
  return at
}

import type { Event } from './event.ts'
import type { Session, StoredRequest } from './ports.ts'
import type { Audience, HitlRequest, Reviewers } from './request.ts'

/** A request as it stands before a reviewer in one channel. `message` is the channel's own reference. */
export interface Card {
  readonly requestId: string
  readonly channel: string
  readonly address: string
  readonly message: string
  /** The text that it showed when it was sent, as people read it. */
  readonly shown?: string | undefined
}

/** A card that is to be sent. `attempt` counts from 1, here and below. */
export interface OwedAsk {
  readonly type: 'ask'
  readonly channel: string
  readonly audience: Audience
  readonly request: HitlRequest
  readonly attempt: number
}

/** A card that is to show the outcome. */
export interface OwedSettle {
  readonly type: 'settle'
  readonly channel: string
  readonly card: Card
  readonly request: HitlRequest
  readonly attempt: number
}

/** An open card that is to tell that its channel was away for a while. */
export interface OwedRearm {
  readonly type: 'rearm'
  readonly channel: string
  readonly card: Card
  readonly request: HitlRequest
  readonly away: Away
  readonly attempt: number
}

/** What is owed to reviewers. */
export type Owed = OwedAsk | OwedSettle | OwedRearm

/**
 * What became of something that was owed, as the owners of the request see it. An `ask` sends a card;
 * a `settle` shows the outcome on one that is there, a `rearm` that its channel was away.
 *
 * `waiting` for what will make it owed; `owed` until it is `done`, or `failed` for good; `skipped`
 * when the request was settled before anybody was asked.
 */
export interface CardWork {
  readonly type: Owed['type']
  readonly channel: string
  readonly status: 'waiting' | 'owed' | 'done' | 'failed' | 'skipped'
  /** Since it is owed. */
  readonly attempts: number
  /** What the last attempt failed with; null when none did, or a later one did not. */
  readonly error: string | null
  /** When it is tried (again), or when the attempt under way is given up. */
  readonly nextAttemptAt: Date | null
}

/** From when to when nothing was heard from a channel's outside. */
export interface Away {
  readonly from: Date
  readonly to: Date
}

/** When channels were last in touch with their outside, whichever process it was. */
export interface ContactStore {
  /**
   * The channel is in touch, under this name, now. After more than `maxSilenceMs` the open cards with
   * options owe their reviewers a word about it, because what was pressed meanwhile may be lost.
   */
  touch(channel: string, name: string, maxSilenceMs: number): Promise<Away | undefined>
}

/** What requests owe to their reviewers. It is state in rows, so that a crash forgets nothing. */
export interface DeliveryStore {
  /**
   * Takes up to `limit` things that are due, each for `leaseMs`, so that nobody else does them
   * meanwhile. With `requestId`, only what that request owes.
   */
  claim(claim: {
    readonly channels: readonly string[]
    readonly leaseMs: number
    readonly limit: number
    readonly requestId?: string | undefined
  }): Promise<readonly Owed[]>
  /** A card is there. Writes `request.delivered` unless the request is settled, or it was said. */
  delivered(card: Card, request: HitlRequest): Promise<Event | undefined>
  /** Nobody was asked, for good. Writes `request.undelivered` unless the request is settled. */
  undelivered(owed: OwedAsk, error: string): Promise<Event | undefined>
  /** The card shows the outcome; with an error, it never will. */
  closed(card: Card, error?: string): Promise<void>
  /** The card tells of the silence; with an error, it never will. */
  rearmed(owed: OwedRearm, error?: string): Promise<void>
  /** It failed this time: due again after `delayMs`. */
  retry(owed: Owed, delayMs: number, error: string): Promise<void>
  /** It was not tried: due again after `delayMs`, as the same attempt. */
  postpone(owed: Owed, delayMs: number): Promise<void>
  /** What a request owes and owed to its reviewers. */
  list(requestId: string): Promise<readonly CardWork[]>
  /** What is owed now, and what failed for good. */
  count(): Promise<{ readonly owed: number; readonly failed: number }>
}

/** A card as a channel meets it again, when somebody answers on it. */
export interface FoundCard extends StoredRequest {
  /** The session's reviewers now, beside those in the question, as they were when it was asked. */
  readonly reviewers: Reviewers
  /** Whose card the message is: `unknown` when its sending was never confirmed. */
  readonly belongsTo: 'this' | 'another' | 'unknown'
}

/** What a channel reads of the cards at its own addresses. */
export interface CardStore {
  /** The request that a card claims to be of. */
  find(card: Card): Promise<FoundCard | undefined>
  /** The request whose card a message is, if it is one. */
  at(channel: string, address: string, message: string): Promise<string | undefined>
  /** Takes over a card whose sending was never confirmed. */
  adopt(card: Card): Promise<void>
  /** What is open at an address, oldest first. */
  open(channel: string, address: string, limit: number): Promise<readonly HitlRequest[]>
  /** The sessions that ask there. */
  sessions(channel: string, address: string, limit: number): Promise<readonly Session[]>
}

/** Where people are asked, when that changes without anybody here having done it. */
export interface AddressStore {
  /**
   * Everything of the old address is at the new one from now on: its sessions, and what is open
   * there, whose cards are owed anew. The same again changes nothing.
   */
  move(channel: string, from: string, to: string): Promise<void>
  /** The same reviewers, where they are now. */
  current(reviewers: Reviewers): Promise<Reviewers>
  /** Nobody reads there any more: what is open there, sent or not, has failed. Returns the events. */
  unreachable(channel: string, address: string, error: string): Promise<readonly Event[]>
  /** Somebody is there: what had failed and is open is owed again. False when nothing is. */
  reachable(channel: string, address: string): Promise<boolean>
}

/** So many at once, and then one in so many milliseconds. */
export interface Rate {
  readonly burst: number
  readonly everyMs: number
}

/** How fast something is done, by all processes on the database together. */
export interface RateStore {
  /** 0 when `count` may be done now, and then they are counted; else in how many milliseconds to ask again. */
  take(key: string, rate: Rate, count: number): Promise<number>
  /** Nothing may be done for so long. */
  hold(key: string, rate: Rate, ms: number): Promise<void>
}

/** One-time codes by which a reviewer joins a session that was made without one. */
export interface InvitationStore {
  /** Returns the code, 128 random bits in base64url. Only its digest is kept. */
  create(tenant: string, sessionId: string, channel: string, ttlSeconds: number): Promise<string>
  /**
   * Spends a code: the session's audience in the channel is the address from now on, for what is
   * open too, and the open cards are owed. The same person may repeat it. Undefined when the code
   * is unknown, spent, over, or not for this person.
   */
  accept(code: string, channel: string, address: string, by: string): Promise<Session | undefined>
}

/**
 * The part of a channel that asks people.
 *
 * `ask` and `settle` throw a DeliveryError for what is the other side's fault, and NotYet for what
 * would have to wait; anything else that they throw is treated as passing and tried again.
 */
export interface Courier {
  readonly channel: string
  /** Why nobody can be asked there now; undefined when a card can be sent. */
  unreachable(audience: Audience | undefined): string | undefined
  /** What is wrong with who may answer, given where they are asked. */
  problem?(audience: Audience): string | undefined
  /** Shows the request. A repeated call after a lost answer may show it twice; both cards count. */
  ask(owed: OwedAsk): Promise<Card>
  /** Makes the card show the outcome and takes its buttons away. */
  settle(owed: OwedSettle): Promise<void>
  /** Shows that presses may be lost, and keeps the buttons. */
  rearm?(owed: OwedRearm): Promise<void>
  /** A one-time link by which a reviewer joins the session. Undefined while there can be none. */
  invite?(session: Session): Promise<string | undefined>
}

/** A channel could not reach its reviewer. */
export class DeliveryError extends Error {
  override readonly name = 'DeliveryError'
  /** Undefined: trying again is useless. */
  readonly retryAfterMs: number | undefined

  constructor(message: string, retryAfterMs?: number, cause?: unknown) {
    super(message, { cause })
    this.retryAfterMs = retryAfterMs
  }
}

/** It is not this card's turn yet. Nothing failed: it is due again after `retryAfterMs`. */
export class NotYet extends Error {
  override readonly name = 'NotYet'
  readonly retryAfterMs: number

  constructor(retryAfterMs: number) {
    super('not its turn yet')
    this.retryAfterMs = retryAfterMs
  }
}

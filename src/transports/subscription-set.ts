import { invalid } from '../core/errors.ts'
import { type Event, parseSince } from '../core/event.ts'
import type { Hub } from '../core/hub.ts'
import type { Position } from '../core/ports.ts'
import type { Principal } from '../core/principal.ts'
import type { EndReason, Reader, Subscription } from '../core/subscription.ts'
import { toTarget } from '../protocol/requests.ts'

const MAX_SUBSCRIPTIONS = 1_000

/** What a subscription is called on the wire: exactly one of the two. */
export interface Names {
  readonly session_id?: string | undefined
  readonly request_id?: string | undefined
}

/** The other side of a socket. Its methods MUST NOT throw. */
export interface Peer {
  readonly isOpen: boolean
  event(event: Event): void
  /** Says that a subscription has ended. */
  unsubscribed(names: Names, reason: EndReason): void
  /** Resolves when the peer has taken most of what it was sent. */
  drained(): Promise<void>
}

/** The subscriptions that one socket holds, by what they read. */
export class SubscriptionSet {
  readonly #hub: Hub
  readonly #principal: Principal
  readonly #peer: Peer
  #readers: Map<string, PeerReader> | undefined

  constructor(hub: Hub, principal: Principal, peer: Peer) {
    this.#hub = hub
    this.#principal = principal
    this.#peer = peer
  }

  /**
   * Subscribes; what was subscribed already is read from the new place. `started` is told the place
   * before any event.
   * @throws {LoopgateError} as Hub.subscribe, and INVALID_INPUT for one too many.
   */
  async add(
    { session_id, request_id }: Names,
    since: string | undefined,
    started: (position: Position) => void,
  ): Promise<void> {
    const names = session_id === undefined ? { request_id } : { session_id }
    const target = toTarget({ session_id, request_id })
    const key = keyOf(names)
    this.#readers ??= new Map()
    if (this.#readers.size >= MAX_SUBSCRIPTIONS && !this.#readers.has(key)) {
      throw invalid('', `a socket holds at most ${MAX_SUBSCRIPTIONS} subscriptions`)
    }
    this.#readers.get(key)?.drop()
    const reader = new PeerReader(this.#peer, names, started, () => this.#left(key, reader))
    this.#readers.set(key, reader)
    try {
      await this.#hub.subscribe(this.#principal, target, parseSince(since), reader)
    } catch (error) {
      this.#left(key, reader)
      throw error
    }
    if (!this.#peer.isOpen) reader.drop()
    if (!reader.isStarted) throw invalid('', 'overtaken by a later subscribe or unsubscribe')
  }

  /** Ends a subscription and says so, also when there is none. */
  remove({ session_id, request_id }: Names): void {
    toTarget({ session_id, request_id })
    const names = session_id === undefined ? { request_id } : { session_id }
    this.#readers?.get(keyOf(names))?.drop()
    this.#peer.unsubscribed(names, 'left')
  }

  /** The socket is gone. */
  clear(): void {
    for (const reader of [...(this.#readers?.values() ?? [])]) reader.drop()
  }

  #left(key: string, reader: PeerReader): void {
    if (this.#readers?.get(key) === reader) this.#readers.delete(key)
  }
}

const keyOf = ({ session_id, request_id }: Names): string =>
  session_id === undefined ? `request ${request_id}` : `session ${session_id}`

class PeerReader implements Reader {
  readonly #peer: Peer
  readonly #names: Names
  readonly #left: () => void
  #started: ((position: Position) => void) | undefined
  #subscription: Subscription | undefined
  #isDropped = false
  /** Its place was told. */
  isStarted = false

  constructor(peer: Peer, names: Names, started: (position: Position) => void, left: () => void) {
    this.#peer = peer
    this.#names = names
    this.#started = started
    this.#left = left
  }

  started(position: Position, subscription: Subscription): void {
    this.#subscription = subscription
    if (this.#isDropped) subscription.end('left')
    else {
      this.isStarted = true
      this.#started?.(position)
    }
    this.#started = undefined
  }

  event(event: Event): void {
    this.#peer.event(event)
  }

  drained(): Promise<void> {
    return this.#peer.drained()
  }

  ended(reason: EndReason): void {
    this.#left()
    if (!this.#isDropped) this.#peer.unsubscribed(this.#names, reason)
  }

  /** Ends without a word. */
  drop(): void {
    this.#isDropped = true
    this.#subscription?.end('left')
  }
}

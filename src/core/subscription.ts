import { LoopgateError } from './errors.ts'
import { type Cursor, type Event, isTerminal } from './event.ts'
import type { EventLog, Position, Target } from './ports.ts'

/** How much is read from the log at once. */
const PAGE = 100

export type EndReason =
  /** The request that was read is settled; nothing can follow. */
  | 'settled'
  /** The reader's own doing. */
  | 'left'
  /** What comes next is not kept any more: who comes back with its cursor is told so. */
  | 'gone'

/** Takes a subscription's events. Its methods MUST NOT throw. */
export interface Reader {
  /** Called once, before any event. The subscription may be ended from here on, at any time. */
  started(position: Position, subscription: Subscription): void
  event(event: Event): void
  /** Resolves when most of what was given has been taken; replay waits for it after each event. */
  drained(): Promise<void>
  /** Called once, and last. */
  ended(reason: EndReason): void
}

/** Who is told when a subscription is over, or could not read. MUST NOT throw. */
export interface SubscriptionOwner {
  left(subscription: Subscription): void
  failed(error: unknown): void
}

/**
 * One reader of a log.
 *
 *   locating --> replaying --> live --> ended
 *                    ^----------'
 *
 * `locating`   finding the place of the cursor. A hint marks the subscription dirty.
 * `replaying`  reading pages after the cursor. A hint marks it dirty: what it hints at is read.
 * `live`       everything up to the cursor was given; the event with the next `seq` is given as it
 *              comes, and anything else makes it replay. A reading that failed ends here too: the
 *              sweep finds that the log goes beyond the cursor, and wakes it again.
 * `ended`      gives nothing any more.
 *
 * Memory is constant: nothing is queued here, because the log is the queue.
 */
export class Subscription {
  readonly target: Target
  readonly #reader: Reader
  readonly #log: EventLog
  readonly #owner: SubscriptionOwner
  #mode: 'locating' | 'replaying' | 'live' | 'ended' = 'locating'
  #dirty = false
  #cursor: Cursor = { epoch: '', seq: 0 }

  constructor(target: Target, reader: Reader, log: EventLog, owner: SubscriptionOwner) {
    this.target = target
    this.#reader = reader
    this.#log = log
    this.#owner = owner
  }

  /** Everything of the session up to here was given, or is not the reader's. */
  get seq(): number {
    return this.#cursor.seq
  }

  get isLive(): boolean {
    return this.#mode === 'live'
  }

  /**
   * Starts at the position and reads until it is live. The hub registered the subscription before
   * it looked for the position, so an event committed in between is not missed.
   */
  async start(position: Position): Promise<void> {
    if (this.#mode !== 'locating') return
    this.#cursor = position.cursor
    this.#mode = 'replaying'
    this.#reader.started(position, this)
    if (position.isAtEnd && !this.#dirty) this.#goLive()
    await this.#replay()
  }

  /** Takes an event that was committed just now. */
  push(event: Event): void {
    if (this.#mode === 'ended') return
    if (this.#mode !== 'live') {
      this.#dirty = true
      return
    }
    if (event.cursor.seq <= this.#cursor.seq) return
    if (event.cursor.seq === this.#cursor.seq + 1) this.#give(event)
    else this.wake()
  }

  /** Says that the log may have grown. */
  wake(): void {
    if (this.#mode === 'locating' || this.#mode === 'replaying') this.#dirty = true
    else if (this.#mode === 'live') {
      this.#mode = 'replaying'
      void this.#replay()
    }
  }

  end(reason: EndReason): void {
    if (this.#mode === 'ended') return
    this.#mode = 'ended'
    this.#owner.left(this)
    this.#reader.ended(reason)
  }

  /** Never rejects. */
  async #replay(): Promise<void> {
    try {
      while (this.#mode === 'replaying') {
        if (await this.#readPage()) this.#goLive()
      }
    } catch (error) {
      if (error instanceof LoopgateError && error.code === 'CURSOR_GONE') {
        this.end('gone')
        return
      }
      this.#goLive()
      this.#owner.failed(error)
    }
  }

  /** True when nothing followed, and nothing was hinted at meanwhile. */
  async #readPage(): Promise<boolean> {
    this.#dirty = false
    const page = await this.#log.read(this.target, this.#cursor.seq, PAGE)
    for (const event of page.events) {
      this.#give(event)
      // A page may be larger than what a reader may have waiting.
      await this.#reader.drained()
    }
    if (page.seq > this.#cursor.seq) this.#cursor = { ...this.#cursor, seq: page.seq }
    return page.complete && !this.#dirty
  }

  #goLive(): void {
    if (this.#mode === 'replaying') this.#mode = 'live'
  }

  #give(event: Event): void {
    if (this.#mode === 'ended') return
    this.#cursor = event.cursor
    const { requestId } = this.target
    if (requestId !== undefined && event.question.id !== requestId) return
    this.#reader.event(event)
    if (requestId !== undefined && isTerminal(event)) this.end('settled')
  }
}

import type { Envelope, Hello } from '../src/protocol/types.ts'
import { pause } from './abort.ts'
import type { Connection, Reading } from './connections/connection.ts'
import { isFinal, LoopgateError } from './errors.ts'
import type { Fallback } from './fallback.ts'
import { delayAfter, isTrouble, type OnRetry, type Trouble } from './retry.ts'
import type { Timing } from './timing.ts'
import { readEvent } from './wire.ts'

/** Hears what happens in a session. Its methods MUST NOT throw. */
export interface Listener {
  /**
   * Reading has begun, or begun again. `continues`: nothing is missing between what was heard before
   * and what comes next; else it must be looked up.
   */
  placed(continues: boolean): void
  event(envelope: Envelope): void
  /** Called last. */
  failed(error: unknown): void
}

export interface Membership {
  /** Whether reading began for this listener, at its `since`. */
  readonly isFirst: boolean
  leave(): void
}

export interface FeedContext {
  readonly fallback: Fallback
  readonly timing: Timing
  readonly onRetry: OnRetry | undefined
}

/** The sessions that are read now: one feed each, for as long as somebody listens. */
export class Feeds {
  readonly #context: FeedContext
  readonly #feeds = new Map<string, Feed>()

  constructor(context: FeedContext) {
    this.#context = context
  }

  /** `since` is where to begin when the session is not read yet; undefined: from now on. */
  join(sessionId: string, listener: Listener, since?: string): Membership {
    const running = this.#feeds.get(sessionId)
    const feed = running ?? this.#open(sessionId, since)
    feed.add(listener)
    return { isFirst: running === undefined, leave: () => feed.remove(listener) }
  }

  #open(sessionId: string, since: string | undefined): Feed {
    const feed = new Feed(sessionId, since, this.#context, () => {
      if (this.#feeds.get(sessionId) === feed) this.#feeds.delete(sessionId)
    })
    this.#feeds.set(sessionId, feed)
    feed.start()
    return feed
  }
}

/** A connection that lasted this long was one, whether or not something happened on it. */
const SOUND_MS = 10_000

/** How many events are remembered, to tell a repeated one. After a gap the server begins anew. */
const MEMORY = 10_000

/**
 * Reads one session's log until nobody listens, over whatever gets through.
 *
 *   picking --> connecting --started--> placed --lost--> pausing --> picking
 *                   `-------lost or refused for now-------^
 *
 * The cursor moves with each event, so that every connection goes on where the last one ended. What
 * coming back does not mend ends the feed, and every listener is told.
 */
class Feed {
  readonly #sessionId: string
  readonly #context: FeedContext
  readonly #ended: () => void
  readonly #listeners = new Set<Listener>()
  readonly #seen = new Set<string>()
  readonly #gone = new AbortController()
  #cursor: string | undefined
  #isPlaced = false
  #events = 0

  constructor(
    sessionId: string,
    since: string | undefined,
    context: FeedContext,
    ended: () => void,
  ) {
    this.#sessionId = sessionId
    this.#cursor = since
    this.#context = context
    this.#ended = ended
  }

  start(): void {
    void this.#run().catch((error: unknown) => this.#fail(error))
  }

  add(listener: Listener): void {
    this.#listeners.add(listener)
    if (this.#isPlaced) listener.placed(true)
  }

  remove(listener: Listener): void {
    this.#listeners.delete(listener)
    if (this.#listeners.size === 0) this.#end()
  }

  async #run(): Promise<void> {
    const { fallback, timing, onRetry } = this.#context
    let attempt = 0
    while (!this.#gone.signal.aborted) {
      const connection = fallback.pick()
      const began = performance.now()
      this.#events = 0
      const error = await this.#read(connection)
      if (this.#gone.signal.aborted) return
      const isSound = this.#isSound(error, performance.now() - began)
      if (isSound) fallback.succeeded(connection)
      else if (error?.retryAfterMs === undefined) fallback.failed(connection, error)
      attempt = isSound ? 0 : attempt + 1
      if (error) {
        const delayMs = delayAfter(error, attempt, timing)
        onRetry?.({ during: connection.name, error, delayMs })
        await pause(delayMs, this.#gone.signal).catch(() => undefined)
      }
    }
  }

  /** Returns what ended the reading; undefined when it may go on at once. */
  async #read(connection: Connection): Promise<Trouble | undefined> {
    const reading: Reading = {
      sessionId: this.#sessionId,
      since: this.#cursor,
      signal: this.#gone.signal,
      started: (hello) => this.#started(hello),
      event: (value) => this.#event(value),
    }
    try {
      await connection.read(reading)
      return undefined
    } catch (error) {
      const isMendable = isTrouble(error) && !(error instanceof LoopgateError && isFinal(error))
      if (!isMendable) throw error
      return error
    } finally {
      this.#isPlaced = false
    }
  }

  #isSound(error: Trouble | undefined, ms: number): boolean {
    if (error === undefined || this.#events > 0) return true
    const isSilence = 'isSilence' in error && error.isSilence
    return ms >= SOUND_MS && !isSilence
  }

  #started({ cursor, recovered }: Hello): void {
    const continues = recovered && this.#cursor !== undefined
    this.#cursor = cursor
    this.#isPlaced = true
    this.#tell((listener) => listener.placed(continues))
  }

  #event(value: unknown): void {
    if (this.#gone.signal.aborted) return
    try {
      const { cursor, envelope } = readEvent(value, this.#sessionId)
      this.#cursor = cursor
      this.#events++
      if (!envelope || !this.#isNew(cursor)) return
      this.#tell((listener) => listener.event(envelope))
    } catch (error) {
      this.#fail(error)
    }
  }

  #isNew(cursor: string): boolean {
    if (this.#seen.has(cursor)) return false
    this.#seen.add(cursor)
    const [oldest] = this.#seen
    if (this.#seen.size > MEMORY && oldest !== undefined) this.#seen.delete(oldest)
    return true
  }

  #fail(error: unknown): void {
    if (this.#gone.signal.aborted) return
    this.#end()
    this.#tell((listener) => listener.failed(error))
    this.#listeners.clear()
  }

  /** Whoever leaves on the way is told no more, and whoever joins is not told yet. */
  #tell(say: (listener: Listener) => void): void {
    for (const listener of [...this.#listeners]) {
      if (this.#listeners.has(listener)) say(listener)
    }
  }

  #end(): void {
    this.#gone.abort()
    this.#ended()
  }
}

import type { Clock } from './clock.ts'
import {
  WEBHOOK_GONE_LIMIT,
  WEBHOOK_RESEND_MAX_SECONDS,
  WEBHOOK_RETRY_AFTER_MAX_SECONDS,
} from './limits.ts'
import type { QueuedUpdate, UpdateQueue } from './updates.ts'
import { Waiters } from './waiters.ts'
import { Courier, type Delivery } from './webhook-courier.ts'

export interface WebhookSettings {
  readonly url: string
  readonly secretToken: string
  readonly maxConnections: number
}

/** What one update has been through at this webhook. */
interface Progress {
  busy: boolean
  fails: number
  /** Seconds; doubles with every failure but the first. */
  delay: number
}

interface Session {
  readonly settings: WebhookSettings
  readonly courier: Courier
  readonly progress: Map<QueuedUpdate, Progress>
  readonly alarms: Set<() => void>
  busy: number
  goneSince: number | undefined
}

export interface WebhookError {
  readonly date: number
  readonly message: string
}

/** One POST to the webhook and what came of it. */
export interface WebhookAttempt {
  readonly updateId: number
  readonly at: number
  readonly ok: boolean
  /** 0 without an answer. */
  readonly status: number
  /** Undefined when the update will not be sent again. */
  readonly retryInSeconds: number | undefined
}

/**
 * Delivery by webhook: one update at a time in each lane, lanes in parallel up to `max_connections`;
 * a failing update holds back its lane and comes again at once, after 2, 4, 8 … seconds, then every
 * 60–120, or after Retry-After, until its life ends.
 */
export class Webhook {
  readonly attempts: WebhookAttempt[] = []
  readonly attempted = new Waiters<WebhookAttempt>()
  readonly #queue: UpdateQueue
  readonly #clock: Clock
  readonly #runReply: (body: Buffer, contentType: string) => void
  readonly #answerWithinMs: number
  #session: Session | undefined
  #pumping: NodeJS.Immediate | undefined
  #isHeldBack = false
  lastError: WebhookError | undefined

  constructor(
    queue: UpdateQueue,
    clock: Clock,
    options: {
      readonly runReply: (body: Buffer, contentType: string) => void
      readonly answerWithinMs: number
    },
  ) {
    this.#queue = queue
    this.#clock = clock
    this.#runReply = options.runReply
    this.#answerWithinMs = options.answerWithinMs
    queue.onQueued(() => this.#pumpSoon())
  }

  get settings(): WebhookSettings | undefined {
    return this.#session?.settings
  }

  set(settings: WebhookSettings): void {
    this.clear()
    this.#session = {
      settings,
      courier: new Courier(settings, this.#answerWithinMs),
      progress: new Map(),
      alarms: new Set(),
      busy: 0,
      goneSince: undefined,
    }
    this.#pumpSoon()
  }

  /** Ends deliveries under way; what they carried stays pending. */
  clear(): void {
    const session = this.#session
    this.#session = undefined
    this.lastError = undefined
    for (const cancel of session?.alarms ?? []) cancel()
    session?.courier.close()
  }

  /**
   * Brings nothing for `ms` of Telegram's time, and then the first of every lane, one after the
   * other, the newest first: between lanes there is no order that anybody could rely on.
   */
  reverse(ms: number): void {
    if (this.#isHeldBack) return
    this.#isHeldBack = true
    this.#clock.after(ms, () => {
      this.#isHeldBack = false
      void this.#deliverReversed()
    })
  }

  close(): void {
    this.clear()
    this.attempted.close()
    if (this.#pumping) clearImmediate(this.#pumping)
  }

  #pumpSoon(): void {
    if (!this.#session || this.#pumping) return
    this.#pumping = setImmediate(() => {
      this.#pumping = undefined
      this.#pump()
    })
  }

  #pump(): void {
    const session = this.#session
    if (!session || this.#isHeldBack) return
    for (const { entry, progress } of this.#take(session)) {
      void this.#deliver(session, entry, progress)
    }
  }

  async #deliverReversed(): Promise<void> {
    const session = this.#session
    if (!session) return
    for (const { entry, progress } of this.#take(session).reverse()) {
      if (this.#session !== session) return
      await this.#deliver(session, entry, progress)
    }
    this.#pumpSoon()
  }

  /** What may go now, oldest first: the first of each lane, if it is not under way. */
  #take(session: Session): { entry: QueuedUpdate; progress: Progress }[] {
    const lanes = new Set<string>()
    const taken: { entry: QueuedUpdate; progress: Progress }[] = []
    for (const entry of this.#queue.pending()) {
      if (session.busy >= session.settings.maxConnections) break
      if (lanes.has(entry.lane)) continue
      lanes.add(entry.lane)
      const progress = session.progress.get(entry) ?? { busy: false, fails: 0, delay: 1 }
      if (progress.busy) continue
      session.progress.set(entry, progress)
      progress.busy = true
      session.busy += 1
      taken.push({ entry, progress })
    }
    return taken
  }

  async #deliver(session: Session, entry: QueuedUpdate, progress: Progress): Promise<void> {
    entry.delivered = true
    const delivery = await session.courier.post(JSON.stringify(entry.body))
    session.busy -= 1
    if (this.#session !== session) return
    const retryInSeconds = delivery.ok
      ? this.#succeeded(session, entry, delivery)
      : this.#failed(session, entry, progress, delivery)
    const { ok, status } = delivery
    const attempt = { updateId: entry.key, at: this.#clock.now(), ok, status, retryInSeconds }
    this.attempts.push(attempt)
    this.attempted.notify(attempt)
    this.#pumpSoon()
  }

  #succeeded(session: Session, entry: QueuedUpdate, delivery: Delivery): undefined {
    session.goneSince = undefined
    session.progress.delete(entry)
    this.#queue.settle(entry, 'confirmed')
    this.#runReply(delivery.body, delivery.contentType)
  }

  /** The seconds until the next try, or undefined when there is none. */
  #failed(
    session: Session,
    entry: QueuedUpdate,
    progress: Progress,
    delivery: Delivery,
  ): number | undefined {
    if (delivery.error !== '') {
      this.lastError = { date: this.#clock.seconds(), message: delivery.error }
    }
    if (this.#isGone(session, delivery)) {
      this.clear()
      return undefined
    }
    const wait = nextWait(progress, delivery)
    if (this.#clock.now() + wait * 1000 > entry.expiresAt) {
      session.progress.delete(entry)
      this.#queue.settle(entry, 'expired')
      return undefined
    }
    if (wait === 0) progress.busy = false
    else this.#sleep(session, progress, wait)
    return wait
  }

  #sleep(session: Session, progress: Progress, seconds: number): void {
    const cancel = this.#clock.after(seconds * 1000, () => {
      session.alarms.delete(cancel)
      progress.busy = false
      this.#pumpSoon()
    })
    session.alarms.add(cancel)
  }

  /** 410 for most of a day removes the webhook. */
  #isGone(session: Session, delivery: Delivery): boolean {
    if (delivery.status !== 410) {
      session.goneSince = undefined
      return false
    }
    session.goneSince ??= this.#clock.now()
    return this.#clock.now() > session.goneSince + WEBHOOK_GONE_LIMIT
  }
}

/** The first failure is followed by a try at once; a Retry-After replaces the growing wait. */
function nextWait(progress: Progress, delivery: Delivery): number {
  const retryAfter = Math.min(Math.max(delivery.retryAfter, 0), WEBHOOK_RETRY_AFTER_MAX_SECONDS)
  const isFirst = progress.fails === 0
  progress.fails += 1
  if (retryAfter > 0 || isFirst) return retryAfter
  const cap = WEBHOOK_RESEND_MAX_SECONDS * (1 + Math.random())
  progress.delay = Math.min(cap, progress.delay * 2)
  return progress.delay
}

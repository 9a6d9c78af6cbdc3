import type { Clock } from './clock.ts'
import { type ApiFailure, conflict, OTHER_POLLER, WEBHOOK_ACTIVE } from './errors.ts'
import { CONFLICT_PAUSE, POLL_LIMIT_MAX, POLL_TIMEOUT_MAX_SECONDS } from './limits.ts'
import type { QueuedUpdate, UpdateQueue } from './updates.ts'
import { Waiters } from './waiters.ts'

export interface PollRequest {
  readonly offset: number
  /** Clamped to 1–100. */
  readonly limit: number
  /** Clamped to 50 s; real seconds, since the client counts them too. */
  readonly timeoutSeconds: number
  /** Ends when the client hangs up. */
  readonly signal: AbortSignal
}

interface WaitingPoll {
  readonly request: PollRequest
  readonly timer: NodeJS.Timeout
  readonly answer: (updates: QueuedUpdate[]) => void
  readonly fail: (error: ApiFailure) => void
}

/**
 * getUpdates. Only a poll that has to wait ends the one waiting before it; polls that find updates
 * get them both. The rule that slows down repeated polls with the same offset is not modelled.
 */
export class Poller {
  readonly started = new Waiters<PollRequest>()
  readonly #queue: UpdateQueue
  readonly #clock: Clock
  #waiting: WaitingPoll | undefined
  #wakeUp: NodeJS.Immediate | undefined
  #nextConflictAt = 0
  #rivalUntil = 0

  constructor(queue: UpdateQueue, clock: Clock) {
    this.#queue = queue
    this.#clock = clock
    queue.onQueued(() => this.#onQueued())
  }

  get isWaiting(): boolean {
    return this.#waiting !== undefined
  }

  poll(request: PollRequest, webhookActive: boolean): Promise<QueuedUpdate[]> {
    if (webhookActive) return Promise.reject(conflict(WEBHOOK_ACTIVE))
    if (this.#clock.now() < this.#rivalUntil) return this.#conflicted(OTHER_POLLER)
    const updates = this.#read(request)
    const seconds = Math.min(Math.max(request.timeoutSeconds, 0), POLL_TIMEOUT_MAX_SECONDS)
    if (updates.length > 0 || seconds === 0) return Promise.resolve(updates)
    this.interrupt(OTHER_POLLER)
    return new Promise((answer, fail) => {
      const timer = setTimeout(() => this.#finish(waiting), seconds * 1000)
      const waiting: WaitingPoll = { request, timer, answer, fail }
      this.#waiting = waiting
      this.started.notify(request)
      request.signal.addEventListener('abort', () => this.#abandon(waiting), { once: true })
    })
  }

  /** Ends the waiting poll with 409. */
  interrupt(reason: string): void {
    const waiting = this.#waiting
    if (!waiting) return
    this.#forget(waiting)
    this.#conflicted(reason).catch(waiting.fail)
  }

  /** Another instance polls for `ms`: every poll of ours ends with 409. */
  rival(ms: number): void {
    this.#rivalUntil = this.#clock.now() + ms
    this.interrupt(OTHER_POLLER)
  }

  close(): void {
    this.started.close()
    if (this.#waiting) this.#abandon(this.#waiting)
    if (this.#wakeUp) clearImmediate(this.#wakeUp)
  }

  /** The first conflict is told at once, one soon after it only after a pause. */
  #conflicted(reason: string): Promise<never> {
    const now = this.#clock.now()
    if (now >= this.#nextConflictAt) {
      this.#nextConflictAt = now + CONFLICT_PAUSE
      return Promise.reject(conflict(reason))
    }
    return new Promise((_, reject) => {
      this.#clock.after(CONFLICT_PAUSE, () => reject(conflict(reason)))
    })
  }

  #read(request: PollRequest): QueuedUpdate[] {
    const limit = Math.min(Math.max(request.limit, 1), POLL_LIMIT_MAX)
    return this.#queue.read(request.offset, limit)
  }

  /** Updates made in one turn come in one batch. */
  #onQueued(): void {
    if (!this.#waiting || this.#wakeUp) return
    this.#wakeUp = setImmediate(() => {
      this.#wakeUp = undefined
      if (this.#waiting) this.#finish(this.#waiting)
    })
  }

  #finish(waiting: WaitingPoll): void {
    this.#forget(waiting)
    waiting.answer(this.#read(waiting.request))
  }

  /** Nobody listens any more: nothing is read, so nothing is confirmed. */
  #abandon(waiting: WaitingPoll): void {
    this.#forget(waiting)
    waiting.answer([])
  }

  #forget(waiting: WaitingPoll): void {
    clearTimeout(waiting.timer)
    if (this.#waiting === waiting) this.#waiting = undefined
  }
}

import type {
  Callback,
  CallbackAnswer,
  CallbackSender,
  CallbackStore,
  DueCallback,
  OwedCallback,
} from './callback.ts'
import { invalid, LoopgateError } from './errors.ts'
import { isTerminal } from './event.ts'
import type { Hub } from './hub.ts'
import type { Clock, Job, Jobs, Log, Metrics } from './ports.ts'
import type { Principal } from './principal.ts'

/** What a crash, an outage or a failed attempt left behind is found this soon. */
const SWEEP_MS = 3_000
/** Taken by one sweep, and how long each has to come up in the queue before it is enqueued again. */
const SWEEP_LIMIT = 500
const QUEUED_MS = 15_000
/** Longer than a sender may take. */
const LEASE_MS = 20_000
/** Attempts at once: in all, for one tenant, and for one tenant's receiver. */
const PARALLEL = 32
const PARALLEL_OF_TENANT = 16
const PARALLEL_OF_GROUP = 4
/** A tenant that has its share of attempts under way waits this long. */
const SHARE_PAUSE_MS = 1_000
/** What is under way at a stop may end by itself for so long. */
const STOP_MS = 1_000
/** The schedule of Standard Webhooks: the delays after the first, second, … failure. */
const DELAYS_S = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400] as const
/** Each is a post for every request of the session. */
const MAX_OF_SESSION = 10
/** A receiver may not put an attempt off further than this. */
const MAX_RETRY_AFTER_MS = 86_400_000
const GONE = 410

/**
 * Posts settled requests to the addresses that their agents named: at-least-once, from what the rows say
 * is owed. A job is only this process's or another's memory of a row.
 *
 * A slow receiver delays nobody else: it has a few attempts under way at once, and so has a tenant.
 */
export class Callbacks {
  readonly #parts: CallbackParts
  readonly #underWay = new Map<Promise<void>, { tenant: string; group: string }>()
  readonly #stopping = new AbortController()
  /** Groups of tenants that have their share under way, passed over until a place is free. */
  readonly #paused = new Set<string>()
  /** Settled requests whose callbacks are not enqueued yet. */
  readonly #settled = new Set<string>()
  #work: Promise<void> | undefined
  #isDirty = false
  #cancelSweep: (() => void) | undefined
  #isSweepDue = false
  /** The queue is looked at from the first work on. */
  #isUsed = false
  #isStopped = false

  constructor(parts: CallbackParts) {
    this.#parts = parts
  }

  start(): void {
    this.#parts.hub.onEvent((event) => {
      if (!event.question.hasCallbacks || !isTerminal(event)) return
      // Beyond this many the sweep takes over: a burst waits in its rows.
      if (this.#settled.size < SWEEP_LIMIT) this.#settled.add(event.question.id)
      this.#wake()
    })
    this.#scheduleSweep(0)
  }

  /** What is under way is cut off after a moment, and is somebody else's then. */
  async stop(): Promise<void> {
    const { promise: over, resolve } = Promise.withResolvers<void>()
    this.#isStopped = true
    this.#cancelSweep?.()
    const cancel = this.#parts.clock.after(STOP_MS, resolve)
    await this.#work
    await Promise.race([Promise.all(this.#underWay.keys()), over])
    cancel()
    this.#stopping.abort()
    await Promise.all(this.#underWay.keys())
    await this.#parts.jobs.stop()
  }

  /**
   * Posts every request of the session to the address when it settles, those that are pending now and
   * those to come. The same address again is the same registration.
   * @returns its id, and the secret that the posts are signed with (`whsec_` and base64).
   * @throws {LoopgateError} SESSION_NOT_FOUND; INVALID_INPUT, naming `/url`, for one too many.
   */
  async register(
    principal: Principal,
    sessionId: string,
    url: string,
  ): Promise<{ readonly id: string; readonly secret: string }> {
    const { hub, store } = this.#parts
    const session = await hub.session(principal, sessionId)
    const id = await store.register(session, url, MAX_OF_SESSION)
    return { id, secret: session.webhookSecret }
  }

  /** @throws {LoopgateError} REQUEST_NOT_FOUND. */
  async list(principal: Principal, requestId: string): Promise<readonly Callback[]> {
    const { question } = await this.#parts.hub.get(principal, requestId)
    return question.hasCallbacks ? this.#parts.store.list(question.id) : []
  }

  /**
   * Posts the callbacks of a settled request again, also those that arrived, and enables a receiver
   * that said it was gone. The webhook-id stays.
   * @throws {LoopgateError} REQUEST_NOT_FOUND; NOT_FOUND without a callback; INVALID_INPUT while it
   * is pending.
   */
  async resend(principal: Principal, requestId: string): Promise<readonly Callback[]> {
    const { question, state } = await this.#parts.hub.get(principal, requestId)
    if (!question.hasCallbacks) {
      throw new LoopgateError('NOT_FOUND', 'nobody is called back for this request')
    }
    if (state.status === 'pending') {
      throw invalid('/request_id', 'the request is open: there is nothing to send yet')
    }
    await this.#parts.store.resend(question.id)
    this.#settled.add(question.id)
    this.#wake()
    return this.#parts.store.list(question.id)
  }

  #scheduleSweep(ms: number): void {
    if (this.#isStopped) return
    this.#cancelSweep = this.#parts.clock.after(ms, () => {
      this.#isSweepDue = true
      this.#paused.clear()
      this.#wake()
      this.#scheduleSweep(SWEEP_MS)
    })
  }

  /** One round at a time; whoever wakes meanwhile makes another one follow. */
  #wake(): void {
    this.#isDirty = true
    if (this.#work !== undefined || this.#isStopped) return
    this.#work = this.#rounds()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#work = undefined
        if (this.#isDirty) this.#wake()
      })
  }

  async #rounds(): Promise<void> {
    while (this.#isDirty && !this.#isStopped) {
      this.#isDirty = false
      await this.#enqueue()
      await this.#take()
    }
  }

  async #enqueue(): Promise<void> {
    const { store, jobs } = this.#parts
    const settled = [...this.#settled]
    this.#settled.clear()
    const due = settled.length > 0 ? [...(await store.ofRequests(settled))] : []
    if (this.#isSweepDue) {
      this.#isSweepDue = false
      due.push(...(await store.takeDue(SWEEP_LIMIT, QUEUED_MS)))
    }
    if (due.length === 0) return
    await jobs.enqueue(due.map(toJob))
    this.#isUsed = true
  }

  /** Starts as many as may run, until nothing waits that may. */
  async #take(): Promise<void> {
    while (this.#isUsed && !this.#isStopped && this.#underWay.size < PARALLEL) {
      const job = await this.#parts.jobs.take(this.#fullGroups())
      if (!job) return
      this.#start(job)
    }
  }

  #fullGroups(): string[] {
    const counts = new Map<string, number>()
    for (const { group } of this.#underWay.values()) {
      counts.set(group, (counts.get(group) ?? 0) + 1)
    }
    const full = [...counts].filter(([, count]) => count >= PARALLEL_OF_GROUP)
    return [...full.map(([group]) => group), ...this.#paused]
  }

  #start(job: Job & { id: string }): void {
    const tenant = tenantOf(job.group)
    const isShareUsed =
      [...this.#underWay.values()].filter((one) => one.tenant === tenant).length >=
      PARALLEL_OF_TENANT
    if (isShareUsed) this.#paused.add(job.group)
    const attempt = this.#attempt(job, isShareUsed)
      // The row's lease ends, and the sweep finds it again.
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#underWay.delete(attempt)
        if (!isShareUsed) this.#resume(tenant)
        this.#wake()
      })
    this.#underWay.set(attempt, { tenant, group: job.group })
  }

  /** A place of the tenant is free: for the group that has waited longest. */
  #resume(tenant: string): void {
    const next = [...this.#paused].find((group) => tenantOf(group) === tenant)
    if (next !== undefined) this.#paused.delete(next)
  }

  async #attempt(job: Job & { id: string }, isShareUsed: boolean): Promise<void> {
    const { store, jobs } = this.#parts
    if (isShareUsed) {
      await store.postpone(job.key, SHARE_PAUSE_MS)
    } else {
      const owed = await store.claim(job.key, LEASE_MS)
      if (owed) await this.#post(owed)
    }
    await jobs.done(job.id)
  }

  async #post(owed: OwedCallback): Promise<void> {
    const { store, sender, metrics, logger } = this.#parts
    if (owed.disabled) {
      await store.record(owed.id, undefined, { status: 'failed', error: DISABLED })
      return
    }
    const answer = await sender.send(owed, this.#stopping.signal)
    if (answer.error !== null && this.#stopping.signal.aborted) {
      // Whether it arrived is not known; somebody else tries at once.
      await store.postpone(owed.id, 0)
      return
    }
    const { statusCode, error, durationMs } = answer
    const next = nextOf(owed.failures, answer)
    await store.record(owed.id, { at: owed.at, statusCode, error, durationMs }, next)
    metrics.called(next.status === 'owed' ? 'retried' : next.status)
    if (error === null) return
    const requestId = owed.request.question.id
    logger.warn({ requestId, attempt: owed.failures + 1, error }, 'a callback did not arrive')
  }

  #failed(error: unknown): void {
    this.#parts.metrics.failed('callback')
    this.#parts.logger.warn({ err: error }, 'keeping track of callbacks failed')
  }
}

export interface CallbackParts {
  readonly hub: Hub
  readonly store: CallbackStore
  readonly jobs: Jobs
  readonly sender: CallbackSender
  readonly clock: Clock
  readonly logger: Log
  readonly metrics: Metrics
}

const DISABLED = 'the receiver said 410 Gone; a resend enables it again'

/** Neither tenants nor hosts have a line break. */
const toJob = ({ id, tenant, url }: DueCallback): Job => ({
  key: id,
  group: `${tenant}\n${hostOf(url)}`,
})

const tenantOf = (group: string): string => group.split('\n', 1)[0] ?? ''

/** Without `URL`, which is not part of the language. */
const hostOf = (url: string): string => /^[a-z]+:\/\/([^/?#]*)/.exec(url)?.[1] ?? url

/** What follows an attempt, by the schedule with jitter; `failures` were there before it. */
export function nextOf(
  failures: number,
  { statusCode, error, retryAfterMs = 0 }: CallbackAnswer,
  random: () => number = Math.random,
): Parameters<CallbackStore['record']>[2] {
  if (error === null) return { status: 'delivered' }
  if (statusCode === GONE) return { status: 'failed', error, disable: true }
  const delayS = DELAYS_S[failures]
  if (delayS === undefined) return { status: 'failed', error }
  // Up to a fifth later: those that failed together do not come back together.
  const delayMs = delayS * 1_000 * (1 + random() / 5)
  return {
    status: 'owed',
    error,
    delayMs: Math.max(delayMs, Math.min(retryAfterMs, MAX_RETRY_AFTER_MS)),
  }
}

import type { AddressStore, Courier } from './card.ts'
import { invalid, LoopgateError } from './errors.ts'
import type { Event, Since } from './event.ts'
import type {
  Bus,
  Clock,
  EventLog,
  Log,
  Metrics,
  PlannedDelivery,
  RequestStore,
  Session,
  SessionStore,
  StoredRequest,
  Submission,
  Submitted,
} from './ports.ts'
import { type Person, type Principal, principalKey } from './principal.ts'
import {
  type Answer,
  agrees,
  type Command,
  type HitlRequest,
  isInlineAllowed,
  isRepeat,
  merge,
  type Reviewers,
  settle,
} from './request.ts'
import { type Reader, Subscription } from './subscription.ts'
import { Subscriptions } from './subscriptions.ts'

export interface HubOptions {
  readonly sessions: SessionStore
  readonly addresses: Pick<AddressStore, 'current'>
  readonly requests: RequestStore
  readonly log: EventLog
  /** To the other processes on the same database, when there can be any. */
  readonly bus?: Bus | undefined
  /** Filled when the channels are built, before the hub is started. */
  readonly couriers: readonly Courier[]
  readonly clock: Clock
  readonly logger: Log
  readonly metrics: Metrics
  /** Pending requests that one tenant's client_id may have. */
  readonly maxPending: number
}

/** What an agent registers: a line to its reviewers. */
export interface Registration {
  readonly sessionId: string
  readonly clientId: string
  readonly reviewers: Reviewers
}

/** Hears of every event after its commit, in this process. MUST NOT throw. */
export type Listener = (event: Event) => void

/**
 * The only door to requests: submit, decide, cancel, get, list, subscribe.
 *
 * What it returns is committed, and nobody was told anything before that. Every method takes the
 * principal first, and acts inside its tenant.
 */
export class Hub {
  readonly #options: HubOptions
  readonly #subscriptions: Subscriptions
  readonly #listeners = new Set<Listener>()

  constructor(options: HubOptions) {
    this.#options = options
    const { log, clock, bus } = options
    const failed = (error: unknown) => this.#failed('sweep', error)
    this.#subscriptions = new Subscriptions({ log, clock, bus, failed })
  }

  start(): void {
    this.#subscriptions.start()
  }

  stop(): void {
    this.#subscriptions.stop()
  }

  onEvent(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Makes a session, or reactivates it. Reviewers are set when it is made; later only a person may
   * change them, because an agent that could would choose who decides on what it asks.
   * @throws {LoopgateError} FORBIDDEN for another client_id, for other reviewers by an agent, or for
   * an agent that may not register; INVALID_INPUT for reviewers that do not go together.
   */
  async register(principal: Principal, registration: Registration): Promise<Session> {
    if (principal.type === 'agent' && !principal.mayRegister) {
      throw new LoopgateError('FORBIDDEN', 'this key may not register sessions')
    }
    const { sessions, addresses } = this.#options
    const { sessionId: id, clientId } = registration
    if (isInlineAllowed(registration.reviewers)) await this.#requireInline(principal, id)
    // An agent goes on naming the group that its reviewers were in when it was written.
    const reviewers = await addresses.current(registration.reviewers)
    const { tenant } = principal
    const session = await sessions.ensure({ tenant, id, clientId, reviewers })
    if (session.clientId !== clientId) {
      throw new LoopgateError('FORBIDDEN', 'client_id is not the one this session was made with')
    }
    const isChanged = !agrees(session.reviewers, reviewers)
    if (isChanged && principal.type !== 'person') {
      throw new LoopgateError(
        'FORBIDDEN',
        'the reviewers of a session are set when it is made; only a person can change them',
      )
    }
    const merged = merge(session.reviewers, reviewers)
    if (isChanged) this.#requireSensible(merged)
    const current = session.active ? session : await sessions.setActive(tenant, id, true)
    if (!isChanged) return current ?? session
    return (await sessions.setReviewers(tenant, id, merged)) ?? session
  }

  /** Who sits at the client mostly runs the agent, and an agent does not say who decides. */
  async #requireInline(principal: Principal, id: string): Promise<void> {
    if (principal.type === 'person') return
    const session = await this.#options.sessions.find(principal.tenant, id)
    if (session && isInlineAllowed(session.reviewers)) return
    throw new LoopgateError('FORBIDDEN', 'only a person can let the user of a client answer')
  }

  /** What is named now, beside what was named before. */
  #requireSensible(reviewers: Reviewers): void {
    for (const courier of this.#options.couriers) {
      const audience = reviewers[courier.channel]
      const problem = audience && courier.problem?.(audience)
      if (problem !== undefined) throw invalid('/approvers', problem)
    }
  }

  async deactivate(principal: Principal, id: string): Promise<void> {
    const session = await this.#options.sessions.setActive(principal.tenant, id, false)
    if (!session) throw new LoopgateError('SESSION_NOT_FOUND')
  }

  async session(principal: Principal, id: string): Promise<Session> {
    const session = await this.#options.sessions.find(principal.tenant, id)
    if (!session) throw new LoopgateError('SESSION_NOT_FOUND')
    return session
  }

  /** Sessions of the tenant that are active, oldest first. */
  activeSessions(principal: Principal, limit: number): Promise<readonly Session[]> {
    return this.#options.sessions.listActive(principal.tenant, limit)
  }

  /** A link by which a reviewer joins a session that has nobody to ask yet. */
  async invite(session: Session): Promise<string | undefined> {
    for (const courier of this.#options.couriers) {
      const isAnswered = (session.reviewers[courier.channel]?.address ?? null) !== null
      const link = isAnswered ? undefined : await courier.invite?.(session)
      if (link !== undefined) return link
    }
    return undefined
  }

  /** @throws {LoopgateError} as RequestStore.submit. */
  async submit(principal: Principal, submission: Submission): Promise<Submitted> {
    const { requests, maxPending, metrics } = this.#options
    const submitted = await requests.submit(
      principal.tenant,
      submission,
      maxPending,
      (reviewers) => [...this.#plan(reviewers), ...this.#unknown(submission.recipients)],
    )
    if (!submitted.replayed) metrics.submitted(submission.clientId)
    this.publish(submitted.events)
    return submitted
  }

  /**
   * A person's answer. The type keeps everybody else out; whether this person may answer this
   * request is the channel's to know, before it calls.
   * @throws {LoopgateError} REQUEST_NOT_FOUND, REQUEST_ALREADY_SETTLED, INVALID_INPUT.
   */
  async decide(person: Person, requestId: string, answer: Answer): Promise<HitlRequest> {
    const stored = await this.#find(person, requestId)
    return required(await this.#settle(person, stored, decision(person, answer)))
  }

  /**
   * As `decide`, for a channel that knows the request, and has judged the person by the session's
   * reviewers. Undefined when those are others by now: the person must be judged again.
   */
  decideWhile(
    reviewers: Reviewers,
    person: Person,
    stored: StoredRequest,
    answer: Answer,
  ): Promise<HitlRequest | undefined> {
    return this.#settle(person, stored, decision(person, answer), reviewers)
  }

  /** @throws {LoopgateError} REQUEST_NOT_FOUND, REQUEST_ALREADY_SETTLED. */
  async cancel(principal: Principal, requestId: string): Promise<HitlRequest> {
    const stored = await this.#find(principal, requestId)
    return required(await this.#settle(principal, stored, { type: 'cancel' }))
  }

  /** Expires a request whose time is over. Undefined when somebody was faster, or it is too early. */
  async expire(request: HitlRequest): Promise<Event | undefined> {
    const { requests } = this.#options
    const settlement = settle(request, { type: 'expire' })
    const event = await requests.settle(request, settlement, 'expiry')
    if (event) this.publish([event])
    return event
  }

  /** @throws {LoopgateError} REQUEST_NOT_FOUND. */
  async get(principal: Principal, requestId: string): Promise<HitlRequest> {
    return (await this.#find(principal, requestId)).request
  }

  listPending(principal: Principal, sessionId?: string): Promise<HitlRequest[]> {
    return this.#options.requests.listPending(principal.tenant, sessionId)
  }

  /**
   * Reads a session's log, or one request's part of it: what came after `since`, then live, each
   * event once. Without `since` a session is read from now on and a request from its creation.
   * @throws {LoopgateError} SESSION_NOT_FOUND, REQUEST_NOT_FOUND.
   */
  async subscribe(
    principal: Principal,
    of: { readonly sessionId: string } | { readonly requestId: string },
    since: Since,
    reader: Reader,
  ): Promise<Subscription> {
    const request = 'requestId' in of ? await this.get(principal, of.requestId) : undefined
    const { tenant } = principal
    const sessionId = 'sessionId' in of ? of.sessionId : (request?.question.sessionId ?? '')
    const target = { tenant, sessionId, requestId: request?.question.id }
    const subscription = new Subscription(target, reader, this.#options.log, {
      left: (left) => this.#subscriptions.delete(left),
      failed: (error) => this.#failed('subscription', error),
    })
    // Before the place is looked for: what is committed in between makes the subscription dirty.
    this.#subscriptions.add(subscription)
    try {
      await subscription.start(await this.#options.log.locate(target, since))
    } catch (error) {
      this.#subscriptions.delete(subscription)
      throw error
    }
    // Nothing comes after the end of a request: who has read it all has nothing to wait for.
    const isOver = request !== undefined && request.state.status !== 'pending'
    if (isOver && subscription.seq >= request.cursor.seq) subscription.end('settled')
    return subscription
  }

  /**
   * The request as soon as it is settled, or as it stands when the time is over or the signal is
   * aborted.
   */
  async settled(
    principal: Principal,
    request: HitlRequest,
    waitMs: number,
    signal?: AbortSignal,
  ): Promise<HitlRequest> {
    if (request.state.status !== 'pending' || waitMs <= 0) return request
    const { promise, resolve } = Promise.withResolvers<void>()
    let latest = request
    const subscription = await this.subscribe(
      principal,
      { requestId: request.question.id },
      request.cursor,
      {
        started: () => undefined,
        event: (event) => {
          latest = after(event)
        },
        drained: () => Promise.resolve(),
        ended: () => resolve(),
      },
    )
    const leave = () => subscription.end('left')
    const cancel = this.#options.clock.after(waitMs, leave)
    signal?.addEventListener('abort', leave)
    if (signal?.aborted) leave()
    await promise
    cancel()
    signal?.removeEventListener('abort', leave)
    return latest
  }

  async #find(principal: Principal, requestId: string): Promise<StoredRequest> {
    const stored = await this.#options.requests.find(principal.tenant, requestId)
    if (!stored) throw new LoopgateError('REQUEST_NOT_FOUND')
    return stored
  }

  async #settle(
    principal: Principal,
    stored: StoredRequest,
    command: Command,
    whileReviewers?: Reviewers,
  ): Promise<HitlRequest | undefined> {
    const { requests } = this.#options
    const { request } = stored
    const by = principalKey(principal)
    if (request.state.status !== 'pending') return this.#tooLate(stored, by, command)
    const event = await requests.settle(request, settle(request, command), by, whileReviewers)
    if (event) {
      this.publish([event])
      return after(event)
    }
    // Somebody was faster, or the time is over and nobody has said so yet.
    await this.expire(request)
    const winner = await this.#find(principal, request.question.id)
    return winner.request.state.status === 'pending'
      ? undefined
      : this.#tooLate(winner, by, command)
  }

  #tooLate({ request, settledBy }: StoredRequest, by: string, command: Command): HitlRequest {
    if (settledBy === by && isRepeat(request, command)) return request
    throw new LoopgateError('REQUEST_ALREADY_SETTLED', undefined, { request })
  }

  #plan(reviewers: Reviewers): PlannedDelivery[] {
    return this.#options.couriers.map((courier) => ({
      channel: courier.channel,
      failure: courier.unreachable(reviewers[courier.channel]),
    }))
  }

  /** Channels that somebody is to be asked on, and that are not on here. */
  #unknown(recipients: Submission['recipients'] = []): PlannedDelivery[] {
    return recipients
      .filter((named) => !this.#options.couriers.some(({ channel }) => channel === named))
      .map((channel) => ({ channel, failure: `this server has no channel for ${channel}` }))
  }

  /**
   * Tells of what was committed: this process's readers and listeners at once, and the other
   * processes that there is something to read.
   */
  publish(events: readonly Event[]): void {
    for (const event of events) {
      this.#subscriptions.push(event)
      this.#options.bus?.ring(event.question)
      this.#measure(event)
      for (const listener of this.#listeners) listener(event)
    }
  }

  #measure({ question, state }: Event): void {
    if (state.settledAt === null || state.outcome === null) return
    const seconds = (state.settledAt.getTime() - question.createdAt.getTime()) / 1000
    this.#options.metrics.settled(state.outcome, seconds)
  }

  #failed(stage: 'subscription' | 'sweep', error: unknown): void {
    this.#options.metrics.failed(stage)
    this.#options.logger.warn({ err: error, stage }, 'reading the event log failed')
  }
}

const decision = ({ channel, id, name }: Person, answer: Answer): Command => ({
  type: 'decide',
  answer,
  by: { channel, id, name },
})

/** Pending, and yet not to be settled: a clock of the database that was set back, say. */
function required(request: HitlRequest | undefined): HitlRequest {
  if (request) return request
  throw new LoopgateError('UNAVAILABLE', undefined, { retryAfterSeconds: 1 })
}

const after = ({ question, state, cursor }: Event): HitlRequest => ({ question, state, cursor })

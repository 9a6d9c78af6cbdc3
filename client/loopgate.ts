import type { RequestView } from '../src/protocol/types.ts'
import { follow, type Scope, unlessAborted } from './abort.ts'
import {
  notRegistered,
  readConsumed,
  readPending,
  readRegistered,
  readSubmitted,
  type Session,
  toCancel,
  toConsume,
  toKeys,
  toLook,
  toPending,
  toRegister,
  toSubmit,
} from './calls.ts'
import type { ConnectionDefinition } from './connections/connection.ts'
import { connections, type TransportName } from './connections/index.ts'
import type { Decision } from './decision.ts'
import { isFinal, LoopgateError, malformed } from './errors.ts'
import { Fallback } from './fallback.ts'
import { Feeds } from './feed.ts'
import { type Call, Http } from './http.ts'
import type { LoopgateOptions, Question, Registered, Registration } from './options.ts'
import { contentDigest } from './receipt.ts'
import { type OnRetry, retrying } from './retry.ts'
import {
  type EnvelopeOf,
  type EventName,
  type SubscribeOptions,
  subscribe,
  type Unsubscribe,
} from './subscriber.ts'
import { TIMING, type Timing } from './timing.ts'
import { contentOf, Verifier, type VerifierOptions } from './verifier.ts'
import { untilDecided } from './waiter.ts'
import { readView } from './wire.ts'

/** Attempts of a call by which nobody waits for a person. */
const ATTEMPTS = 5
/** A server, or a proxy before it, that can not answer now. */
const AWAY: readonly number[] = [502, 503, 504]

/**
 * An agent's line to the people who decide.
 *
 * Nothing but a person's approval of the very request is ever `approved: true`. What goes wrong on
 * the way is tried again, or thrown. A connection is held only while something waits for events,
 * and nothing else keeps the process alive.
 */
export class Loopgate {
  readonly #http: Http
  readonly #feeds: Feeds
  readonly #timing: Timing
  readonly #cancelOnAbort: boolean
  readonly #onRetry: OnRetry | undefined
  readonly #verifier: Verifier | undefined
  /** What runs now, to be ended when this client is closed. */
  readonly #scopes = new Set<Scope>()
  readonly #subscriptions = new Set<() => void>()
  readonly #clientIds = new Map<string, string>()
  #registered: Session | undefined
  #closed: LoopgateError | undefined

  /** @throws {TypeError} for options that can not work. */
  constructor(options: LoopgateOptions) {
    const { url, apiKey, transports, cancelOnAbort = false, verify, timing, onRetry } = options
    this.#timing = { ...TIMING, ...timing }
    this.#http = new Http(url, apiKey, this.#timing)
    this.#cancelOnAbort = cancelOnAbort
    this.#onRetry = onRetry
    this.#verifier = verify ? this.#verifierOf(verify === true ? {} : verify) : undefined
    const context = { http: this.#http, timing: this.#timing }
    const fallback = new Fallback(choose(transports).map(({ create }) => create(context)))
    this.#feeds = new Feeds({ fallback, timing: this.#timing, onRetry })
  }

  /**
   * Makes a session, or finds it again. Its ids are the default of what follows.
   * @throws {LoopgateError} and the signal's reason when that is aborted.
   */
  async register(registration: Registration): Promise<Registered> {
    const { sessionId, clientId, signal } = registration
    const answer = await this.#call(toRegister(registration), signal)
    const registered = readRegistered(answer, sessionId)
    this.#registered = { sessionId, clientId }
    this.#clientIds.set(sessionId, clientId)
    return registered
  }

  /**
   * Asks, and resolves when a person has decided, or the request expired or was canceled. It may be
   * cut off anywhere on the way: the question is asked once, and its decision is found again.
   * @throws {LoopgateError} and the signal's reason when that is aborted.
   */
  async request(question: Question): Promise<Decision> {
    const session = this.#sessionOf(question)
    const call = toSubmit(session, question)
    return this.#scoped(question.signal, async (signal) => {
      const { view, since } = await this.#submit(call, session, signal)
      try {
        question.onAsked?.(view)
        const decision = await untilDecided(this.#waiting(), view, since, signal)
        await this.#verifier?.check(decision, contentOf(session, question, decision.view), signal)
        return decision
      } catch (error) {
        if (this.#takesBack(signal)) this.#cancelBehind(view)
        throw error
      }
    })
  }

  /**
   * The decision on a request that was asked before, also by another process.
   * @throws {LoopgateError} and the signal's reason when that is aborted.
   */
  async decision(
    requestId: string,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Decision> {
    return this.#scoped(signal, async (scope) => {
      const waiting = this.#waiting()
      const view = await waiting.look(requestId, scope)
      if (view.request_id !== requestId) throw malformed('an answer about another request')
      const decision = await untilDecided(waiting, view, undefined, scope)
      await this.#verifier?.check(decision, decision.view, scope)
      return decision
    })
  }

  /** @throws {LoopgateError} REQUEST_NOT_FOUND. */
  async get(requestId: string): Promise<RequestView> {
    return readView(await this.#call(toLook(requestId)))
  }

  /** The open requests of a session, or of everything the key can see. */
  async pending(sessionId?: string): Promise<readonly RequestView[]> {
    return readPending(await this.#call(toPending(sessionId)))
  }

  /**
   * Spends an approval: of all who try, one succeeds, once, while it may be acted on. When the answer
   * is lost on the way it may be spent, and the next try says so: ask again then, don't act.
   * @throws {LoopgateError} ALREADY_CONSUMED, NOT_APPROVED, APPROVAL_EXPIRED, DIGEST_MISMATCH.
   */
  async consume({ requestId, view }: Pick<Decision, 'requestId' | 'view'>): Promise<void> {
    const digest = await contentDigest(view)
    readConsumed(await this.#call(toConsume(requestId, digest)))
  }

  /** @throws {LoopgateError} REQUEST_ALREADY_SETTLED, with what holds as `request`. */
  async cancel(requestId: string): Promise<void> {
    await this.#call(toCancel(requestId))
  }

  /**
   * Tells of a session's events, live, each once and in order. Stays until it is ended, and keeps
   * the process alive as long. The listener MUST NOT throw.
   * @throws {LoopgateError} NOT_REGISTERED, CLOSED.
   */
  on<Name extends EventName>(
    name: Name,
    listener: (envelope: EnvelopeOf<Name>) => void,
    options: SubscribeOptions = {},
  ): Unsubscribe {
    if (this.#closed) throw this.#closed
    const sessionId = options.sessionId ?? this.#registered?.sessionId
    if (sessionId === undefined) throw notRegistered()
    const { ready, leave } = subscribe(this.#feeds, sessionId, name, listener, options)
    const off = () => {
      this.#subscriptions.delete(off)
      leave()
    }
    this.#subscriptions.add(off)
    return Object.assign(off, { ready })
  }

  /** Ends all that waits, with the code CLOSED. The questions stay open on the server. */
  async close(): Promise<void> {
    this.#closed ??= new LoopgateError('CLOSED', 'this Loopgate client was closed')
    for (const scope of [...this.#scopes]) scope.abort(this.#closed)
    for (const off of [...this.#subscriptions]) off()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #verifierOf(options: VerifierOptions): Verifier {
    return new Verifier(options, (signal) => this.#call(toKeys, signal))
  }

  #sessionOf({ sessionId = this.#registered?.sessionId, clientId }: Question): Session {
    const known = this.#clientIds.get(sessionId ?? '') ?? this.#registered?.clientId
    const client = clientId ?? known
    if (sessionId === undefined || client === undefined) throw notRegistered()
    return { sessionId, clientId: client }
  }

  /** Asks until there is an answer. Its key makes it one question, however often it arrives. */
  async #submit(call: Call, session: Session, signal: AbortSignal) {
    // Whoever wants it taken back must learn its id: what is on its way is waited for.
    const attempt = this.#cancelOnAbort
      ? () => this.#scoped(undefined, (alone) => this.#http.call(call, alone))
      : () => this.#http.call(call, signal)
    const submitted = retrying(attempt, {
      ...this.#retryOptions(call, signal),
      attempts: Number.POSITIVE_INFINITY,
      mayRetry: ({ status = 0 }) => status === 429 || AWAY.includes(status),
    }).then((answer) => readSubmitted(answer, session))
    try {
      return await unlessAborted(submitted, signal)
    } catch (error) {
      if (this.#takesBack(signal)) {
        submitted.then(({ view }) => this.#cancelBehind(view)).catch(() => undefined)
      }
      throw error
    }
  }

  #takesBack(signal: AbortSignal): boolean {
    return this.#cancelOnAbort && signal.aborted && !this.#closed
  }

  /** Nobody is told how it ends: the caller has its answer already. */
  #cancelBehind({ request_id }: RequestView): void {
    this.cancel(request_id).catch(() => undefined)
  }

  #waiting() {
    return {
      feeds: this.#feeds,
      look: async (requestId: string, signal: AbortSignal): Promise<RequestView> => {
        const call = toLook(requestId)
        const { body } = await retrying(() => this.#http.call(call, signal), {
          ...this.#retryOptions(call, signal),
          attempts: Number.POSITIVE_INFINITY,
          mayRetry: (error) => !isFinal(error),
        })
        return readView(body)
      },
    }
  }

  async #call(call: Call, signal?: AbortSignal): Promise<unknown> {
    return this.#scoped(signal, async (scope) => {
      const { body } = await retrying(() => this.#http.call(call, scope), {
        ...this.#retryOptions(call, scope),
        attempts: ATTEMPTS,
        mayRetry: ({ status = 0 }) => AWAY.includes(status),
      })
      return body
    })
  }

  #retryOptions({ method, path }: Call, signal: AbortSignal) {
    return { during: `${method} ${path}`, signal, timing: this.#timing, onRetry: this.#onRetry }
  }

  /** Runs a task that ends when the caller's signal is aborted, or this client is closed. */
  async #scoped<T>(
    signal: AbortSignal | undefined,
    task: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (this.#closed) throw this.#closed
    const scope = follow(signal)
    this.#scopes.add(scope)
    try {
      scope.signal.throwIfAborted()
      return await task(scope.signal)
    } finally {
      this.#scopes.delete(scope)
      scope.release()
    }
  }
}

/** @throws {TypeError} for a name that is not in the registry, and for none. */
function choose(names: readonly TransportName[] | undefined): readonly ConnectionDefinition[] {
  if (names === undefined) return connections
  if (names.length === 0) throw new TypeError('transports must name at least one')
  return names.map((name) => {
    const chosen = connections.find((connection) => connection.name === name)
    if (!chosen) throw new TypeError(`there is no transport named ${name}`)
    return chosen
  })
}

import type { Option } from './approval.ts'
import type { Cursor, Event, Since } from './event.ts'
import type { Principal } from './principal.ts'
import type { HitlRequest, JsonObject, RequestType, Reviewers, Settlement } from './request.ts'

/** One agent's registered line to its reviewers. */
export interface Session {
  readonly tenant: string
  readonly id: string
  readonly clientId: string
  readonly reviewers: Reviewers
  readonly active: boolean
  readonly createdAt: Date
  /** Signs callbacks and MCP answers: `whsec_` and base64. The same for the session's whole life. */
  readonly webhookSecret: string
}

/** A session as it is made: active, and with nothing in its log. */
export interface NewSession {
  readonly tenant: string
  readonly id: string
  readonly clientId: string
  readonly reviewers: Reviewers
}

/** Every query carries the tenant; what another tenant owns is not found. */
export interface SessionStore {
  /** Makes the session, or returns the one that is there, unchanged. */
  ensure(session: NewSession): Promise<Session>
  find(tenant: string, id: string): Promise<Session | undefined>
  /** Those that are active, oldest first. */
  listActive(tenant: string, limit: number): Promise<readonly Session[]>
  setActive(tenant: string, id: string, active: boolean): Promise<Session | undefined>
  /** Replaces the reviewers, for what is asked from now on. */
  setReviewers(tenant: string, id: string, reviewers: Reviewers): Promise<Session | undefined>
}

/** A question, validated, before it is stored. */
export interface Submission {
  readonly sessionId: string
  readonly clientId: string
  readonly message: string
  readonly type: RequestType
  readonly options: readonly Option[]
  readonly metadata: JsonObject
  readonly timeoutSeconds: number
  /** How long an approval may be acted on; undefined for the server's default. */
  readonly approvalTtlSeconds?: number | undefined
  /** Where the settled request is posted, in the normal form of the URL standard. */
  readonly callbackUrl?: string | undefined
  /** Channels on which somebody was to be asked beside the session's reviewers. */
  readonly recipients?: readonly string[] | undefined
  readonly idempotency?: { readonly key: string; readonly bodyDigest: string } | undefined
}

/** What stands in the way of asking on a channel: `failed` says so to the agent at once. */
export interface PlannedDelivery {
  readonly channel: string
  /** Undefined when the card can be sent. */
  readonly failure?: string | undefined
}

/** What came of a question: stored, or found to be one that was asked before. */
export interface Submitted {
  readonly request: HitlRequest
  /** The events that were written; empty for a replay by idempotency key. */
  readonly events: readonly Event[]
  readonly replayed: boolean
}

/** Requests and what settles them. Each change and its events are one transaction. */
export interface RequestStore {
  /**
   * Stores the request and its first events in one transaction.
   *
   * MUST answer an idempotency key that is known before it looks at anything else, MUST count
   * `maxPending` exactly under concurrency, and MUST NOT store anything when it throws.
   * @throws {LoopgateError} SESSION_NOT_FOUND, SESSION_INACTIVE, FORBIDDEN (another client_id),
   * TOO_MANY_PENDING, IDEMPOTENCY_MISMATCH.
   */
  submit(
    tenant: string,
    submission: Submission,
    maxPending: number,
    plan: (reviewers: Reviewers) => readonly PlannedDelivery[],
  ): Promise<Submitted>
  /**
   * Settles a pending request and writes its event in one statement. Undefined when the request is
   * not pending any more, its time is over by the database's clock (for `expired`: not yet over), or
   * the session's reviewers are not `whileReviewers` any more.
   */
  settle(
    request: HitlRequest,
    settlement: Settlement,
    settledBy: string,
    whileReviewers?: Reviewers,
  ): Promise<Event | undefined>
  find(tenant: string, id: string): Promise<StoredRequest | undefined>
  /** Pending requests of the tenant, oldest first. */
  listPending(tenant: string, sessionId?: string): Promise<HitlRequest[]>
  /** Pending requests by when they expire, and how far away that is by the database's clock. */
  nextToExpire(limit: number): Promise<readonly { request: HitlRequest; dueInMs: number }[]>
}

/** A request as it stands in its row. */
export interface StoredRequest {
  readonly request: HitlRequest
  /** The principal whose command settled it; null while pending. */
  readonly settledBy: string | null
}

/** Which log: two tenants may have sessions of one id. */
export interface SessionKey {
  readonly tenant: string
  readonly sessionId: string
}

/** What is read: a session's log, or the part of it that belongs to one request. */
export interface Target extends SessionKey {
  readonly requestId?: string | undefined
}

/** Where reading starts, and whether that is where the reader left off. */
export interface Position {
  readonly cursor: Cursor
  /** False: the cursor could not be continued, and reading starts from the earliest that is kept. */
  readonly recovered: boolean
  /** True when nothing of the session came after the cursor, as of the looking. */
  readonly isAtEnd: boolean
}

/** A part of a log, as it was at one moment. */
export interface Page {
  readonly events: readonly Event[]
  /** Everything of the target up to here has been read. */
  readonly seq: number
  /** True when nothing followed as of this reading. */
  readonly complete: boolean
}

/** Reads the logs. Whoever reads keeps the place: nothing is kept here for anybody. */
export interface EventLog {
  /** @throws {LoopgateError} SESSION_NOT_FOUND or REQUEST_NOT_FOUND. */
  locate(target: Target, since: Since): Promise<Position>
  /**
   * The next events after `seq`, in order, without a gap.
   * @throws {LoopgateError} CURSOR_GONE when events after `seq` are not kept any more.
   */
  read(target: Target, seq: number, limit: number): Promise<Page>
  /** Those whose log goes beyond the given `seq`, or, in a restored database, not so far. */
  ahead(
    readers: readonly {
      readonly tenant: string
      readonly sessionId: string
      readonly seq: number
    }[],
  ): Promise<readonly SessionKey[]>
}

/** Deletes what is older than the retention. */
export interface EventPruning {
  /**
   * Deletes events whose requests were settled more than `days` ago, from the beginning of their
   * log, and so never past the creation of a request that is pending. One bounded batch, of sessions
   * after `from`. MUST be safe beside readers, writers and others that prune.
   */
  prune(days: number, from: SessionKey | undefined): Promise<Pruned>
}

/** What one batch of pruning did. */
export interface Pruned {
  /** How many events were deleted. */
  readonly events: number
  /** After which session the next batch begins; undefined when all were looked at. */
  readonly next: SessionKey | undefined
}

/**
 * Tells the other processes whose log has grown. It carries hints and no truth: one that is lost,
 * repeated or late changes only when something arrives.
 */
export interface Bus {
  /** To the others, after the commit. MUST NOT throw, and MUST NOT wait. */
  ring(session: SessionKey): void
  /** What the others say, from when the bus is started until it is stopped. */
  listen(ear: BusEar): void
  /** False while the hints of others do not arrive. */
  readonly isUp: boolean
}

/** Who is told what comes over the bus. MUST NOT throw. */
export interface BusEar {
  hinted(session: SessionKey): void
  /** `isUp` is another one. When it is true, what was hinted at until now may have been missed. */
  changed(isUp: boolean): void
}

/** A piece of work: what it is about, and what it is limited by. */
export interface Job {
  readonly key: string
  readonly group: string
}

/**
 * A queue that all processes on the database share. It is only a memory of what rows say is owed:
 * a job that is lost is enqueued again by whoever finds the row.
 */
export interface Jobs {
  /** A key that waits already is not enqueued twice. */
  enqueue(jobs: readonly Job[]): Promise<void>
  /** Takes the oldest job of another group than these. */
  take(exceptGroups: readonly string[]): Promise<(Job & { readonly id: string }) | undefined>
  done(id: string): Promise<void>
  stop(): Promise<void>
}

/** Somebody at the door: an HTTP request, or the handshake of a socket. */
export interface Knock {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly remoteAddress: string | undefined
  /** What a stream was opened with in its address, because a browser sends no headers with it. */
  readonly ticket?: string | undefined
}

/** Who may come in, and as whom: the same for every route and every socket. */
export interface Authenticator {
  /**
   * Refuses what a foreign web page sends, before anything else is looked at.
   * @throws {LoopgateError} FORBIDDEN
   */
  admit(knock: Knock): void
  /**
   * @throws {LoopgateError} UNAUTHORIZED without a valid credential, RATE_LIMITED for one wrong
   * credential too many.
   */
  identify(knock: Knock): Promise<Principal>
  /**
   * Turns away whoever showed something wrong, and counts it.
   * @throws {LoopgateError} UNAUTHORIZED, RATE_LIMITED.
   */
  refuse(knock: Knock, reason: string): Promise<never>
}

/** Time as this process sees it, for waiting. What is true of a request is the database's time. */
export interface Clock {
  /** Milliseconds, monotonic. */
  now(): number
  /** Calls back once, too early where `ms` is more than 24 days; the returned function cancels. */
  after(ms: number, callback: () => void): () => void
}

/**
 * What only one process may do. It MUST end soon after `ended` is aborted, MUST NOT reject, and MUST NOT
 * do anything more in the name of the lead once it is `lost`.
 */
export type Lead = (ended: AbortSignal, lost: AbortSignal) => Promise<void>

/** Which of the processes on one database does what only one may do. */
export interface Leadership {
  /**
   * Competes under the name until it is stopped, or `lead` ends by itself. `lead` is called each time
   * this process wins. `lost` is aborted at once when the lead is, `ended` then and on a stop.
   */
  campaign(name: string, lead: Lead): Candidacy
}

/** One process's part in a campaign. */
export interface Candidacy {
  /** `unknown` before it is tried, and while the database is away. */
  readonly standing: 'leading' | 'following' | 'unknown'
  /** Resolves after the first try, whatever came of it. */
  readonly tried: Promise<void>
  /** Resolves when `lead` has ended, and another process may win. */
  stop(): Promise<void>
}

/** What happened, for whoever runs the server. No secret is in the details or in the text. */
export interface Log {
  debug(details: object, text: string): void
  info(details: object, text: string): void
  warn(details: object, text: string): void
  error(details: object, text: string): void
}

/** What is counted. MUST NOT throw. */
export interface Metrics {
  submitted(clientId: string): void
  settled(outcome: string, seconds: number): void
  delivered(channel: string, result: 'delivered' | 'failed' | 'retried'): void
  /** An attempt at a callback: `failed` is the last one. */
  called(result: 'delivered' | 'failed' | 'retried'): void
  /** A failure in the background, which no caller sees. The stages are a closed list. */
  failed(
    stage:
      | 'expiry'
      | 'delivery'
      | 'subscription'
      | 'sweep'
      | 'bus'
      | 'retention'
      | 'callback'
      | 'update'
      | 'authorization'
      | 'checkpoint',
  ): void
}

/** What is counted of the bus. MUST NOT throw. */
export interface BusMetrics {
  /** Hints went out in one statement. */
  sent(hints: number): void
  received(hints: number): void
  /** Whether the hints of others arrive. */
  listening(isUp: boolean): void
}

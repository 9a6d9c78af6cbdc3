import { randomBytes } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import type { Bus, BusEar, BusMetrics, Clock, Log, Metrics, SessionKey } from '../core/ports.ts'
import { CHANNEL, Listener } from './listener.ts'
import type { Tables } from './schema.ts'

/** PostgreSQL refuses a payload of 8,000 bytes. */
const MAX_PAYLOAD_BYTES = 7_999
/** Sessions that wait for the next statement. What is beyond is found by the others' sweep. */
const MAX_WAITING = 10_000

/** A payload: which process says that which logs have grown, or tests itself. */
interface Message {
  readonly from: string
  readonly sessions?: readonly (readonly [tenant: string, sessionId: string])[]
  readonly test?: string
}

export interface PgBusOptions {
  readonly db: Kysely<Tables>
  /** Where to listen. */
  readonly url: string
  readonly clock: Clock
  readonly logger: Log
  readonly metrics: Metrics & { readonly bus: BusMetrics }
}

/**
 * Hints by NOTIFY, after the commit and in a statement of their own: in the settling transaction it
 * would hold a lock of the whole server until that is on disk. One statement at a time carries what
 * has gathered during the last one, over the connection that listens: in the pool it would wait
 * behind what the same commit set going. While that one is down it goes over the pool.
 */
export class PgBus implements Bus {
  readonly #options: PgBusOptions
  readonly #listener: Listener
  /** Names this process on the channel. */
  readonly #name = randomBytes(6).toString('hex')
  readonly #waiting = new Map<string, readonly [tenant: string, sessionId: string]>()
  #ear: BusEar | undefined
  #flushing: Promise<void> | undefined

  constructor(options: PgBusOptions) {
    this.#options = options
    const { url, clock, logger } = options
    this.#listener = new Listener({
      ...{ url, clock, logger },
      test: (test) => this.#notify([JSON.stringify({ from: this.#name, test })]),
      heard: (payload) => this.#heard(payload),
      changed: (isUp) => {
        options.metrics.bus.listening(isUp)
        this.#ear?.changed(isUp)
      },
    })
  }

  get isUp(): boolean {
    return this.#listener.isUp
  }

  /** For people: whether other processes are heard, and what to do when not. */
  get description(): string {
    const { problem } = this.#listener
    return problem === undefined
      ? 'LISTEN is up'
      : `LISTEN is down, the log is polled five times a second: ${problem}`
  }

  listen(ear: BusEar): void {
    this.#ear = ear
  }

  /** Never fails: without LISTEN the log is polled more often. */
  start(): Promise<void> {
    this.#options.metrics.bus.listening(false)
    return this.#listener.start()
  }

  async stop(): Promise<void> {
    await this.#listener.stop()
    await this.#flushing
  }

  ring({ tenant, sessionId }: SessionKey): void {
    if (this.#waiting.size >= MAX_WAITING) return
    this.#waiting.set(`${tenant}\0${sessionId}`, [tenant, sessionId])
    this.#flushing ??= this.#flush()
  }

  /** Until nothing waits. Never rejects. */
  async #flush(): Promise<void> {
    // Whatever is told of in the same tick goes along.
    await Promise.resolve()
    while (this.#waiting.size > 0) {
      const hints = [...this.#waiting.values()]
      this.#waiting.clear()
      try {
        const payloads = pack(this.#name, hints)
        if (!(await this.#listener.notify(payloads))) await this.#notify(payloads)
        this.#options.metrics.bus.sent(hints.length)
      } catch (error) {
        // The others' sweep finds what these hints were about.
        this.#options.metrics.failed('bus')
        this.#options.logger.warn({ err: error }, 'telling other processes failed')
      }
    }
    this.#flushing = undefined
  }

  /** One statement and one round trip; nobody waits for the disk with the server's lock. */
  async #notify(payloads: readonly string[]): Promise<void> {
    await sql`
      SELECT set_config('synchronous_commit', 'off', true), pg_notify(${CHANNEL}, payload)
      FROM unnest(${payloads}::text[]) AS payload`.execute(this.#options.db)
  }

  #heard(payload: string): string | undefined {
    const { from, sessions = [], test } = parse(payload) ?? {}
    if (from === this.#name) return test
    if (sessions.length > 0) this.#options.metrics.bus.received(sessions.length)
    for (const [tenant, sessionId] of sessions) this.#ear?.hinted({ tenant, sessionId })
    return undefined
  }
}

/** As few payloads as the limit of PostgreSQL allows. */
function pack(from: string, hints: readonly (readonly [string, string])[]): string[] {
  const empty = JSON.stringify({ from, sessions: [] }).length
  const payloads: (readonly [string, string])[][] = [[]]
  let bytes = empty
  for (const hint of hints) {
    const more = Buffer.byteLength(JSON.stringify(hint)) + 1
    if (bytes + more > MAX_PAYLOAD_BYTES) {
      payloads.push([])
      bytes = empty
    }
    payloads.at(-1)?.push(hint)
    bytes += more
  }
  return payloads
    .filter((sessions) => sessions.length > 0)
    .map((sessions) => JSON.stringify({ from, sessions }))
}

/** Whatever else is on the channel is not for us. */
function parse(payload: string): Message | undefined {
  try {
    const value: unknown = JSON.parse(payload)
    return isMessage(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isMessage(value: unknown): value is Message {
  if (typeof value !== 'object' || value === null || !('from' in value)) return false
  const sessions = 'sessions' in value ? value.sessions : []
  return (
    typeof value.from === 'string' &&
    Array.isArray(sessions) &&
    sessions.every((hint) => Array.isArray(hint) && hint.every((id) => typeof id === 'string'))
  )
}

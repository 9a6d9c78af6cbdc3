import pg from 'pg'
import type { Clock, Log } from '../core/ports.ts'
import { isUnavailable } from './unavailable.ts'

export const CHANNEL = 'loopgate'

const CONNECT_MS = 5_000
/** Between self-tests while it is up. */
const TEST_MS = 30_000
/** A notification that was committed is there in a millisecond, and behind a bad network in two seconds. */
const ARRIVAL_MS = 2_000
const END_MS = 500
/** The start of the server waits no longer for the first outcome. */
const START_MS = 3_000
/** Before the first, second, … attempt after it was up. The last one repeats. */
const BACKOFF_MS = [50, 100, 250, 500, 1_000, 2_000, 5_000] as const

const NOTIFY = {
  name: 'notify',
  text: 'SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload',
}

const ADVICE =
  'Set LISTEN_DATABASE_URL to a direct connection to the same database, without a pooler in between.'

export interface ListenerOptions {
  readonly url: string
  readonly clock: Clock
  readonly logger: Log
  /** Sends a self-test over the connections that hints are sent over; resolves when it is committed. */
  readonly test: (test: string) => Promise<void>
  /** What is notified by anybody. Returns the self-test in it, if it is one of ours. */
  readonly heard: (payload: string) => string | undefined
  /** Listening, or not any more. */
  readonly changed: (isUp: boolean) => void
}

/**
 * The one connection of this process that listens, outside of every pool.
 *
 * It is up when a self-test has come back: a pooler in transaction mode takes LISTEN without a word
 * and gives nothing. The test goes out over another connection, because such a pooler may answer it
 * on the same one. Whatever breaks it, it comes back by itself.
 */
export class Listener {
  readonly #options: ListenerOptions
  readonly #first = Promise.withResolvers<void>()
  #client: pg.Client | undefined
  #isUp = false
  #problem = 'not listening yet'
  #failures = 0
  #tests = 0
  #expected: { readonly test: string; readonly arrived: (isHeard: boolean) => void } | undefined
  #cancel: (() => void) | undefined
  #stopped = false

  constructor(options: ListenerOptions) {
    this.#options = options
  }

  get isUp(): boolean {
    return this.#isUp
  }

  /** What is wrong, and what to do; undefined while it is up. */
  get problem(): string | undefined {
    return this.#isUp ? undefined : this.#problem
  }

  /** Resolves when it is known whether it listens, or it takes too long to wait for. Never rejects. */
  async start(): Promise<void> {
    const cancel = this.#options.clock.after(START_MS, this.#first.resolve)
    void this.#connect()
    await this.#first.promise
    cancel()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel?.()
    this.#first.resolve()
    this.#expected?.arrived(false)
    const client = this.#client
    this.#client = undefined
    if (client) await this.#end(client)
  }

  /** Notifies all that listen. False when that was not possible: somebody else may try. Never rejects. */
  async notify(payloads: readonly string[]): Promise<boolean> {
    const client = this.#client
    if (!client || !this.#isUp) return false
    try {
      await client.query({ ...NOTIFY, values: [CHANNEL, payloads] })
      return true
    } catch (error) {
      this.#lost(client, `it could not be notified over: ${messageOf(error)}`)
      return false
    }
  }

  /** One attempt. Never rejects. */
  async #connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#options.url,
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: CONNECT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      application_name: 'loopgate listen',
    })
    this.#client = client
    client.on('error', (error) => this.#lost(client, `the connection broke: ${error.message}`))
    client.on('end', () => this.#lost(client, 'the connection was closed'))
    client.on('notification', ({ payload = '' }) => this.#heard(payload))
    try {
      await client.connect()
      // Nothing is committed over it that anybody has to wait for the disk with.
      await client.query(`SET synchronous_commit = off; LISTEN ${CHANNEL}`)
    } catch (error) {
      const advice = isUnavailable(error) ? '' : `. ${ADVICE}`
      this.#lost(client, `${messageOf(error)}${advice}`)
      return
    }
    await this.#test(client)
  }

  async #test(client: pg.Client): Promise<void> {
    const isHeard = await this.#roundTrip()
    if (client !== this.#client) return
    if (isHeard === false) {
      this.#lost(client, `LISTEN is accepted, and nothing arrives. ${ADVICE}`)
    } else if (isHeard === undefined && !this.#isUp) {
      this.#lost(client, 'the self-test could not be sent: the database is away')
    } else {
      this.#cancel = this.#options.clock.after(TEST_MS, () => void this.#test(client))
      this.#up()
    }
  }

  /** Undefined when the test could not even be sent, which says nothing about this connection. */
  async #roundTrip(): Promise<boolean | undefined> {
    const { clock } = this.#options
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const test = String(++this.#tests)
    this.#expected = { test, arrived: resolve }
    try {
      await this.#options.test(test)
    } catch {
      // Whoever needs the database says what is wrong with it.
      return undefined
    }
    const cancel = clock.after(ARRIVAL_MS, () => resolve(false))
    const isHeard = await promise
    cancel()
    return isHeard
  }

  #heard(payload: string): void {
    const test = this.#options.heard(payload)
    if (test !== undefined && test === this.#expected?.test) this.#expected.arrived(true)
  }

  #up(): void {
    this.#failures = 0
    this.#first.resolve()
    if (this.#isUp) return
    this.#isUp = true
    this.#options.logger.info({}, 'listening for other processes')
    this.#options.changed(true)
  }

  #lost(client: pg.Client, problem: string): void {
    if (client !== this.#client || this.#stopped) return
    this.#client = undefined
    this.#cancel?.()
    this.#expected?.arrived(false)
    void this.#end(client)
    if (problem !== this.#problem) {
      this.#options.logger.warn({ problem }, 'not listening for other processes; the log is polled')
    }
    this.#problem = problem
    const delayMs = BACKOFF_MS[Math.min(this.#failures, BACKOFF_MS.length - 1)] ?? 0
    this.#failures += 1
    this.#cancel = this.#options.clock.after(delayMs, () => void this.#connect())
    this.#first.resolve()
    if (!this.#isUp) return
    this.#isUp = false
    this.#options.changed(false)
  }

  /** A dead peer never answers the goodbye: then the socket is cut. Never rejects. */
  async #end(client: pg.Client): Promise<void> {
    const cancel = this.#options.clock.after(END_MS, () => client.connection.stream.destroy())
    await client.end().catch(() => undefined)
    cancel()
  }
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

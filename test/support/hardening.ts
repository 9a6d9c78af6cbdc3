import diagnostics from 'node:diagnostics_channel'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Kysely } from 'kysely'
import type { Logger } from 'pino'
import { expect } from 'vitest'
import { createLogger } from '../../src/log.ts'
import type { Tables } from '../../src/storage/schema.ts'
import { Scene, type SceneOptions } from '../integration/telegram/scene.ts'
import { startTestApp, type TestApp, type TestAppOptions } from './app.ts'
import { openTestDatabase, type TestDatabase } from './database.ts'
import { eventually } from './eventually.ts'

/**
 * What every attack must leave as it was.
 *
 *     await using server = await WatchedServer.start()
 *     await server.attack(async () => { … })
 *
 * The server runs on a PostgreSQL of its own, because nobody but the server can look into an
 * embedded database. It logs at level trace with the product's own logger.
 */

/** Everything that a server logs, as it would be written. */
export class WatchedLog {
  readonly #lines: string[] = []
  readonly logger: Logger = createLogger('trace', { write: (line) => this.#lines.push(line) })

  get lines(): readonly string[] {
    return this.#lines
  }

  /** Lines at level error and above: what a server says of its own mistakes. */
  mistakes(from = 0): string[] {
    return this.#lines.slice(from).filter((line) => Number(JSON.parse(line).level) >= 50)
  }
}

export interface AttackOptions {
  /** New rows are no harm here; those that were there stay as they are all the same. */
  readonly mayAdd?: boolean
  /** Lines at level error are no harm here: the attack takes away what the server needs. */
  readonly mayComplain?: boolean
  /** 503 is no harm here: whoever asks is to come again. */
  readonly maySendAway?: boolean
}

type Row = Readonly<Record<string, unknown>>

/** How a checkpoint of the audit log begins, which is logged so that it is kept. */
const CHECKPOINT = Buffer.from('{"alg":"EdDSA","typ":"loopgate-checkpoi').toString('base64url')

/** What may be in no log whatever it is, besides the secrets that are known by their value. */
const SECRET_SHAPES: readonly RegExp[] = [
  new RegExp(`\\b(?!${CHECKPOINT})eyJ[\\w-]{10,}\\.[\\w-]{10,}\\.[\\w-]{20,}`), // a JWT or a receipt
  /\blk_pub_[0-9a-f]{64}/,
  /\bwhsec_[\w+/=-]{20,}/,
  /\d{5,}(?::|%3A)[\w-]{30,}/i, // a bot token
  /[0-9a-f-]{36}\.[\w-]{16}\b/, // the last line of a card
  /\b1\.[\w-]{22}\.\d{1,2}\.[\w-]{16}\b/, // what a button carries
]

/** A server with its log, its rows and its answers in view. */
export class WatchedServer implements AsyncDisposable {
  readonly app: TestApp
  readonly store: TestDatabase
  readonly log: WatchedLog
  readonly #approve: () => Promise<void>
  readonly #secrets: Set<string>
  readonly #disposables: AsyncDisposableStack

  private constructor(parts: {
    readonly app: TestApp
    readonly store: TestDatabase
    readonly log: WatchedLog
    readonly secrets: readonly string[]
    readonly approve: () => Promise<void>
    readonly disposables: AsyncDisposableStack
  }) {
    this.app = parts.app
    this.store = parts.store
    this.log = parts.log
    this.#secrets = new Set(parts.secrets)
    this.#approve = parts.approve
    this.#disposables = parts.disposables
  }

  /**
   * A server without a channel, for what comes over HTTP and sockets.
   * @param approve asks and has it approved, by somebody who may; for `AUTH=required`, where the
   *   console link is not there. Throws when that fails.
   */
  static async start(
    env: Record<string, string> = {},
    options: TestAppOptions & { readonly approve?: (app: TestApp) => Promise<void> } = {},
  ): Promise<WatchedServer> {
    await using opened = new AsyncDisposableStack()
    const store = opened.use(await openTestDatabase('postgres'))
    const log = new WatchedLog()
    const variables = { DATABASE_URL: store.url ?? '', ...env }
    const app = opened.use(await startTestApp(variables, { ...options, logger: log.logger }))
    const { approve = approveAtConsole } = options
    return new WatchedServer({
      ...{ app, store, log, secrets: secretsOf(env) },
      approve: () => approve(app),
      disposables: opened.move(),
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#disposables.disposeAsync()
  }

  /** The server of a scene that was opened with this log. */
  static around(scene: Scene, log: WatchedLog, env: Record<string, string> = {}): WatchedServer {
    return new WatchedServer({
      ...{ app: scene.app, store: scene.store, log },
      secrets: [scene.tg.token, ...secretsOf(env)],
      approve: () => approveInTelegram(scene),
      disposables: new AsyncDisposableStack(),
    })
  }

  /** From here on these may not be in the log: keys and tokens that a test was given. */
  keepSecret(...secrets: readonly string[]): void {
    for (const secret of secrets) this.#secrets.add(secret)
  }

  /**
   * Does it, and looks that nothing came of it: no answer above 499, no line at level error, every
   * row of requests, events and sessions as it was, no secret in the log, and the server still
   * serves: it turns, and an approval goes through.
   *
   * Resolves with what `act` resolves with. What `act` starts has ended when it resolves.
   */
  async attack<Result>(
    act: () => Promise<Result>,
    { mayAdd = false, mayComplain = false, maySendAway = false }: AttackOptions = {},
  ): Promise<Result> {
    await this.#settled()
    const before = await this.rows(mayAdd)
    const from = this.log.lines.length
    using answers = watchAnswers(this.app)
    const result = await act()
    const after = await this.rows(mayAdd)
    expect(mayAdd ? onlyIn(after, before) : after, 'the rows in the database').toEqual(before)
    const failed = answers.failed.filter((answer) => !maySendAway || !answer.startsWith('503'))
    expect(failed, 'answers above 499').toEqual([])
    if (!mayComplain) expect(this.log.mistakes(from), 'lines at level error').toEqual([])
    await this.expectNoSecretInLog()
    expect((await this.app.get('/livez')).status, 'the status of /livez').toBe(200)
    await this.#approve()
    return result
  }

  /** Searches the whole log, from the start. */
  async expectNoSecretInLog(): Promise<void> {
    expect(await this.leaks(this.log.lines), 'lines with a secret in them').toEqual([])
  }

  /** Those of the texts that have a secret in them. */
  async leaks(texts: readonly string[]): Promise<string[]> {
    const { db } = this.store.database
    const kept = await db.selectFrom('secrets').select('value').execute()
    const signing = await db.selectFrom('sessions').select('webhook_secret').execute()
    const known = [
      ...this.#secrets,
      ...kept.map(({ value }) => value),
      ...signing.map(({ webhook_secret }) => webhook_secret),
    ]
    const spellings = known.flatMap((secret) => [secret, encodeURIComponent(secret)])
    return texts.filter(
      (text) =>
        spellings.some((secret) => text.includes(secret)) ||
        SECRET_SHAPES.some((shape) => shape.test(text)),
    )
  }

  /**
   * Every request, event and session, by what it is called.
   * @param mayAdd leaves out what a session keeps of its events: their count and their hash
   */
  async rows(mayAdd = false): Promise<Record<string, Row>> {
    const { db } = this.store.database
    const [requests, events, sessions] = await Promise.all([
      all(db, 'requests'),
      all(db, 'events'),
      all(db, 'sessions'),
    ])
    return Object.fromEntries([
      ...requests.map((row) => [`request ${row['id']}`, row]),
      ...events.map((row) => [`event ${row['tenant']}/${row['session_id']}/${row['seq']}`, row]),
      ...sessions.map(({ seq, epoch, chain, ...row }) => [
        `session ${row['tenant']}/${row['id']}`,
        mayAdd ? row : { ...row, seq, epoch, chain },
      ]),
    ])
  }

  /** Waits until every open question that is on its way to a reviewer has come there, or failed. */
  async #settled(): Promise<void> {
    await eventually(async () => {
      const open = await this.store.database.db
        .selectFrom('requests')
        .select(['id', 'delivery'])
        .where('status', '=', 'pending')
        .execute()
      return open.filter(({ delivery }) => delivery.some(({ status }) => status === 'queued'))
    }).toEqual([])
  }
}

/** A scene whose server is watched. */
export async function openWatchedScene(
  options: SceneOptions = {},
): Promise<{ scene: Scene; server: WatchedServer }> {
  const log = new WatchedLog()
  const scene = await Scene.open({ ...options, database: 'postgres', logger: log.logger })
  return { scene, server: WatchedServer.around(scene, log, options.env) }
}

async function approveAtConsole(app: TestApp): Promise<void> {
  const names = { session_id: 'still-works', client_id: 'still-works' }
  await app.register(names)
  const { request_id } = await app.ask({ ...names, options: ['Yes', 'No'] })
  const { status, body } = await app.decide(request_id, { option: 'Yes' })
  expect({ status, outcome: body.outcome }).toEqual({ status: 200, outcome: 'approved' })
}

async function approveInTelegram(scene: Scene): Promise<void> {
  const reviewer = scene.person('Reviewer')
  const asked = await scene.ask(await scene.line(reviewer.id), { options: ['Yes', 'No'] })
  expect(await scene.decide(reviewer, asked, 'Yes')).toMatchObject({ outcome: 'approved' })
}

const secretsOf = (env: Record<string, string>): string[] =>
  Object.entries(env).flatMap(([name, value]) => (/TOKEN|SECRET/.test(name) ? [value] : []))

/** Every column, whatever there is: one that a later version adds is looked at too. */
async function all(db: Kysely<Tables>, table: 'requests' | 'events' | 'sessions'): Promise<Row[]> {
  return db.selectFrom(table).selectAll().execute()
}

const onlyIn = (rows: Record<string, Row>, known: Record<string, Row>): Record<string, Row> =>
  Object.fromEntries(Object.entries(rows).filter(([name]) => name in known))

const ANSWERED = 'http.server.response.finish'

/** Node's own news of every answer of this process, of which those of one server are kept. */
function watchAnswers({ url }: TestApp): Disposable & { readonly failed: readonly string[] } {
  const port = Number(new URL(url).port)
  const failed: string[] = []
  const look = (message: unknown) => {
    const { request, response, server } = message as {
      request: IncomingMessage
      response: ServerResponse
      server: Server
    }
    const address = server.address() as AddressInfo | null
    if (address?.port !== port || response.statusCode < 500) return
    failed.push(`${response.statusCode} to ${request.method} ${request.url}`)
  }
  diagnostics.subscribe(ANSWERED, look)
  return { failed, [Symbol.dispose]: () => diagnostics.unsubscribe(ANSWERED, look) }
}

import { type Logger, pino } from 'pino'
import { type App, startApp } from '../../src/app.ts'
import { type Config, readConfig } from '../../src/config.ts'
import type { Clock } from '../../src/core/ports.ts'
import type { Problem, RequestView } from '../../src/protocol/types.ts'
import { pgliteContents } from './database.ts'
import { unpacedChannels } from './unpaced.ts'

/** A server in this process, as a client sees it. */
export interface TestApp extends AsyncDisposable {
  readonly app: App
  readonly url: string
  post<Body = RequestView>(
    path: string,
    body: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer<Body>>
  get<Body = RequestView>(path: string, headers?: Record<string, string>): Promise<Answer<Body>>
  /** Registers the session `s1` of client `c1`, or as given. */
  register(fields?: object): Promise<void>
  /** Asks in `s1`, and returns the view. */
  ask(fields?: object): Promise<RequestView>
  /** Decides as the person of the console link. */
  decide(requestId: string, answer: object): Promise<Answer<RequestView>>
  /** The headers of that person. */
  person(): Promise<Record<string, string>>
  view(requestId: string): Promise<RequestView>
}

export interface Answer<Body> {
  readonly status: number
  readonly headers: Headers
  readonly body: Body & Partial<Omit<Problem, 'status'>>
}

export interface TestAppOptions {
  readonly clock?: Clock | undefined
  /** Sends no faster than Telegram's limits. Without it a test need not wait for its second card. */
  readonly isPaced?: boolean
  /** Takes what the server logs. */
  readonly logger?: Logger | undefined
}

export async function startTestApp(
  env: Record<string, string> = {},
  { clock, isPaced = false, logger }: TestAppOptions = {},
): Promise<TestApp> {
  const read = fromDump(readConfig({ LOOPGATE_DATA_DIR: 'memory://', SERVER_PORT: '0', ...env }))
  const config = isPaced ? read : { ...read, channels: unpacedChannels(env) }
  const level = process.env['TEST_LOG_LEVEL'] ?? 'silent'
  const log = logger ?? pino({ level }, pino.destination(2))
  const app = await startApp(config, log, '0.0.0-test', clock)
  return new HttpTestApp(app)
}

/** A database in memory that is migrated already: making one takes a second and a half of a core. */
function fromDump(config: Config): Config {
  const { database } = config
  const inMemory = database.type === 'embedded' && database.dataDir === 'memory://'
  return inMemory ? { ...config, database: { ...database, contents: pgliteContents() } } : config
}

class HttpTestApp implements TestApp {
  readonly app: App
  readonly url: string
  #person: Promise<Record<string, string>> | undefined

  constructor(app: App) {
    this.app = app
    this.url = app.address
  }

  post<Body = RequestView>(path: string, body: unknown, headers: Record<string, string> = {}) {
    return this.#call<Body>(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  }

  get<Body = RequestView>(path: string, headers: Record<string, string> = {}) {
    return this.#call<Body>(path, { headers })
  }

  async register(fields: object = {}): Promise<void> {
    const answer = await this.post('/hitl/register', {
      session_id: 's1',
      client_id: 'c1',
      ...fields,
    })
    if (answer.status !== 200) throw new Error(`register: ${JSON.stringify(answer.body)}`)
  }

  async ask(fields: object = {}): Promise<RequestView> {
    const { status, body } = await this.post('/hitl/request', {
      session_id: 's1',
      client_id: 'c1',
      message: 'Deploy v2.1.0 to production?',
      ...fields,
    })
    if (status !== 200) throw new Error(`request: ${JSON.stringify(body)}`)
    return body
  }

  async decide(requestId: string, answer: object) {
    return this.post<RequestView>(
      `/api/requests/${requestId}/decision`,
      answer,
      await this.person(),
    )
  }

  person(): Promise<Record<string, string>> {
    this.#person ??= this.#signIn()
    return this.#person
  }

  async view(requestId: string): Promise<RequestView> {
    const { body } = await this.get(`/hitl/poll?request_id=${requestId}`)
    return body
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.app.stop()
  }

  async #signIn(): Promise<Record<string, string>> {
    const [, code] = /code=([\w-]+)/.exec(this.app.facts().join('\n')) ?? []
    const { body } = await this.post<{ token: string }>('/api/auth/link', { code })
    return { authorization: `Bearer ${body.token}` }
  }

  async #call<Body>(path: string, init: RequestInit): Promise<Answer<Body>> {
    const response = await fetch(`${this.url}${path}`, init)
    const text = await response.text()
    const body = (text === '' ? undefined : JSON.parse(text)) as Answer<Body>['body']
    return { status: response.status, headers: response.headers, body }
  }
}

import { randomUUID } from 'node:crypto'
import type { CallbackQuery } from '@grammyjs/types'
import type { RequestView } from '../../../src/protocol/types.ts'
import { botOf, WEBHOOK_SECRET, webhookEnv } from '../../integration/telegram/scene.ts'
import { openTestDatabase, type TestDatabase } from '../../support/database.ts'
import { Command, type Exit } from '../../support/process.ts'
import { FakeTelegram } from '../../support/telegram/telegram.ts'

const JWT_SECRET = 'only-for-the-fuzz-run-and-long-enough'
const PASSWORD = 'correct horse battery staple'

/** Whoever may decide. The id is in no input, so that no input can be this person's. */
const APPROVER = { id: 77_001, first_name: 'Ann', is_bot: false } as const
const STRANGER = { id: 88_002, first_name: 'Bob', is_bot: false } as const

export interface Question {
  readonly session_id: string
  readonly client_id: string
  readonly request_id: string
  readonly cursor: string
}

/** A real server in a process of its own, that all doors lead to, and what is known beside it. */
export class Place implements AsyncDisposable {
  readonly url: string
  readonly webhookSecret = WEBHOOK_SECRET
  /** Of an agent of the tenant, who may ask and never decide. */
  readonly key: string
  /** Of a person of the tenant. */
  readonly token: string
  /** Asked in a group, with a button that approves. */
  readonly question: Question
  /** Nothing that anybody answers here approves. */
  readonly harmless: Question
  /** A session of its own for what is asked, which would make the others long to read. */
  readonly asking: Pick<Question, 'session_id' | 'client_id'>
  /** A press of the approving button by somebody who may not decide. */
  readonly press: CallbackQuery
  /** What must never be in the log. */
  readonly secrets: readonly string[]
  readonly #server: Command
  readonly #store: TestDatabase
  readonly #tg: FakeTelegram
  readonly #opened: AsyncDisposableStack

  private constructor(
    given: Pick<
      Place,
      'url' | 'key' | 'token' | 'question' | 'harmless' | 'asking' | 'press' | 'secrets'
    >,
    server: Command,
    store: TestDatabase,
    tg: FakeTelegram,
    opened: AsyncDisposableStack,
  ) {
    this.url = given.url
    this.key = given.key
    this.token = given.token
    this.question = given.question
    this.harmless = given.harmless
    this.asking = given.asking
    this.press = given.press
    this.secrets = given.secrets
    this.#server = server
    this.#store = store
    this.#tg = tg
    this.#opened = opened
  }

  static async open(): Promise<Place> {
    await using opened = new AsyncDisposableStack()
    // Nobody asks later what it was told.
    const tg = opened.use(await FakeTelegram.start({ callLogLimit: 100 }))
    const store = opened.use(await openTestDatabase('postgres'))
    const env = {
      ...ENVIRONMENT,
      ...(await webhookEnv()),
      ...botOf(tg),
      DATABASE_URL: store.url ?? '',
    }
    const server = opened.use(new Command('node', ['src/main.ts'], env))
    const [, url = ''] = await server.said(/listening on (http:\S+)/)
    await server.said(/^telegram: @/m)
    const { token, key } = await signUp(url)
    const group = tg.group()
    tg.setMember(group, APPROVER, 'member')
    tg.setMember(group, STRANGER, 'member')
    const inGroup = { telegram_id: group.id, approvers: [APPROVER.id] }
    const question = await ask(url, key, inGroup, { options: ['Approve', 'Deny'] })
    const tame = [{ label: 'Hold', effect: 'reject' }]
    const harmless = await ask(url, key, {}, { options: tame })
    const asking = await ask(url, key, {}, {})
    const card = await tg.waitForMessage(group, ({ text = '' }) =>
      text.includes(question.request_id),
    )
    const pressed = tg.pressButton({
      ...{ user: STRANGER, chat: group, messageId: card.message_id, label: 'Approve' },
    })
    await pressed.answer
    const secrets = [token, key, tg.token, WEBHOOK_SECRET, JWT_SECRET, PASSWORD]
    const given = { url, key, token, question, harmless, asking, press: pressed.query, secrets }
    return new Place(given, server, store, tg, opened.move())
  }

  /** How many requests are approved. */
  async approvals(): Promise<number> {
    const { count } = await this.#store.database.db
      .selectFrom('requests')
      .select(({ fn }) => fn.countAll<string>().as('count'))
      .where('outcome', '=', 'approved')
      .executeTakeFirstOrThrow()
    return Number(count)
  }

  /** Resident memory of the server in bytes. */
  async memory(): Promise<number> {
    const response = await fetch(`${this.url}/metrics`, { headers: { 'x-api-key': this.key } })
    const [, bytes] = /^process_resident_memory_bytes (\d+)/m.exec(await response.text()) ?? []
    return Number(bytes)
  }

  /** The press of somebody who may: the way a decision goes when nothing is wrong. */
  async approve(): Promise<RequestView> {
    const { message } = this.press
    if (!message) throw new Error('the press has no message')
    const { chat, message_id: messageId } = message
    this.#tg.pressButton({ user: APPROVER, chat, messageId, label: 'Approve' })
    const path = `/hitl/poll?request_id=${this.question.request_id}&wait=10`
    const response = await fetch(this.url + path, { headers: { 'x-api-key': this.key } })
    return (await response.json()) as RequestView
  }

  /** Ends the server as an operator does, and tells what it wrote. */
  async stop(): Promise<Exit> {
    this.#server.signal('SIGTERM')
    return this.#server.exit()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#opened.disposeAsync()
  }
}

const ENVIRONMENT = {
  // Everybody needs a credential, and whoever is limited is limited by an address that he names.
  AUTH: 'required',
  REGISTRATION: 'open',
  TRUST_PROXY: '127.0.0.1',
  MAX_CONCURRENT_REQUESTS: '1000000',
  JWT_SECRET,
  LOG_LEVEL: 'trace',
  SHUTDOWN_GRACE: '5',
}

async function post<Answer>(url: string, body: object, headers: object = {}): Promise<Answer> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`${url}: ${await response.text()}`)
  return (await response.json()) as Answer
}

async function signUp(url: string): Promise<{ token: string; key: string }> {
  const user = { username: 'ann', password: PASSWORD }
  await post(`${url}/api/auth/register`, user)
  const { token } = await post<{ token: string }>(`${url}/api/auth/login`, user)
  const authorization = `Bearer ${token}`
  const made = await post<{ raw_key: string }>(`${url}/api/user/apikeys`, {}, { authorization })
  return { token, key: made.raw_key }
}

async function ask(url: string, key: string, session: object, fields: object): Promise<Question> {
  const names = { session_id: randomUUID(), client_id: 'fuzzed' }
  const headers = { 'x-api-key': key }
  await post(`${url}/hitl/register`, { ...names, ...session }, headers)
  // Open until the run is over, however long that is.
  const question = { ...names, message: 'Deploy?', timeout_seconds: 86_400, ...fields }
  const view = await post<RequestView>(`${url}/hitl/request`, question, headers)
  return { ...names, request_id: view.request_id, cursor: view.cursor }
}

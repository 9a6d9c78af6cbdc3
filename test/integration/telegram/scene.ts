import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import { References } from '../../../src/channels/telegram/references.ts'
import type { Envelope, RequestView } from '../../../src/protocol/types.ts'
import { readSecret } from '../../../src/storage/secret-store.ts'
import { startTestApp, type TestApp } from '../../support/app.ts'
import { openTestDatabase, type TestDatabase } from '../../support/database.ts'
import { freePort } from '../../support/free-port.ts'
import {
  type FakePress,
  FakeTelegram,
  type FakeTelegramOptions,
  type StoredMessage,
} from '../../support/telegram/telegram.ts'

export interface Somebody {
  readonly id: number
  readonly first_name: string
  readonly is_bot: false
}

/** A question and the card it was asked on. */
export interface Asked {
  readonly id: string
  readonly view: RequestView
  readonly card: StoredMessage
}

/** A session of its own, and the chat its questions come to. */
export interface Line {
  readonly session_id: string
  readonly client_id: string
  readonly chat: number
  readonly link: string | null
}

export interface SceneOptions {
  readonly env?: Record<string, string>
  readonly telegram?: FakeTelegramOptions
  /** A Telegram that is there already; without one the scene starts its own, and ends it. */
  readonly tg?: FakeTelegram
  /** Sends no faster than Telegram's limits. */
  readonly isPaced?: boolean
  /** `memory` is PGlite; PostgreSQL unless said. */
  readonly database?: 'memory' | 'postgres'
  /** Takes what the server logs. */
  readonly logger?: Logger
}

let lastId = 1_000

/** A Telegram and a server beside it, with what the tests do to both. */
export class Scene implements AsyncDisposable {
  readonly tg: FakeTelegram
  readonly app: TestApp
  readonly #store: TestDatabase | undefined
  readonly #disposables: AsyncDisposableStack

  private constructor(
    tg: FakeTelegram,
    app: TestApp,
    store: TestDatabase | undefined,
    disposables: AsyncDisposableStack,
  ) {
    this.tg = tg
    this.app = app
    this.#store = store
    this.#disposables = disposables
  }

  static async open(options: SceneOptions = {}): Promise<Scene> {
    const { env, telegram, database = 'postgres', isPaced = false, logger } = options
    await using opened = new AsyncDisposableStack()
    const tg = options.tg ?? opened.use(await FakeTelegram.start(telegram))
    const store = database === 'memory' ? undefined : await openTestDatabase('postgres')
    if (store) opened.use(store)
    const variables = {
      ...(store?.url === undefined ? {} : { DATABASE_URL: store.url }),
      ...botOf(tg),
      ...env,
    }
    const app = await startTestApp(variables, { isPaced, logger })
    opened.use(app)
    return new Scene(tg, app, store, opened.move())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#disposables.disposeAsync()
  }

  /** The server's database, for what nobody can do from outside. */
  get store(): TestDatabase {
    if (this.#store) return this.#store
    throw new Error('only a scene on PostgreSQL has another way into its database')
  }

  /** What the server makes references with: whoever has these can forge them. */
  async references(): Promise<References> {
    return new References(await readSecret(this.store.database.db, 'telegram references'))
  }

  /** Somebody new, who has started the bot. */
  person(first_name = 'Ann'): Somebody {
    const somebody = this.stranger(first_name)
    this.tg.privateChat(somebody)
    return somebody
  }

  /** Somebody new, to whom the bot may not write. */
  stranger(first_name = 'Ann'): Somebody {
    const somebody = { id: ++lastId, first_name, is_bot: false } as const
    this.tg.stranger(somebody)
    return somebody
  }

  /** A session of a client of its own that asks in this chat, or nowhere yet. */
  line(chat: number | undefined, fields: object = {}): Promise<Line> {
    return openLine(this.app, chat, fields)
  }

  /** Asks, and returns when the card is there. */
  async ask(line: Line, fields: object = {}): Promise<Asked> {
    const view = await this.submit(line, fields)
    return { id: view.request_id, view, card: await this.card(line.chat, view.request_id) }
  }

  submit({ session_id, client_id }: Line, fields: object = {}): Promise<RequestView> {
    return this.app.ask({ session_id, client_id, ...fields })
  }

  card(chat: number, requestId: string): Promise<StoredMessage> {
    return this.tg.waitForMessage(chat, isCardOf(requestId))
  }

  cards(chat: number, requestId: string): StoredMessage[] {
    return this.tg.messages(chat).filter(isCardOf(requestId))
  }

  press(user: Somebody, { card }: Asked, label: string): FakePress {
    return this.tg.pressButton({ user, chat: card.chat, messageId: card.message_id, label })
  }

  /** Presses, and returns the settled view. */
  async decide(user: Somebody, asked: Asked, label: string): Promise<RequestView> {
    const press = this.press(user, asked, label)
    await press.answer
    return this.settled(asked.id)
  }

  /** The card once it shows an outcome. */
  closed({ card }: Pick<Asked, 'card'>): Promise<StoredMessage> {
    return this.tg.waitForEdit(card.chat, (edit) => edit.message_id === card.message_id)
  }

  view(requestId: string): Promise<RequestView> {
    return this.app.view(requestId)
  }

  async settled(requestId: string): Promise<RequestView> {
    const { body } = await this.app.get(`/hitl/poll?request_id=${requestId}&wait=10`)
    return body
  }

  /** Waits for the event of a session that matches, past or to come. */
  async event(
    { session_id }: Line,
    matches: (event: Envelope) => boolean,
  ): Promise<Envelope | undefined> {
    for (let since = 'earliest'; ; ) {
      const { body } = await this.app.get<{ events: Envelope[]; cursor: string }>(
        `/hitl/poll?session_id=${session_id}&since=${since}&wait=10`,
      )
      const found = body.events.find(matches)
      if (found || body.events.length === 0) return found
      since = body.cursor
    }
  }

  /** What became of asking: the first event of a request after its creation. */
  async news(line: Line, requestId: string): Promise<Envelope | undefined> {
    return this.event(
      line,
      ({ type, request_id }) => type !== 'request.created' && request_id === requestId,
    )
  }

  async events({ session_id }: Pick<Line, 'session_id'>): Promise<Envelope[]> {
    const all: Envelope[] = []
    for (let since = 'earliest'; ; ) {
      const { body } = await this.app.get<{ events: Envelope[]; cursor: string }>(
        `/hitl/poll?session_id=${session_id}&since=${since}`,
      )
      if (body.events.length === 0) return all
      all.push(...body.events)
      since = body.cursor
    }
  }
}

/** The variables of a server that uses this Telegram. */
export const botOf = ({ token, apiRoot }: FakeTelegram): Record<string, string> => ({
  TELEGRAM_BOT_TOKEN: token,
  TELEGRAM_API_ROOT: apiRoot,
})

export async function openLine(
  app: TestApp,
  chat: number | undefined,
  fields: object = {},
): Promise<Line> {
  const names = { session_id: `s-${randomUUID()}`, client_id: `c-${randomUUID()}` }
  const { status, body } = await app.post<{ link_url: string | null }>('/hitl/register', {
    ...names,
    ...(chat === undefined ? {} : { telegram_id: chat }),
    ...fields,
  })
  if (status !== 200) throw new Error(`register: ${JSON.stringify(body)}`)
  return { ...names, chat: chat ?? 0, link: body.link_url }
}

/** Whether a message is the card of a request; its file is none. */
export const isCardOf =
  (requestId: string) =>
  ({ text = '' }: StoredMessage): boolean =>
    text.includes(requestId)

/** The labels of a card's buttons, in order. */
export const labelsOf = ({ reply_markup }: StoredMessage): string[] =>
  (reply_markup?.inline_keyboard ?? []).flat().map(({ text }) => text)

/** What the buttons of a card carry, in order. */
export const dataOf = ({ reply_markup }: StoredMessage): string[] =>
  (reply_markup?.inline_keyboard ?? [])
    .flat()
    .map((button) => ('callback_data' in button ? button.callback_data : ''))

/** The parts of a text that lie in entities of these types. */
export const partsOf = ({ text = '', entities = [] }: StoredMessage, ...types: string[]) =>
  entities
    .filter(({ type }) => types.includes(type))
    .map(({ offset, length }) => text.slice(offset, offset + length))

/** What a card quotes of the agent. */
export const quotesOf = (card: StoredMessage): string[] =>
  partsOf(card, 'blockquote', 'expandable_blockquote')

export const WEBHOOK_ROUTE = '/telegram/webhook'
export const WEBHOOK_SECRET = 'Webhook-Secret_0123456789abcdefghij'

/** The variables of a server that Telegram posts to. */
export async function webhookEnv(): Promise<Record<string, string>> {
  const port = String(await freePort())
  return {
    TELEGRAM_MODE: 'webhook',
    TELEGRAM_WEBHOOK_SECRET: WEBHOOK_SECRET,
    SERVER_PORT: port,
    PUBLIC_URL: `http://127.0.0.1:${port}`,
  }
}

/** Posts an update as Telegram does; its answer's status. */
export async function postUpdate(
  { app }: Pick<Scene, 'app'>,
  update: unknown,
  headers: Record<string, string> = {},
): Promise<number> {
  const answer = await fetch(app.url + WEBHOOK_ROUTE, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-telegram-bot-api-secret-token': WEBHOOK_SECRET,
      ...headers,
    },
    body: typeof update === 'string' ? update : JSON.stringify(update),
  })
  await answer.arrayBuffer()
  return answer.status
}

import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../support/free-port.ts'
import { Command } from '../support/process.ts'
import { FakeTelegram, type StoredMessage } from '../support/telegram/telegram.ts'
import { NODE } from './command.ts'
import { must } from './report.ts'

/** A session that asks in the chat of one reviewer. */
export interface Line {
  readonly sessionId: string
  readonly reviewer: { readonly id: number; readonly first_name: string; readonly is_bot: false }
}

/** What a server is asked for its view of. */
interface View {
  readonly request_id: string
  readonly status: string
  readonly outcome: string | null
  readonly response: string | null
  readonly decided_by: { readonly channel: string; readonly id: string } | null
}

export interface PlaceOptions {
  /** What is run: the server unless said. */
  readonly script?: string
}

/** A server in a process of its own, as it is shipped, beside a Telegram with people in it. */
export class Place implements AsyncDisposable {
  readonly tg: FakeTelegram
  readonly url: string
  readonly #env: Readonly<Record<string, string>>
  readonly #script: string
  readonly #dataDir: string
  #server: Command | undefined
  #people = 0

  private constructor(tg: FakeTelegram, dataDir: string, port: number, script: string) {
    this.tg = tg
    this.url = `http://127.0.0.1:${port}`
    this.#dataDir = dataDir
    this.#script = script
    this.#env = {
      LOOPGATE_DATA_DIR: dataDir,
      SERVER_PORT: String(port),
      LOG_LEVEL: 'warn',
      TELEGRAM_BOT_TOKEN: tg.token,
      TELEGRAM_API_ROOT: tg.apiRoot,
    }
  }

  static async open({ script = 'src/main.ts' }: PlaceOptions = {}): Promise<Place> {
    await using opened = new AsyncDisposableStack()
    const tg = opened.use(await FakeTelegram.start())
    const dataDir = await mkdtemp(join(tmpdir(), 'loopgate-interop-'))
    const place = new Place(tg, dataDir, await freePort(), script)
    await place.start()
    opened.move()
    return place
  }

  get mcp(): string {
    return `${this.url}/mcp`
  }

  /** The same for agents of one session. */
  mcpOf({ sessionId }: Line): string {
    return `${this.mcp}?session_id=${sessionId}`
  }

  /** On the same data and the same port each time. */
  async start(): Promise<void> {
    const server = new Command(NODE, [this.#script], this.#env)
    this.#server = server
    process.once('exit', this.#end)
    await server.said(/^listening on /m)
    void server.exit().then(({ code, stderr }) => {
      if (this.#server === server) console.log(`the server ended by itself, ${code}:\n${stderr}`)
    })
  }

  /** As a power cut does: nothing is said to anybody. What the server wrote to standard error before. */
  async kill(): Promise<string> {
    const server = this.#server
    this.#end()
    process.off('exit', this.#end)
    return (await server?.exit())?.stderr ?? ''
  }

  readonly #end = () => {
    this.#server?.signal('SIGKILL')
    this.#server = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await this.tg[Symbol.asyncDispose]()
    await rm(this.#dataDir, { recursive: true, force: true })
  }

  /** A session of its own, with a reviewer of its own. */
  async line(name: string): Promise<Line> {
    const reviewer = { id: 1_001 + this.#people++, first_name: name, is_bot: false } as const
    this.tg.privateChat(reviewer)
    const sessionId = `${name}-${randomUUID()}`
    await this.post('/hitl/register', {
      ...{ session_id: sessionId, client_id: name, telegram_id: reviewer.id },
    })
    return { sessionId, reviewer }
  }

  async view(requestId: string): Promise<View> {
    return (await this.#json(`/hitl/poll?request_id=${requestId}`)) as View
  }

  /** What is open in a session. */
  async pending({ sessionId }: Pick<Line, 'sessionId'>): Promise<readonly View[]> {
    const answer = await this.#json(`/hitl/pending?session_id=${sessionId}`)
    return (answer as { readonly pending_requests: readonly View[] }).pending_requests
  }

  /** Waits for the card that asks this. */
  card({ reviewer }: Line, message: string): Promise<StoredMessage> {
    return this.tg.waitForMessage(reviewer.id, ({ text = '' }) => text.includes(message))
  }

  /** How often this was asked. */
  cards({ reviewer }: Line, message: string): number {
    const isAsking = ({ text = '' }: StoredMessage) => text.includes(message)
    return this.tg.messages(reviewer.id).filter(isAsking).length
  }

  /** Presses a button of the card that asks this, and resolves when the reviewer is answered. */
  async press(line: Line, message: string, label: string): Promise<void> {
    const card = await this.card(line, message)
    const press = { user: line.reviewer, chat: card.chat, messageId: card.message_id, label }
    await this.tg.pressButton(press).answer
  }

  post(path: string, body: object): Promise<unknown> {
    return this.#json(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  }

  /** Every figure of `/metrics` by its name with its labels. */
  async figures(): Promise<ReadonlyMap<string, number>> {
    const text = await (await fetch(`${this.url}/metrics`)).text()
    return new Map(
      text
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => [line.replace(/ \S+$/, ''), Number(/\S+$/.exec(line)?.[0])]),
    )
  }

  async #json(path: string, init: RequestInit = {}): Promise<unknown> {
    const answer = await fetch(this.url + path, init)
    const text = await answer.text()
    must(answer.ok, `${init.method ?? 'GET'} ${path}: ${answer.status} ${text}`)
    return JSON.parse(text)
  }
}

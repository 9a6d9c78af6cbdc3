import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Envelope, RequestView } from '../../src/protocol/types.ts'
import { type Receiver, startReceiver } from '../support/receiver.ts'
import type { FakePress, StoredMessage } from '../support/telegram/telegram.ts'
import { callUntilAnswered } from './call.ts'
import { lastWords, type Step } from './orders.ts'
import { type DatabaseName, Place } from './place.ts'
import { Random } from './random.ts'

/** A server that is killed exactly between two steps of a decision, and started again. */

const DECISION: Step = { of: 'sql', text: 'INSERT INTO events', value: 'request.decided' }
const SENDING: Step = { of: 'telegram', method: 'sendMessage' }
const CARD: Step = { of: 'sql', text: 'insert into "cards"', commit: true }
const ANSWER: Step = { of: 'telegram', method: 'answerCallbackQuery' }
const EDIT: Step = { of: 'telegram', method: 'editMessageText' }
const CONFIRMATION: Step = { of: 'telegram', method: 'getUpdates' }
const CALLBACK: Step = { of: 'callback' }

const around = (name: string, step: Step) =>
  (['before', 'after'] as const).map((when) => ({ when, name, step }))

/** While a question is asked, and while it is answered. What dies before one step died after another. */
const ASKING = [
  ...around('the sending of its card', SENDING),
  ...around('the card is stored', CARD),
]
const ANSWERING = [
  ...around('the commit of the decision', DECISION),
  ...around('the answer to the press', ANSWER),
  ...around('the edit of the card', EDIT),
  ...around('the confirmation of the update', CONFIRMATION),
  ...around('the callback', CALLBACK),
]

const WAIT_MS = 20_000
const LABEL = '🚀 Deploy'

function killing(
  database: DatabaseName,
  points: { asking: typeof ASKING; answering: typeof ANSWERING },
) {
  let place: Place
  let receiver: Receiver | undefined
  const opened = new AsyncDisposableStack()
  beforeAll(async () => {
    const directory = mkdtempSync(join(tmpdir(), 'loopgate-chaos-'))
    // Nobody can end the lease of a callback in an embedded database.
    if (database === 'postgres') receiver = opened.use(await startReceiver())
    place = opened.use(
      await Place.open({
        ...{ database, processes: 1, telegram: 'polling', directory },
        script: 'test/chaos/unpaced-server.ts',
      }),
    )
  }, 60_000)
  afterAll(() => opened.disposeAsync(), 30_000)

  test.each(points.asking)('$when $name', async ({ when, step }) => {
    const line = await Line.open(place, receiver)
    const death = dying(place, when, step)
    await line.ask()
    await death
    // On the first card, also if nobody knows of it: Telegram may have sent it before we died.
    await line.delivered()
    const press = line.press()
    await line.expectOneDecision(press)
  })

  test.each(points.answering)('$when $name', async ({ when, step }) => {
    const line = await Line.open(place, receiver)
    await line.ask()
    await line.delivered()
    await place.tg.waitForPoll()
    const death = dying(place, when, step)
    const press = line.press()
    if (step === CONFIRMATION && when === 'after') {
      // What confirms is answered when there is something new.
      await press.confirmedWithin(WAIT_MS)
      line.say('/help')
    }
    await death
    await line.expectOneDecision(press)
  })
}

/** Resolves when the server died exactly there, and serves again. Leases of the dead are over. */
async function dying(place: Place, when: 'before' | 'after', step: Step): Promise<void> {
  const [server] = place.servers
  if (!server) throw new Error('there is no server')
  const { starts, logPath } = server
  const deaths = server.crashes.length
  server.order({ type: 'die', when, step })
  const until = Date.now() + WAIT_MS
  while (server.crashes.length === deaths) {
    if (Date.now() > until) throw new Error(`it did not die ${when} ${JSON.stringify(step)}`)
    await setTimeout(10)
  }
  expect(server.crashes.slice(deaths)).toEqual(['ended with SIGKILL'])
  expect(readFileSync(logPath, 'utf8').trimEnd().split('\n')).toContain(lastWords(when, step))
  await endLeases(place)
  await server.untilReady(WAIT_MS)
  expect(server.starts).toBe(starts + 1)
}

/** What the dead had taken would be somebody else's after 25 s; here, at once. */
async function endLeases({ postgres }: Place): Promise<void> {
  if (!postgres) return
  const client = new pg.Client({ connectionString: postgres.url.href })
  await client.connect()
  for (const table of ['deliveries', 'cards', 'callbacks']) {
    await client.query(`UPDATE ${table} SET due_at = clock_timestamp() WHERE due_at IS NOT NULL`)
  }
  await client.end()
}

let lastId = 30_000

/** A session with its reviewer, and what must be true of its one question. */
class Line {
  readonly #place: Place
  readonly #receiver: Receiver | undefined
  readonly #names = { session_id: `s-${randomUUID()}`, client_id: `c-${randomUUID()}` }
  readonly #user = { id: ++lastId, first_name: 'Ann', is_bot: false } as const
  readonly #random = new Random(1)
  #secret = ''
  #id = ''

  private constructor(place: Place, receiver: Receiver | undefined) {
    this.#place = place
    this.#receiver = receiver
  }

  static async open(place: Place, receiver: Receiver | undefined): Promise<Line> {
    const line = new Line(place, receiver)
    place.tg.privateChat(line.#user)
    const body = { ...line.#names, telegram_id: line.#user.id }
    const registered = await line.#call('/hitl/register', body)
    line.#secret = String(registered['webhook_secret'])
    return line
  }

  async ask(): Promise<void> {
    const view = await this.#call('/hitl/request', {
      ...{ ...this.#names, message: 'Deploy?', options: [LABEL, '⏸️ Hold'] },
      ...{ idempotency_key: this.#names.session_id, callback_url: this.#receiver?.url },
    })
    this.#id = String(view['request_id'])
  }

  async delivered(): Promise<void> {
    await expect
      .poll(async () => (await this.#log()).map(({ type }) => type), { timeout: WAIT_MS })
      .toContain('request.delivered')
  }

  press(): FakePress {
    const [card] = this.#cards()
    if (!card) throw new Error('there is no card')
    return this.#place.tg.pressButton({
      ...{ user: this.#user, messageId: card.message_id, label: LABEL },
    })
  }

  say(text: string): void {
    this.#place.tg.send({ user: this.#user, text })
  }

  /** By this press, once, shown on every card, told to the person and to the agent. */
  async expectOneDecision(press: FakePress): Promise<void> {
    await press.confirmedWithin(WAIT_MS)
    const view = (await this.#call(`/hitl/poll?request_id=${this.#id}`)) as unknown as RequestView
    const by = { channel: 'telegram', id: String(this.#user.id), name: 'Ann' }
    expect(view).toMatchObject({ outcome: 'approved', response: LABEL, decided_by: by })
    expect(press.answered?.text ?? '✅ Approved by Ann').toMatch(/^✅ Approved by Ann/)
    await expect
      .poll(() => this.#cards().map(({ text = '' }) => text.split(',', 1)[0]), { timeout: WAIT_MS })
      .toEqual(this.#cards().map(() => '✅ Approved by Ann'))
    const log = await this.#log()
    const types = log.map(({ type }) => type)
    expect(types).toEqual(['request.created', 'request.delivered', 'request.decided'])
    if (this.#receiver) await this.#expectCallback(this.#receiver, log.at(-1))
  }

  async #expectCallback(receiver: Receiver, decided: Envelope | undefined): Promise<void> {
    const posts = () => receiver.posts.filter(({ body }) => body.includes(this.#id))
    await expect.poll(() => posts().length, { timeout: WAIT_MS }).toBeGreaterThan(0)
    for (const { headers, body } of posts()) {
      expect(new Webhook(this.#secret).verify(body, headers)).toEqual(decided)
    }
    expect(new Set(posts().map(({ headers }) => headers['webhook-id'])).size).toBe(1)
  }

  #cards(): StoredMessage[] {
    const { tg } = this.#place
    return tg.messages(this.#user.id).filter(({ text = '' }) => text.includes(this.#id))
  }

  async #log(): Promise<Envelope[]> {
    const path = `/hitl/poll?session_id=${this.#names.session_id}&since=earliest`
    return (await this.#call(path))['events'] as Envelope[]
  }

  async #call(path: string, body?: object): Promise<Record<string, unknown>> {
    const asked = body ? { body } : {}
    const answer = await callUntilAnswered(this.#place, this.#random, path, asked, WAIT_MS)
    if (answer?.status !== 200) throw new Error(`${path}: ${JSON.stringify(answer)}`)
    return answer.body
  }
}

describe('on PostgreSQL, one decision and all that follows it survive a kill -9', () => {
  killing('postgres', { asking: ASKING, answering: ANSWERING })
})

describe('on PGlite, one decision and all that follows it survive a kill -9', () => {
  killing('pglite', { asking: [], answering: around('the commit of the decision', DECISION) })
})

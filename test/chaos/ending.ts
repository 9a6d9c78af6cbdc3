import { readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import type { Envelope, RequestView } from '../../src/protocol/types.ts'
import { callUntilAnswered } from './call.ts'
import { contentOf, type Final, type Heard, heardOf, seenOf } from './facts.ts'
import type { Line } from './line.ts'
import { JWT_SECRET, type Place, WEBHOOK_SECRET } from './place.ts'
import { Random } from './random.ts'
import type { SessionReader } from './reading.ts'

const SETTLE_MS = 75_000
const CARDS_MS = 60_000
/** A lease of a process that was killed, a try that hangs, the pause after it, a sweep. */
const CALLBACKS_MS = 60_000
const READ_MS = 30_000
const LOOK_MS = 250

/** What is there in the end, read from outside, when everything has had the time it may take. */
export class Ending {
  readonly #place: Place
  readonly #tell: (line: string) => void
  readonly #random = new Random(0)
  /** Cards that somebody pressed in the end. */
  readonly #touched = new Set<string>()

  constructor(place: Place, tell: (line: string) => void) {
    this.#place = place
    this.#tell = tell
  }

  /** Waits for what must come to rest, and no longer than it may take. */
  async rest(asked: ReadonlyMap<string, Line>, readers: readonly SessionReader[]): Promise<void> {
    await Promise.all(this.#place.servers.map((server) => server.untilReady(60_000)))
    const lines = new Set(asked.values())
    await this.#until('every request is settled', SETTLE_MS, async () => {
      const open = await Promise.all([...lines].map((line) => this.#pending(line)))
      return open.every((count) => count === 0)
    })
    const tops = await Promise.all(readers.map(async ({ line }) => (await this.#log(line)).length))
    await this.#until('every reader has everything', READ_MS, async () =>
      readers.every(({ seq }, i) => seq >= (tops[i] ?? 0)),
    )
    // On one card at least: of the others, and of those of which no sending was confirmed, nobody knows.
    const delivered = await this.#delivered(asked)
    await this.#until('every request that was delivered has a settled card', CARDS_MS, async () => {
      const settled = new Set(
        this.#cards(asked)
          .filter(isSettled)
          .map(({ request }) => request),
      )
      return delivered.every((request) => settled.has(request))
    })
    await this.#touch(asked)
  }

  /** Everything that was to be called back was taken. */
  async calledBack(owed: readonly string[], taken: ReadonlySet<string>): Promise<void> {
    await this.#until('every outcome was called back', CALLBACKS_MS, async () =>
      owed.every((request) => taken.has(request)),
    )
  }

  async #delivered(asked: ReadonlyMap<string, Line>): Promise<string[]> {
    const views = await Promise.all(
      [...asked].map(([request, line]) =>
        this.#get<RequestView>(`/hitl/poll?request_id=${request}`, line),
      ),
    )
    return views.flatMap((view) => (view && isDelivered(view) ? [view.request_id] : []))
  }

  /** Somebody presses what still looks open. It can not count any more, and the card is found. */
  async #touch(asked: ReadonlyMap<string, Line>): Promise<void> {
    const open = this.#cards(asked).filter((card) => !isSettled(card))
    this.#tell(`${open.length} cards whose sending was never confirmed are touched`)
    for (const { request, message, label } of open) {
      const line = asked.get(request)
      this.#touched.add(`${line?.chat} ${message}`)
      const [user] = line?.reviewers ?? []
      if (!line || !user) continue
      const place = { user, chat: line.chat }
      const { tg } = this.#place
      if (label === undefined) tg.reply({ ...place, replyTo: message, text: 'yes' })
      else tg.pressButton({ ...place, messageId: message, label })
    }
    await this.#until('every card is settled', CARDS_MS, async () =>
      this.#cards(asked).every(isSettled),
    )
  }

  async read(
    asked: ReadonlyMap<string, Line>,
    readers: readonly SessionReader[],
  ): Promise<Omit<Final, 'complaints'>> {
    const requests: Final['requests'][number][] = []
    const keys = await this.#keys()
    for (const [request, line] of asked) {
      const view = await this.#get<RequestView>(`/hitl/poll?request_id=${request}`, line)
      if (!view?.request_id) continue
      requests.push({
        request,
        content: contentOf(view),
        expiresAt: view.expires_at,
        seen: seenOf(view),
        isDelivered: isDelivered(view),
        receipt: await readReceipt(view, keys),
      })
    }
    const lines = [...new Map([...asked.values()].map((line) => [line.session, line])).values()]
    const logs = await Promise.all(
      lines.map(async (line) => ({ session: line.session, events: await this.#log(line) })),
    )
    return {
      requests,
      logs,
      readers: readers.map(({ name, line }) => ({ reader: name, session: line.session })),
      cards: this.#cards(asked),
      leaks: this.#leaks(),
      leftovers: await this.#leftovers(),
    }
  }

  async #pending({ session, token }: Line): Promise<number> {
    const path = `/hitl/pending?session_id=${session}`
    const answer = await callUntilAnswered(this.#place, this.#random, path, { token }, 5_000)
    return answer?.status === 200 ? Number(answer.body['count']) : -1
  }

  async #log(line: Line): Promise<Heard[]> {
    const all: Heard[] = []
    for (let since = 'earliest'; ; ) {
      const path = `/hitl/poll?session_id=${line.session}&since=${since}`
      const page = await this.#get<{ events: Envelope[]; cursor: string }>(path, line)
      if (!page?.events || page.events.length === 0) return all
      all.push(...page.events.map(heardOf))
      since = page.cursor
    }
  }

  async #get<Body>(path: string, { token }: Line): Promise<Body | undefined> {
    const answer = await callUntilAnswered(this.#place, this.#random, path, { token }, 15_000)
    return answer?.status === 200 ? (answer.body as Body) : undefined
  }

  /** As they are in the end: what is settled after a rotation may need a new one. */
  async #keys(): Promise<JSONWebKeySet> {
    const path = '/.well-known/jwks.json'
    const answer = await callUntilAnswered(this.#place, this.#random, path, {}, 15_000)
    return { keys: [], ...answer?.body }
  }

  #cards(asked: ReadonlyMap<string, Line>): ShownCard[] {
    const chats = new Set([...asked.values()].map(({ chat }) => chat))
    return [...chats].flatMap((chat) =>
      this.#place.tg
        .messages(chat)
        .flatMap(({ fromBot, message_id: message, text = '', reply_markup }) => {
          const [request] = /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(text) ?? []
          if (!fromBot || request === undefined || text.startsWith('Recorded.')) return []
          const buttons = reply_markup?.inline_keyboard.flat() ?? []
          const isTouched = this.#touched.has(`${chat} ${message}`)
          const [label] = buttons.map((button) => button.text)
          return [{ request, text, buttons: buttons.length, isTouched, message, label }]
        }),
    )
  }

  /** True when it came to be so within the time. */
  async #until(what: string, withinMs: number, isSo: () => Promise<boolean>): Promise<boolean> {
    this.#tell(`waiting until ${what}`)
    const end = Date.now() + withinMs
    while (Date.now() < end) {
      if (await isSo().catch(() => false)) return true
      await setTimeout(LOOK_MS)
    }
    this.#tell(`not so after ${withinMs / 1_000} s: ${what}`)
    return false
  }

  #leaks(): string[] {
    const secrets = {
      'the bot token': this.#place.tg.token,
      'the webhook secret': WEBHOOK_SECRET,
      'the signing secret': JWT_SECRET,
      'the secret of a session': 'whsec_',
      'the token of a person': 'eyJhbGciOiJIUzI1NiJ9',
    }
    return this.#place.servers.flatMap(({ number, logPath }) => {
      const log = readFileSync(logPath, 'utf8')
      return Object.entries(secrets)
        .filter(([, secret]) => log.includes(secret))
        .map(([name]) => `${name} is in the log of process ${number}`)
    })
  }

  /** Connections that no reader has any more, and processes that ended by themselves. */
  async #leftovers(): Promise<string[]> {
    const left: string[] = []
    for (const { number, url, crashes } of this.#place.servers) {
      left.push(...crashes.map((crash) => `process ${number} ${crash}`))
      let open = -1
      const isEmpty = await this.#until('nobody is connected', 40_000, async () => {
        open = await connectionsOf(url)
        return open === 0
      })
      if (!isEmpty) left.push(`process ${number} holds ${open} connections of nobody`)
    }
    return left
  }
}

/** By a JOSE library alone. */
async function readReceipt(
  { request_id: subject, client_id: audience, receipt }: RequestView,
  keys: JSONWebKeySet,
): Promise<Final['requests'][number]['receipt']> {
  if (receipt === null) return null
  const expected = { typ: 'loopgate-decision+jwt', algorithms: ['EdDSA'], subject, audience }
  // Whether it is over is not the question here.
  const currentDate = new Date(0)
  return jwtVerify<{ outcome: string }>(receipt, createLocalJWKSet(keys), {
    ...{ ...expected, currentDate },
  }).then(
    ({ payload: { outcome } }) => ({ authentic: true, outcome }),
    () => ({ authentic: false, outcome: '' }),
  )
}

type ShownCard = Final['cards'][number] & {
  readonly message: number
  readonly label: string | undefined
}

const isSettled = ({ buttons, text }: ShownCard): boolean =>
  buttons === 0 && !text.includes('⏳ Open for')

const isDelivered = ({ delivery }: RequestView): boolean =>
  delivery.some(({ status }) => status === 'delivered')

async function connectionsOf(url: string): Promise<number> {
  const text = await fetch(`${url}/metrics`)
    .then((answer) => answer.text())
    .catch(() => undefined)
  if (text === undefined) return -1
  const lines = text.split('\n').filter((line) => line.startsWith('loopgate_stream_connections'))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

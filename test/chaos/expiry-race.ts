import { setTimeout } from 'node:timers/promises'
import type { Envelope, RequestView } from '../../src/protocol/types.ts'
import { READERS } from '../support/readers/index.ts'
import type { Reader } from '../support/readers/reader.ts'
import type { PressAnswer, StoredMessage } from '../support/telegram/telegram.ts'
import { call } from './call.ts'
import { HEADLINES } from './checker.ts'
import { Place } from './place.ts'
import { Random } from './random.ts'

export interface RaceOptions {
  readonly rounds: number
  readonly seed: number
  readonly directory: string
  readonly tell: (line: string) => void
}

export interface RaceReport {
  readonly decided: number
  readonly expired: number
  /** How near to its end a request was decided, and expired, at best; in milliseconds. */
  readonly nearestMs: { readonly decided: number; readonly expired: number }
  /** What does not agree. */
  readonly wrong: readonly string[]
}

/** Requests that are open at once. */
const LANES = 32
/** Presses arrive so long before the end of a request at most, and so long after it. */
const WINDOW_MS = 50
/** How much sooner the next press is made after one that came too late, and later after one in time. */
const STEP_MS = 2
const MAX_LEAD_MS = 500
const LABELS = ['Deploy', 'Hold', 'Review First'] as const
const OPTIONS = [
  { label: 'Deploy', effect: 'approve' },
  { label: 'Hold', effect: 'reject' },
  { label: 'Review First', effect: 'other' },
]
const WAIT_MS = 10_000
/** A machine that is busy brings a card too late for its second. */
const MAX_TRIES = 20
const TELL_EVERY = 200

/**
 * Many requests that live a second, each pressed in the moment of its end, at two processes that both
 * expire what is due: somebody decided, or nobody did, and everybody is told the same.
 */
export async function runExpiryRace(options: RaceOptions): Promise<RaceReport> {
  const { directory, rounds, seed, tell } = options
  await using place = await Place.open({
    ...{ database: 'postgres', processes: 2, telegram: 'webhook', directory },
    script: 'test/chaos/unpaced-server.ts',
  })
  const score = new Score()
  let left = rounds
  const aim = new Aim()
  const run = async (number: number) => {
    await using lane = await Lane.open({ place, number, seed, aim })
    while (left > 0) {
      left -= 1
      const { view, complaints } = await lane.race()
      score.add(view, complaints)
      aim.correct(view)
      if (score.rounds % TELL_EVERY === 0) tell(score.text)
    }
  }
  await Promise.all(Array.from({ length: Math.min(LANES, rounds) }, (_, number) => run(number)))
  return score.report
}

/** How long a press is on its way on this machine, found as a balance is: half of them come in time. */
class Aim {
  leadMs = 0

  correct({ outcome }: RequestView): void {
    const changed = this.leadMs + (outcome === 'expired' ? STEP_MS : -STEP_MS)
    this.leadMs = Math.min(Math.max(changed, 0), MAX_LEAD_MS)
  }
}

class Score {
  readonly #wrong: string[] = []
  readonly #counts = { decided: 0, expired: 0 }
  readonly #nearestMs = { decided: Number.POSITIVE_INFINITY, expired: Number.POSITIVE_INFINITY }

  get rounds(): number {
    return this.#counts.decided + this.#counts.expired
  }

  get text(): string {
    const { decided, expired } = this.#counts
    return `${decided} decided, ${expired} expired, ${this.#wrong.length} wrong`
  }

  get report(): RaceReport {
    return { ...this.#counts, nearestMs: this.#nearestMs, wrong: this.#wrong }
  }

  add(view: RequestView, complaints: readonly string[]): void {
    const kind = view.outcome === 'expired' ? 'expired' : 'decided'
    const ms = Math.abs(Date.parse(view.expires_at) - Date.parse(view.responded_at ?? ''))
    this.#counts[kind] += 1
    this.#nearestMs[kind] = Math.min(this.#nearestMs[kind], ms)
    for (const what of complaints) this.#wrong.push(`${view.request_id}: ${what}`)
  }
}

interface Opening {
  readonly place: Place
  readonly number: number
  readonly seed: number
  readonly aim: Aim
}

interface LaneParts {
  readonly place: Place
  readonly aim: Aim
  readonly random: Random
  readonly names: { readonly session_id: string; readonly client_id: string }
  readonly user: { readonly id: number; readonly first_name: string; readonly is_bot: false }
  readonly readers: readonly Reader[]
}

/** A session, its reviewer, and an agent that reads it at each process. */
class Lane implements AsyncDisposable {
  readonly #place: Place
  readonly #aim: Aim
  readonly #random: Random
  readonly #names: LaneParts['names']
  readonly #user: LaneParts['user']
  readonly #readers: readonly Reader[]

  private constructor(parts: LaneParts) {
    this.#place = parts.place
    this.#aim = parts.aim
    this.#random = parts.random
    this.#names = parts.names
    this.#user = parts.user
    this.#readers = parts.readers
  }

  static async open({ place, number, seed, aim }: Opening): Promise<Lane> {
    const random = new Random(seed, `lane ${number}`)
    const names = { session_id: `race-${number}`, client_id: `race-${number}` }
    const user = { id: 20_000 + number, first_name: `Reviewer ${number}`, is_bot: false } as const
    place.tg.privateChat(user)
    const body = { ...names, telegram_id: user.id }
    const { status } = await call(place.url(0), '/hitl/register', { body })
    if (status !== 200) throw new Error(`register: ${status}`)
    const ways = Object.values(READERS)
    const target = { session_id: names.session_id }
    const readers = await Promise.all(
      place.servers.map((server) => random.pick(ways)(place.url(server.number), { target })),
    )
    return new Lane({ place, aim, random, names, user, readers })
  }

  /** Asks until a card came in time, presses in the moment of the end, and compares what was told. */
  async race(): Promise<{ view: RequestView; complaints: string[] }> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const asked = await this.#ask()
      const isCard = ({ text = '' }: StoredMessage) => text.includes(asked.request_id)
      const timeoutMs = Math.max(1, Date.parse(asked.expires_at) - WINDOW_MS - Date.now())
      const card = await this.#place.tg
        .waitForMessage(this.#user.id, isCard, { timeoutMs })
        .catch(() => undefined)
      if (card) return this.#round(asked, card)
    }
    throw new Error(`no card came within a second, ${MAX_TRIES} times`)
  }

  async #round(asked: RequestView, card: StoredMessage) {
    const { request_id: id } = asked
    const { tg } = this.#place
    const first = this.#random.pick(LABELS)
    const presses = [this.#press(asked, card, first)]
    if (this.#random.chance(0.3)) {
      const others = LABELS.filter((label) => label !== first)
      presses.push(this.#press(asked, card, this.#random.pick(others)))
    }
    const told = await Promise.all(presses)
    const views = await Promise.all(this.#place.servers.map(({ number }) => this.#view(id, number)))
    const events = await Promise.all(this.#readers.map((reader) => this.#settlement(reader, id)))
    const isEdit = ({ message_id }: StoredMessage) => message_id === card.message_id
    const shown = await tg.waitForEdit(this.#user.id, isEdit, { timeoutMs: WAIT_MS })
    const view = views[0] as RequestView
    return { view, complaints: disagreements(this.#user, view, { told, views, events, shown }) }
  }

  async #ask(): Promise<RequestView> {
    const { number } = this.#random.pick(this.#place.servers)
    const body = { ...this.#names, message: 'Now?', options: OPTIONS, timeout_seconds: 1 }
    const answer = await call(this.#place.url(number), '/hitl/request', { body })
    if (answer.status !== 200) throw new Error(`request: ${JSON.stringify(answer)}`)
    return answer.body as unknown as RequestView
  }

  /** Of the card as the person sees it: its buttons may just be going. */
  async #press({ expires_at }: RequestView, card: StoredMessage, label: string) {
    const buttons = card.reply_markup?.inline_keyboard.flat() ?? []
    const button = buttons.find(({ text }) => text === label)
    const data = button && 'callback_data' in button ? button.callback_data : ''
    const offMs = this.#random.whole(-WINDOW_MS, WINDOW_MS) - this.#aim.leadMs
    const at = Date.parse(expires_at) + offMs
    await setTimeout(Math.max(0, at - Date.now()))
    const press = this.#place.tg.press({ user: this.#user, messageId: card.message_id, data })
    return { label, answer: await press.answerWithin(WAIT_MS) }
  }

  async #view(id: string, number: number): Promise<RequestView> {
    const { body } = await call(this.#place.url(number), `/hitl/poll?request_id=${id}&wait=10`, {})
    return body as unknown as RequestView
  }

  /** Everything about the request that came to a reader, up to its end and what came with it. */
  async #settlement(reader: Reader, id: string): Promise<readonly Envelope[]> {
    const until = Date.now() + WAIT_MS
    const ofRequest = () => reader.events.filter(({ request_id }) => request_id === id)
    while (!ofRequest().some(isTerminal) && Date.now() < until) await setTimeout(5)
    return ofRequest()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#readers.map((reader) => reader[Symbol.asyncDispose]()))
  }
}

const isTerminal = ({ data }: Envelope): boolean => data.completed

interface Told {
  readonly told: readonly { readonly label: string; readonly answer: PressAnswer }[]
  readonly views: readonly RequestView[]
  readonly events: readonly (readonly Envelope[])[]
  readonly shown: StoredMessage
}

/** Whatever differs from what is stored, in words. */
function disagreements(
  user: { readonly id: number },
  view: RequestView,
  { told, views, events, shown }: Told,
): string[] {
  const text = (value: unknown) => JSON.stringify(value)
  const headline = HEADLINES[view.outcome ?? ''] ?? 'no outcome'
  const complaints = [
    ...views.filter((other) => text(other) !== text(view)).map((other) => `a view: ${text(other)}`),
    ...events.flatMap((heard) => {
      const ends = heard.filter(isTerminal)
      const isRight = ends.length === 1 && text(ends[0]?.data) === text(view)
      return isRight ? [] : [`a reader heard ${text(ends)}`]
    }),
    ...(shown.text?.startsWith(headline) ? [] : [`the card shows ${shown.text?.slice(0, 60)}`]),
  ]
  for (const { label, answer } of told) {
    const counts = view.response === label && view.decided_by?.id === String(user.id)
    const expected = counts ? headline : `Too late, your answer changed nothing. ${headline}`
    if (!answer.text.startsWith(expected)) complaints.push(`"${label}" was told "${answer.text}"`)
  }
  const isLate = Date.parse(view.responded_at ?? '') >= Date.parse(view.expires_at)
  if (isLate !== (view.outcome === 'expired')) complaints.push(`it settled at ${view.responded_at}`)
  return complaints.map((complaint) => `it is ${view.outcome}/${view.response}; ${complaint}`)
}

import { setTimeout } from 'node:timers/promises'
import type { FakePress, StoredMessage } from '../../support/telegram/telegram.ts'
import { type Answer, callUntilAnswered } from '../call.ts'
import { type Line, makeLine, registration } from '../line.ts'
import type { Place } from '../place.ts'
import type { Random } from '../random.ts'
import type { Fault } from './fault.ts'

const AWAY_MS = 170_000
/** Presses of the last seconds still wait at Telegram when the database is back. */
const LAST_MS = 15_000
const FAIR_MS = 30_000
const SEND_MS = 60_000
const OPEN_SECONDS = 1_200
const COUNTED = /^(✅ Approved|❌ Rejected|💬 Answered) by /u
const REARMED = /^⚠️ I was away from .*: presses in that time may be lost\. Please press again\./
const OPTIONS = [
  { label: 'Deploy', effect: 'approve' },
  { label: 'Hold', effect: 'reject' },
]

let lines = 0

/**
 * The database is away for longer than Telegram keeps a press. What was pressed at once is lost, and
 * nobody was told otherwise; its card says so afterwards. What was pressed last counts.
 */
const away: Fault = {
  name: 'database away 170 s',
  every: [240, 300],
  leastSeconds: 600,
  fits: ({ place }) => place.network !== undefined,
  async inject(scene, random) {
    const { network } = scene.place
    const until = Date.now() + FAIR_MS
    while (network?.weather !== 'fair') {
      if (!network || Date.now() > until) return 'the network was bad already'
      await setTimeout(50)
    }
    const lost = await Watched.ask(scene.place, random)
    const late = await Watched.ask(scene.place, random)
    network.weather = 'reset'
    network.cut()
    lost.press('Hold')
    await setTimeout(AWAY_MS - LAST_MS)
    late.press('Deploy')
    await setTimeout(LAST_MS)
    network.weather = 'fair'
    const wrong = [...(await lost.isRearmed()), ...(await late.counts())]
    for (const what of wrong) scene.complain(`after the database was away: ${what}`)
    return wrong.length === 0 ? 'one press was lost, one counted' : wrong.join('; ')
  },
}

/** A request of the fault's own, that stays open for as long as it takes. */
class Watched {
  readonly #place: Place
  readonly #line: Line
  readonly #id: string
  readonly #card: StoredMessage
  readonly #random: Random
  #press: FakePress | undefined

  private constructor(place: Place, line: Line, id: string, card: StoredMessage, random: Random) {
    this.#place = place
    this.#line = line
    this.#id = id
    this.#card = card
    this.#random = random
  }

  static async ask(place: Place, random: Random): Promise<Watched> {
    lines += 1
    // Above those of the run; odd numbers have a private chat unless three divides them.
    const line = await makeLine(place, 1_000 + 6 * lines + 1)
    const { session: session_id, client: client_id, token } = line
    const call = (path: string, body: object) =>
      callUntilAnswered(place, random, path, { body, token }, SEND_MS)
    await required(call('/hitl/register', registration(line)))
    const names = { session_id, client_id, idempotency_key: session_id }
    const rest = { message: 'Still there?', options: OPTIONS, timeout_seconds: OPEN_SECONDS }
    const { request_id: id } = await required(call('/hitl/request', { ...names, ...rest }))
    const isCard = ({ text = '' }: StoredMessage) => text.includes(String(id))
    const card = await place.tg.waitForMessage(line.chat, isCard, { timeoutMs: SEND_MS })
    const watched = new Watched(place, line, String(id), card, random)
    // A card that nobody wrote down could not be brought up to date.
    await watched.#until((view) => JSON.stringify(view['delivery']).includes('delivered'))
    return watched
  }

  press(label: string): void {
    const [user] = this.#line.reviewers
    if (!user) throw new Error('nobody reviews there')
    const { chat } = this.#line
    const messageId = this.#card.message_id
    this.#press = this.#place.tg.pressButton({ user, chat, messageId, label })
  }

  /** What is wrong with a press that came to nobody, and with its card. */
  async isRearmed(): Promise<string[]> {
    const isSo = ({ message_id, text = '' }: StoredMessage) =>
      message_id === this.#card.message_id && REARMED.test(text)
    const edit = await this.#place.tg
      .waitForEdit(this.#line.chat, isSo, { timeoutMs: SEND_MS })
      .catch(() => undefined)
    const told = this.#press?.answered?.text ?? ''
    const wrong = [
      ...(COUNTED.test(told) ? [`a press was told "${told}" and lost`] : []),
      ...(this.#press?.update?.fate === 'expired' ? [] : ['a press outlived its 150 s']),
      ...(edit ? [] : ['an open card does not say that presses may be lost']),
    ]
    this.press('Deploy')
    return [...wrong, ...(await this.counts())]
  }

  async counts(): Promise<string[]> {
    const view = await this.#until(({ completed }) => completed === true)
    return view?.['outcome'] === 'approved' ? [] : [`${this.#id} is ${view?.['outcome']}`]
  }

  async #until(isSo: (view: Answer['body']) => boolean): Promise<Answer['body'] | undefined> {
    const { token } = this.#line
    const path = `/hitl/poll?request_id=${this.#id}`
    const until = Date.now() + SEND_MS
    while (Date.now() < until) {
      const answer = await callUntilAnswered(this.#place, this.#random, path, { token }, SEND_MS)
      if (answer && isSo(answer.body)) return answer.body
      await setTimeout(250)
    }
    return undefined
  }
}

async function required(answering: Promise<Answer | undefined>): Promise<Answer['body']> {
  const answer = await answering
  if (answer?.status !== 200) throw new Error(JSON.stringify(answer))
  return answer.body
}

export const outageFaults = [away]

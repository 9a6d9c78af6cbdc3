import { setTimeout } from 'node:timers/promises'
import type { RequestView } from '../../src/protocol/types.ts'
import type { FakePress, StoredMessage } from '../support/telegram/telegram.ts'
import { call, callUntilAnswered } from './call.ts'
import { TEXTS } from './checker.ts'
import { type Act, contentOf, seenOf } from './facts.ts'
import type { History } from './history.ts'
import { DECIDER, type Line, type Reviewer } from './line.ts'
import type { Place } from './place.ts'
import { Random } from './random.ts'

const CARD_MS = 35_000
const ANSWER_MS = 10_000
/** How the answer to a press begins that counts. */
const COUNTED = /^(✅ Approved|❌ Rejected|💬 Answered) by /u
const KEPT_PRESSES = 50

/** The people of a run: they press, type, decide, and the agents take back. */
export class Reviewing {
  counted = 0
  tried = 0
  readonly #place: Place
  readonly #history: History
  readonly #random: Random
  readonly #open = new Set<Promise<void>>()
  /** The last presses, for Telegram to bring again. */
  readonly #presses: FakePress[] = []

  constructor(place: Place, history: History, seed: number) {
    this.#place = place
    this.#history = history
    this.#random = new Random(seed, 'reviewers')
  }

  /** Never rejects: what could not be done was not acknowledged. */
  review(view: RequestView, line: Line): void {
    const reviewed = this.#review(view, line)
      .catch(() => undefined)
      .finally(() => this.#open.delete(reviewed))
    this.#open.add(reviewed)
  }

  async settled(): Promise<void> {
    await Promise.all(this.#open)
  }

  /** Telegram brings an update that it has brought before, out of its order. */
  repeatUpdate(random: Random): string {
    if (this.#presses.length === 0) return 'there was none yet'
    const { update } = random.pick(this.#presses)
    if (!update) return 'it was none'
    this.#place.tg.raw(update.body)
    return `update ${update.key}`
  }

  async #review(view: RequestView, line: Line): Promise<void> {
    const expiresAt = Date.parse(view.expires_at)
    const isShort = expiresAt - Date.parse(view.created_at) < 10_000
    if (isShort && this.#random.chance(0.2)) return
    const choice = this.#random.next()
    const atTheEnd = expiresAt - Date.now() + this.#random.whole(-60, 40)
    if (choice < 0.1) {
      await setTimeout(isShort ? Math.max(0, atTheEnd) : this.#random.whole(0, 1_000))
      await this.#cancel(view, line)
    } else if (choice < 0.25) {
      await setTimeout(isShort ? Math.max(0, atTheEnd) : this.#random.whole(0, 1_000))
      await this.#decide(view, line)
    } else {
      const card = await this.#card(view, line)
      const thinks = this.#random.whole(0, 1_000)
      await setTimeout(
        isShort ? Math.max(0, expiresAt - Date.now() + this.#random.whole(-60, 40)) : thinks,
      )
      await this.#answer(view, line, card)
    }
    await this.#look(view, line)
  }

  #card({ request_id }: RequestView, { chat }: Line): Promise<StoredMessage> {
    return this.#place.tg.waitForMessage(chat, ({ text = '' }) => text.includes(request_id), {
      timeoutMs: CARD_MS,
    })
  }

  async #answer(view: RequestView, line: Line, card: StoredMessage): Promise<void> {
    const one = this.#random.pick(line.reviewers)
    if (view.options.length === 0) {
      await this.#reply(view, line, card, one)
      return
    }
    const label = this.#random.pick(view.options).label
    const acts = [this.#press(view, line, card, one, label)]
    // Twice the same, two people at once, or the agent takes it back in that moment.
    if (this.#random.chance(0.2)) acts.push(this.#press(view, line, card, one, label))
    if (this.#random.chance(0.5)) {
      const other = this.#random.pick(line.reviewers)
      acts.push(this.#press(view, line, card, other, this.#random.pick(view.options).label))
    }
    if (this.#random.chance(0.15)) acts.push(this.#cancel(view, line))
    if (this.#random.chance(0.15)) acts.push(this.#decide(view, line))
    await Promise.allSettled(acts)
  }

  async #press(
    { request_id: request }: RequestView,
    { chat }: Line,
    card: StoredMessage,
    user: Reviewer,
    label: string,
  ): Promise<void> {
    const said = { request, act: 'press', by: String(user.id), says: label } as const
    this.#try(said)
    const press = this.#place.tg.pressButton({ user, chat, messageId: card.message_id, label })
    this.#presses.push(press)
    if (this.#presses.length > KEPT_PRESSES) this.#presses.shift()
    const { text } = await press.answerWithin(ANSWER_MS)
    if (COUNTED.test(text) && text.includes(user.first_name)) this.#count(said)
  }

  async #reply(
    { request_id: request }: RequestView,
    { chat }: Line,
    card: StoredMessage,
    user: Reviewer,
  ): Promise<void> {
    const says = this.#random.pick(Object.keys(TEXTS))
    const said = { request, act: 'reply', by: String(user.id), says } as const
    this.#try(said)
    const { tg } = this.#place
    const { message } = tg.reply({ user, chat, replyTo: card.message_id, text: says })
    const isAnswer = ({ reply_to_message }: StoredMessage) =>
      reply_to_message?.message_id === message.message_id
    const { text = '' } = await tg.waitForMessage(chat, isAnswer, { timeoutMs: ANSWER_MS })
    if (text.startsWith('Recorded. ')) this.#count(said)
  }

  async #decide(view: RequestView, line: Line): Promise<void> {
    const { request_id: request, options } = view
    const label = options.length === 0 ? undefined : this.#random.pick(options).label
    const says = label ?? this.#random.pick(Object.keys(TEXTS))
    const said = { request, act: 'decide', by: DECIDER, says } as const
    this.#try(said)
    const body = label === undefined ? { response: says } : { option: says }
    const path = `/api/requests/${request}/decision`
    const { number } = this.#random.pick(this.#place.servers)
    const answer = await call(this.#place.url(number), path, { body, token: line.personToken })
    if (answer.status === 200) this.#count(said)
  }

  async #cancel({ request_id: request }: RequestView, line: Line): Promise<void> {
    const said = { request, act: 'cancel', by: line.client, says: '' } as const
    this.#try(said)
    const { number } = this.#random.pick(this.#place.servers)
    const asked = { body: { request_id: request }, token: line.token }
    const answer = await call(this.#place.url(number), '/hitl/cancel', asked)
    if (answer.status === 200) this.#count(said)
  }

  /** What an agent sees that asks for its request, at any of the servers. */
  async #look({ request_id: request }: RequestView, { token }: Line): Promise<void> {
    const path = `/hitl/poll?request_id=${request}&wait=2`
    const answer = await callUntilAnswered(this.#place, this.#random, path, { token }, 10_000)
    if (answer?.status !== 200) return
    const view = answer.body as unknown as RequestView
    const seen = { seen: seenOf(view), content: contentOf(view) }
    this.#history.add({ t: 'saw', at: Date.now(), request, ...seen })
  }

  #try(said: { request: string; act: Act; by: string; says: string }): void {
    this.tried += 1
    this.#history.add({ t: 'tried', at: Date.now(), ...said })
  }

  #count(said: { request: string; act: Act; by: string; says: string }): void {
    this.counted += 1
    this.#history.add({ t: 'counted', at: Date.now(), ...said })
  }
}

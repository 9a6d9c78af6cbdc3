import { type Bot, BotError, type Context, type NextFunction } from 'grammy'
import type {
  CallbackQuery,
  MaybeInaccessibleMessage,
  Message,
  Update,
  UserFromGetMe,
} from 'grammy/types'
import type { Card, CardStore, FoundCard, InvitationStore } from '../../core/card.ts'
import { isPassing, LoopgateError } from '../../core/errors.ts'
import type { Hub } from '../../core/hub.ts'
import type { Person } from '../../core/principal.ts'
import type { Answer, HitlRequest, Question } from '../../core/request.ts'
import { visibleLine } from '../../core/visible.ts'
import type { Addresses } from './addresses.ts'
import { headline } from './card.ts'
import { addCommands } from './commands.ts'
import type { References } from './references.ts'
import type { TelegramReviewers } from './reviewers.ts'
import type { Says } from './says.ts'
import type { SentCards } from './sent-cards.ts'

const CHANNEL = 'telegram'
/** How often an answer is judged anew because the reviewers changed meanwhile. */
const MAX_TRIES = 3

export interface IntakeParts {
  readonly hub: Hub
  readonly cards: CardStore
  readonly invitations: InvitationStore
  readonly reviewers: TelegramReviewers
  readonly references: () => References
  readonly says: Says
  readonly sent: SentCards
  readonly addresses: Addresses
  deliver(requestId?: string): void
}

/** What an answer says, once the question is known. */
type AnswerTo = (question: Question) => Answer

type Author = {
  readonly id: number
  readonly is_bot: boolean
  readonly first_name: string
  readonly last_name?: string | undefined
}

/**
 * What people do in Telegram: presses, replies, commands.
 *
 * `handle` resolves when whatever the update asked for is committed, and rejects when it is not, so
 * that the update is not confirmed. What is said back to the person is said after that, and its
 * failure undoes nothing.
 */
export class TelegramIntake {
  readonly #parts: IntakeParts
  readonly #bot: Bot
  readonly #says: Says
  /** Presses that were told that they are not saved yet: their spinner is spent. */
  readonly #told = new Set<string>()

  constructor(bot: Bot, parts: IntakeParts) {
    this.#bot = bot
    this.#parts = parts
    this.#says = parts.says
    parts.addresses.listen(bot)
    bot.on('callback_query', (context) => this.#pressed(context.callbackQuery))
    bot.filter(isReplyToBot, (context, next) => this.#replied(context.message, next))
    addCommands(bot, parts)
  }

  /** Sets who we are; before that nothing can be handled. */
  identify(me: UserFromGetMe): void {
    this.#bot.botInfo = me
  }

  async handle(update: Update): Promise<void> {
    // A webhook may bring updates before getMe was answered: they come again.
    if (!this.#bot.isInited()) throw new LoopgateError('UNAVAILABLE', 'Telegram is not reached yet')
    try {
      await this.#bot.handleUpdate(update)
    } catch (error) {
      throw error instanceof BotError ? error.error : error
    }
  }

  async #pressed(query: CallbackQuery): Promise<void> {
    try {
      const text = await this.#decideByPress(query)
      if (!this.#told.delete(query.id)) this.#says.answer(query.id, text)
    } catch (error) {
      const alert = explain(error)
      if (alert === undefined) throw this.#notSaved(query, error)
      if (!this.#told.delete(query.id)) this.#says.alert(query.id, alert)
    }
  }

  /** The press waits at Telegram, for 150 s, until it can be saved. */
  #notSaved(query: CallbackQuery, error: unknown): unknown {
    if (isPassing(error) && !this.#told.has(query.id)) {
      if (this.#told.size >= 1_000) this.#told.clear()
      this.#told.add(query.id)
      this.#says.alert(query.id, 'Not saved yet, I keep trying; the card will show.')
    }
    return error
  }

  async #decideByPress({ data, message, from }: CallbackQuery): Promise<string> {
    if (data === undefined || message === undefined) throw notCounted('This button is not mine.')
    const chat = String(message.chat.id)
    const pressed = this.#parts.references().readButton(data, chat)
    if (!pressed) throw notCounted('This button is not mine, or belongs to another chat.')
    const card = {
      requestId: pressed.requestId,
      channel: CHANNEL,
      address: chat,
      message: String(message.message_id),
    }
    if ('from' in message && message.from?.id !== this.#bot.botInfo.id) throw notOfThisMessage()
    if (!showsButton(message, data) && !this.#parts.sent.find(card)) await this.#requireCard(card)
    const { state } = await this.#decide(card, from, ({ options }) => {
      const option = options[pressed.option]?.label
      if (option === undefined) throw notCounted('This option was not offered.')
      return { option, shown: 'text' in message ? message.text : undefined }
    })
    return `${headline(state)}: ${visibleLine(state.response ?? '')}`
  }

  /** A message without the button is a card of ours all the same, if that was written down. */
  async #requireCard({ channel, address, message, requestId }: Card): Promise<void> {
    const known = await this.#parts.cards.at(channel, address, message)
    if (known !== requestId) throw notOfThisMessage()
  }

  /** By what is remembered of the card, if that holds; else by what the database says. */
  async #decide(card: Card, from: Author, answer: AnswerTo): Promise<HitlRequest> {
    const { sent, cards } = this.#parts
    const remembered = sent.find(card)
    const settled = remembered && (await this.#decideOn(card, remembered, from, answer))
    if (settled) return settled
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const found = await cards.find(card)
      if (!found || found.belongsTo === 'another') throw notOfThisMessage()
      const decided = await this.#decideOn(card, found, from, answer)
      if (decided) return decided
    }
    throw new LoopgateError('UNAVAILABLE', 'the reviewers of this session keep changing')
  }

  /** An answer by somebody who may give it. Undefined when the reviewers are others by now. */
  async #decideOn(
    card: Card,
    found: FoundCard,
    from: Author,
    answer: AnswerTo,
  ): Promise<HitlRequest | undefined> {
    const { reviewers, cards, hub, deliver } = this.#parts
    const { question } = found.request
    const audiences = [question.reviewers[CHANNEL], found.reviewers[CHANNEL]]
    const isPerson = from.is_bot === false && Number.isSafeInteger(from.id)
    const isReviewer =
      isPerson && (await reviewers.mayAnswer(String(from.id), card.address, audiences))
    if (!isReviewer) {
      throw notCounted('You are not a reviewer of this request. Nothing was changed.')
    }
    // Its sending was never confirmed, but here it is: it is settled like the others.
    if (found.belongsTo === 'unknown') await cards.adopt(card)
    const person = toPerson(from, question.tenant)
    try {
      return await hub.decideWhile(found.reviewers, person, found, answer(question))
    } catch (error) {
      // Settled before: this card may still show its buttons.
      deliver(question.id)
      throw error
    }
  }

  async #replied(message: Message, next: NextFunction): Promise<void> {
    const requestId = await this.#requestOf(message)
    const { from, text } = message
    if (requestId === undefined || from === undefined) return next()
    const card = {
      requestId,
      channel: CHANNEL,
      address: String(message.chat.id),
      message: String(message.reply_to_message?.message_id ?? 0),
    }
    try {
      requirePersonal(message)
      const settled = await this.#decide(card, from, ({ options }) => {
        if (options.length > 0)
          throw notCounted('Please use the buttons: text does not count here.')
        if (text === undefined) throw notCounted('Please answer in text: nothing else counts.')
        return { response: text, shown: message.reply_to_message?.text }
      })
      this.#says.reply(message, `Recorded. ${headline(settled.state)}`)
    } catch (error) {
      const reason = explain(error)
      if (reason === undefined) throw error
      this.#says.reply(message, reason)
    }
  }

  async #requestOf({ chat, reply_to_message: card }: Message): Promise<string | undefined> {
    if (!card) return undefined
    const address = String(chat.id)
    const known = await this.#parts.cards.at(CHANNEL, address, String(card.message_id))
    return known ?? this.#parts.references().readLine(card.text ?? '', address)
  }
}

/** A reply to a message of ours; the bot's own id makes it ours, and no text can. */
function isReplyToBot(context: Context): context is Context & { message: Message } {
  return context.message?.reply_to_message?.from?.id === context.me.id
}

/** Whether the message has the button that was pressed. One that is too old to be shown may. */
function showsButton(message: MaybeInaccessibleMessage, data: string): boolean {
  if (!('reply_markup' in message)) return !('from' in message)
  const buttons = message.reply_markup?.inline_keyboard.flat() ?? []
  return buttons.some((button) => 'callback_data' in button && button.callback_data === data)
}

/** Somebody in person: not as the group, not through another bot, not by forwarding. */
function requirePersonal({ from, sender_chat, via_bot, forward_origin }: Message): void {
  if (from === undefined || from.is_bot || sender_chat || via_bot || forward_origin) {
    throw notCounted('Only an answer that you write yourself, as yourself, counts.')
  }
}

function toPerson({ id, first_name, last_name }: Author, tenant: string): Person {
  const name = visibleLine([first_name, last_name].filter(Boolean).join(' '))
  return { type: 'person', tenant, channel: CHANNEL, id: String(id), name: name || String(id) }
}

const notOfThisMessage = () => notCounted('This button does not belong to this message.')

/** An answer that can not count. The text is for the person. */
const notCounted = (text: string) => new LoopgateError('FORBIDDEN', text)

/** What a person is told; undefined for what is not about the answer, and must be tried again. */
function explain(error: unknown): string | undefined {
  if (!(error instanceof LoopgateError)) return undefined
  switch (error.code) {
    case 'FORBIDDEN':
      return error.message
    case 'INVALID_INPUT':
      return `This answer can not be taken: ${error.message}`
    case 'REQUEST_ALREADY_SETTLED': {
      const { request } = error.details
      return request === undefined
        ? 'This request is settled already. Your answer changed nothing.'
        : `Too late, your answer changed nothing. ${headline(request.state)}`
    }
    case 'REQUEST_NOT_FOUND':
      return 'This request is not there any more.'
    default:
      return undefined
  }
}

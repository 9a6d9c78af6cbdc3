import type { InlineKeyboardButton, InlineKeyboardMarkup, MessageEntity } from 'grammy/types'
import type { Effect } from '../../core/approval.ts'
import type { Away } from '../../core/card.ts'
import type { HitlRequest, Question, State } from '../../core/request.ts'
import { factLines, shownText } from '../../core/shown.ts'
import { visible, visibleLine } from '../../core/visible.ts'
import { duration, head, utc } from '../render.ts'
import type { References } from './references.ts'

/** Bot API, sendMessage and editMessageText: UTF-16 units after entities. */
const MAX_TEXT = 4_096
const MAX_ANSWER = 500
const MAX_NAME = 400
const MAX_GROWN = 120
/** Of a line of metadata, so that one value does not push the others out. */
const MAX_FACT = 400
const CUT = '…'
/** What the outcome takes on the settled card, so that a question that was whole stays whole. */
const SETTLED_ROOM = 1_250
/** The line breaks between the parts of a card. */
const BETWEEN = 10
/** The longest word on what is missing. */
const NOTICE_ROOM = 200

export interface Card {
  readonly text: string
  readonly entities: MessageEntity[]
  /** The whole question as a file, when the text does not hold all of it. */
  readonly attachment: string | undefined
}

/** Collects text with the entities that lie on it. Agent text is never parsed as markup. */
class TextBuilder {
  text = ''
  readonly entities: MessageEntity[] = []

  add(text: string, type?: 'bold' | 'italic' | 'code' | 'blockquote'): this {
    // Telegram refuses an entity of length 0.
    if (type && text !== '') {
      this.entities.push({ type, offset: this.text.length, length: text.length })
    }
    this.text += text
    return this
  }
}

/** The card of an open request: our facts first and last, the agent's words quoted in between. */
export function openCard(
  { question }: HitlRequest,
  references: References,
  chat: string,
  away?: Away,
): Card {
  const left = question.expiresAt.getTime() - question.createdAt.getTime()
  const how =
    question.options.length > 0
      ? `Press a button: ${effectsInWords(question.options)}.`
      : question.type === 'confirmation'
        ? 'Reply to this message. Only a plain "yes" approves, only a plain "no" rejects.'
        : 'Reply to this message with your answer.'
  return compose(
    (card) => {
      if (away) card.add(`${absence(away)}\n\n`, 'bold')
      return addTitle(card.add('❓ '), question)
    },
    question,
    SETTLED_ROOM,
    (card) =>
      card
        .add(`${how}\n`, 'italic')
        .add(`⏳ Open for ${duration(left)}, until ${utc(question.expiresAt)}\n`)
        .add(references.line(question.id, chat), 'code'),
  )
}

/** The card of a settled request: what became of it, who and when, and still the question. */
export function settledCard(request: HitlRequest, references: References, chat: string): Card {
  const { question, state } = request
  return compose(
    (card) => {
      card.add(`${headline(state)}\n`, 'bold')
      const answer = state.response ?? ''
      if (answer !== '') {
        card.add('Answer: ').add(`${cut(visibleLine(answer), MAX_ANSWER)}\n`, 'bold')
      }
      if (state.comment !== null) {
        card.add(`Comment: ${cut(visibleLine(state.comment), MAX_ANSWER)}\n`)
      }
      return addTitle(card.add('\n'), question)
    },
    question,
    0,
    (card) => card.add(references.line(question.id, chat), 'code'),
  )
}

/** Telegram drops a press that nobody takes, and whoever pressed does not learn of it. */
function absence({ from, to }: Away): string {
  const [start, end] = [utc(from).replace(' UTC', ''), utc(to)]
  const isOneDay = start.slice(0, 10) === end.slice(0, 10)
  const until = isOneDay ? end.slice(11) : end
  return `⚠️ I was away from ${start} to ${until}: presses in that time may be lost. Please press again.`
}

/** What became of a request, in one line. */
export function headline({ outcome, decidedBy, settledAt }: State): string {
  const when = settledAt === null ? '' : `, ${utc(settledAt)}`
  const by = decidedBy === null ? '' : ` by ${head(visibleLine(decidedBy.name), 100)}`
  switch (outcome) {
    case 'approved':
      return `✅ Approved${by}${when}`
    case 'rejected':
      return `❌ Rejected${by}${when}`
    case 'answered':
      return `💬 Answered${by}${when}`
    case 'expired':
      return `⌛ Expired${when}: nobody answered in time`
    case 'canceled':
      return `🚫 Canceled${when}`
    case null:
      return '❓ Open'
    default:
      return outcome satisfies never
  }
}

/** One button a row, in the order they were asked. Green approves, red refuses (Bot API 9.4). */
export function keyboard(
  { id, options }: Question,
  references: References,
  chat: string,
): InlineKeyboardMarkup {
  const styles = { approve: 'success', reject: 'danger' } as const
  return {
    inline_keyboard: options.map(({ label, effect }, i): InlineKeyboardButton[] => [
      {
        text: buttonText(label),
        callback_data: references.button(id, i, chat),
        ...(effect !== 'other' && { style: styles[effect] }),
      },
    ]),
  }
}

/** A label that grows by being made visible is cut: Telegram takes 10 KB of buttons in all. */
function buttonText(label: string): string {
  const shown = visibleLine(label)
  return shown.length > label.length ? cut(shown, MAX_GROWN) : shown
}

/** Returns whether the names are all there. */
function addTitle(card: TextBuilder, { clientId, sessionId }: Question): boolean {
  const client = cut(visibleLine(clientId), MAX_NAME)
  const session = cut(visibleLine(sessionId), MAX_NAME)
  card.add(client, 'bold').add(` asks · session ${session}\n`)
  return !client.endsWith(CUT) && !session.endsWith(CUT)
}

function cut(text: string, max: number): string {
  return text.length <= max ? text : `${head(text, max - CUT.length)}${CUT}`
}

/** What each button does, by its place: neither a label nor a color has to be believed. */
function effectsInWords(options: Question['options']): string {
  const which = (effect: Effect, [one, many]: readonly [string, string]): string[] => {
    const numbers = options.flatMap((option, i) => (option.effect === effect ? [i + 1] : []))
    if (numbers.length === 0) return effect === 'approve' ? ['none approves'] : []
    return [`${inWords(numbers)} ${numbers.length === 1 ? one : many}`]
  }
  return [
    ...which('approve', ['approves (green)', 'approve (green)']),
    ...which('reject', ['refuses (red)', 'refuse (red)']),
    ...which('other', ['only answers', 'only answer']),
  ].join(', ')
}

const inWords = (numbers: readonly number[]): string =>
  [numbers.slice(0, -1).join(', '), numbers.at(-1)].filter((part) => part !== '').join(' and ')

/** Header and footer are ours, whatever stands between them. `reserve` is what must stay free. */
function compose(
  addHeader: (card: TextBuilder) => boolean,
  question: Question,
  reserve: number,
  addFooter: (card: TextBuilder) => void,
): Card {
  const footer = new TextBuilder()
  addFooter(footer)
  const card = new TextBuilder()
  const isNamed = addHeader(card)
  const message = visible(question.message)
  const facts = factLines(question.metadata)
  const metadata = facts.map((fact) => cut(fact, MAX_FACT)).join('\n')
  const room = MAX_TEXT - card.text.length - footer.text.length - NOTICE_ROOM - BETWEEN
  const isRoomy = message.length + metadata.length <= room - reserve
  // A third is for the metadata, if it needs that much.
  const messageRoom = Math.max(room - metadata.length, Math.floor((room * 2) / 3))
  const shownMessage = head(message, messageRoom)
  const shownMetadata = head(metadata, room - shownMessage.length)
  // Not folded: a tap that is not made would leave the end of it unread above the buttons.
  card.add('\n').add(shownMessage, 'blockquote').add('\n\n')
  if (shownMetadata !== '') card.add(shownMetadata, 'blockquote').add('\n\n')
  const missing = [
    ...missingOf('the message', [shownMessage], [message]),
    ...missingOf('the metadata', shownMetadata === '' ? [] : shownMetadata.split('\n'), facts),
    ...(isNamed ? [] : ['part of a name']),
  ]
  if (missing.length > 0) card.add(`${notAll(missing)}\n\n`, 'bold')
  const offset = card.text.length
  card.text += footer.text
  card.entities.push(...footer.entities.map((one) => ({ ...one, offset: one.offset + offset })))
  return {
    text: card.text,
    entities: card.entities,
    attachment: isRoomy && missing.length === 0 ? undefined : shownText(question),
  }
}

const notAll = (missing: readonly string[]): string =>
  `⚠️ This is not all of it: ${missing.join(' and ')} is missing. The whole text is in the file above.`

/** How much is missing, in characters, as people would count them. */
function missingOf(what: string, shown: readonly string[], whole: readonly string[]): string[] {
  const all = count(whole.join('\n'))
  const dots = shown.filter((line, i) => !whole[i]?.startsWith(line)).length
  const missing = all - count(shown.join('\n')) + dots
  if (missing === 0) return []
  return [`${missing.toLocaleString('en')} of ${all.toLocaleString('en')} characters of ${what}`]
}

const count = (text: string): number => [...text].length

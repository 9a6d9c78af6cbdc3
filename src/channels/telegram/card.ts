import type { InlineKeyboardButton, InlineKeyboardMarkup, MessageEntity } from 'grammy/types'
import type { Away } from '../../core/card.ts'
import type { HitlRequest, JsonObject, Question, State } from '../../core/request.ts'
import { duration, head, utc, visible, visibleLine } from '../render.ts'
import type { References } from './references.ts'

/** Bot API, sendMessage and editMessageText: UTF-16 units after entities. */
const MAX_TEXT = 4_096
const MAX_ANSWER = 500
const MAX_NAME = 400
const MAX_GROWN = 120
const CUT = '…'
/** What the outcome takes on the settled card, so that a question that was whole stays whole. */
const SETTLED_ROOM = 1_250
/** The line breaks between the parts of a card. */
const BETWEEN = 10

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

  add(
    text: string,
    type?: 'bold' | 'italic' | 'code' | 'blockquote' | 'expandable_blockquote',
  ): this {
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
      ? 'Press a button to decide.'
      : question.type === 'confirmation'
        ? 'Reply to this message. Only a plain "yes" approves, only a plain "no" rejects.'
        : 'Reply to this message with your answer.'
  return compose(
    (card) => {
      if (away) card.add(`${absence(away)}\n\n`, 'bold')
      return addTitle(card.add('❓ '), question)
    },
    question,
    {
      notice: '⚠️ This is not all of it: the whole text is in the file above.',
      reserve: SETTLED_ROOM,
    },
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
    { notice: '⚠️ This is not all of it.', reserve: 0 },
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

function compose(
  addHeader: (card: TextBuilder) => boolean,
  question: Question,
  { notice, reserve }: { notice: string; reserve: number },
  addFooter: (card: TextBuilder) => void,
): Card {
  const footer = new TextBuilder()
  addFooter(footer)
  const card = new TextBuilder()
  const isNamed = addHeader(card)
  const message = visible(question.message)
  const metadata = metadataLines(question.metadata)
  const room = MAX_TEXT - card.text.length - footer.text.length - notice.length - BETWEEN
  const isWhole = isNamed && message.length + metadata.length <= room - reserve
  // A third is for the metadata, if it needs that much.
  const messageRoom = Math.max(room - metadata.length, Math.floor((room * 2) / 3))
  const shownMessage = head(message, messageRoom)
  const shownMetadata = head(metadata, room - shownMessage.length)
  card.add('\n').add(shownMessage, message.length > 1_000 ? 'expandable_blockquote' : 'blockquote')
  card.add('\n\n')
  if (shownMetadata !== '') card.add(shownMetadata, 'blockquote').add('\n\n')
  const isShown = isNamed && shownMessage === message && shownMetadata === metadata
  if (!isShown) card.add(notice, 'bold').add('\n\n')
  const offset = card.text.length
  card.text += footer.text
  card.entities.push(...footer.entities.map((one) => ({ ...one, offset: one.offset + offset })))
  return {
    text: card.text,
    entities: card.entities,
    attachment: isWhole ? undefined : wholeText(question),
  }
}

/** A line for each entry. A value never makes a line of its own. */
function metadataLines(metadata: JsonObject): string {
  return Object.entries(metadata)
    .map(([key, value]) => {
      const text = typeof value === 'string' ? value : JSON.stringify(value)
      return `${visibleLine(key)}: ${visibleLine(text)}`
    })
    .join('\n')
}

function wholeText({ id, clientId, sessionId, message, metadata, options }: Question): string {
  return [
    `Request ${id}`,
    `Client ${visibleLine(clientId)}, session ${visibleLine(sessionId)}`,
    '',
    '--- message ---',
    visible(message),
    '',
    '--- metadata ---',
    metadataLines(metadata) || '(none)',
    '',
    '--- options ---',
    options.map(({ label, effect }) => `${visibleLine(label)} (${effect})`).join('\n') || '(none)',
    '',
  ].join('\n')
}

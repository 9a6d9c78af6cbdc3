import type { InlineKeyboardMarkup } from '@grammyjs/types'
import { badRequest } from './errors.ts'
import {
  BUTTONS_MAX,
  BUTTONS_PER_ROW_MAX,
  CALLBACK_DATA_MAX_BYTES,
  COPY_TEXT_MAX,
  KEYBOARD_MAX_BYTES,
} from './limits.ts'
import { linkFault } from './links.ts'
import type { Params } from './params.ts'
import { type Fields, isFields } from './values.ts'

/** Telegram keeps the first of these that a button has and ignores the others. */
const ACTIONS = [
  ...['url', 'callback_data', 'callback_game', 'pay', 'switch_inline_query'],
  ...['switch_inline_query_current_chat', 'switch_inline_query_chosen_chat'],
  ...['login_url', 'web_app', 'copy_text', 'disabled'],
]
const STYLES = ['danger', 'success', 'primary']
const OTHER_MARKUPS: Record<string, string> = {
  keyboard: 'Array',
  remove_keyboard: 'Boolean',
  force_reply: 'Boolean',
}

export interface Markup {
  /** What the message shows and Telegram returns; undefined without an inline keyboard. */
  readonly inline: InlineKeyboardMarkup | undefined
  /** A reply keyboard, its removal or a forced reply; such a message can never be edited. */
  readonly other: Fields | undefined
}

export function readMarkup(params: Params): Markup {
  const markup = params.object('reply_markup')
  if (!markup || Object.keys(markup).length === 0) return { inline: undefined, other: undefined }
  if (markup['inline_keyboard'] !== undefined) {
    return { inline: readInlineKeyboard(markup), other: undefined }
  }
  for (const [field, type] of Object.entries(OTHER_MARKUPS)) {
    const value = markup[field]
    if (value === undefined) continue
    const fits = type === 'Array' ? Array.isArray(value) : typeof value === 'boolean'
    if (!fits) throw badRequest(`field "${field}" must be of type ${type}`)
    return { inline: undefined, other: markup }
  }
  throw badRequest('object expected as reply markup')
}

/** An edit takes an inline keyboard only. */
export function readInlineMarkup(params: Params): InlineKeyboardMarkup | undefined {
  const { inline, other } = readMarkup(params)
  if (other) throw badRequest('inline keyboard expected')
  return inline
}

function readInlineKeyboard(markup: Fields): InlineKeyboardMarkup | undefined {
  const rows = markup['inline_keyboard']
  if (!Array.isArray(rows)) throw badRequest('field "inline_keyboard" must be of type Array')
  const kept = rows.map(readRow).filter((row) => row.length > 0)
  const count = kept.reduce((sum, row) => sum + row.length, 0)
  const size = Buffer.byteLength(JSON.stringify(kept))
  const tooWide = kept.some((row) => row.length > BUTTONS_PER_ROW_MAX)
  if (count > BUTTONS_MAX || tooWide || size > KEYBOARD_MAX_BYTES) {
    throw badRequest('reply markup is too long')
  }
  if (count === 0) return undefined
  const forced = markup['force_reply'] === true ? { force_reply: true } : {}
  return { inline_keyboard: kept, ...forced } as unknown as InlineKeyboardMarkup
}

function readRow(row: unknown): Fields[] {
  if (!Array.isArray(row)) throw badRequest('field "inline_keyboard" must be an Array of Arrays')
  return row.map(readButton)
}

function readButton(button: unknown): Fields {
  if (!isFields(button)) throw unparsable('expected an Object')
  const { text, style } = button
  if (text === undefined) throw unparsable(`Can't find field "text"`)
  if (typeof text !== 'string') throw unparsable('Field "text" must be of type String')
  const action = ACTIONS.find((name) => button[name] !== undefined && !isAbsent(name, button[name]))
  if (action === undefined) throw unparsable('Text buttons are not allowed in the inline keyboard')
  if (style !== undefined && !STYLES.includes(String(style))) {
    throw unparsable('Invalid button style specified')
  }
  if (text.trim() === '') throw badRequest('inline keyboard button text must be non-empty')
  checkAction(action, button[action])
  const kept = ['text', 'icon_custom_emoji_id', 'style', action]
  return Object.fromEntries(Object.entries(button).filter(([name]) => kept.includes(name)))
}

/** An empty url or callback_data counts as none; an empty inline query is a real one. */
function isAbsent(action: string, value: unknown): boolean {
  return value === '' && !action.startsWith('switch_')
}

function unparsable(reason: string): Error {
  return badRequest(`can't parse InlineKeyboardButton: ${reason}`)
}

const CHECKS: Record<string, (value: unknown) => void> = {
  callback_data: checkCallbackData,
  url: checkUrl,
  copy_text: checkCopyText,
  web_app: checkWebApp,
  pay: refuseType,
  callback_game: refuseType,
}

function checkAction(action: string, value: unknown): void {
  CHECKS[action]?.(value)
}

function checkCallbackData(value: unknown): void {
  const fits = typeof value === 'string' && Buffer.byteLength(value) <= CALLBACK_DATA_MAX_BYTES
  if (!fits) throw badRequest('BUTTON_DATA_INVALID')
}

function checkUrl(value: unknown): void {
  const fault = linkFault(String(value))
  if (fault) throw badRequest(`inline keyboard button URL '${value}' is invalid: ${fault}`)
}

function checkCopyText(value: unknown): void {
  const text = isFields(value) ? value['text'] : undefined
  const fits = typeof text === 'string' && text.length > 0 && text.length <= COPY_TEXT_MAX
  if (!fits) throw badRequest('BUTTON_COPY_TEXT_INVALID')
}

function checkWebApp(value: unknown): void {
  const url = isFields(value) ? String(value['url']) : ''
  if (url.startsWith('https://')) return
  throw badRequest(
    `inline keyboard button Web App URL '${url}' is invalid: Only HTTPS links are allowed`,
  )
}

function refuseType(): never {
  throw badRequest('BUTTON_TYPE_INVALID')
}

import type { MessageEntity } from '@grammyjs/types'
import { badRequest } from './errors.ts'
import { ENTITIES_MAX } from './limits.ts'
import { linkFault } from './links.ts'
import { type Fields, isFields } from './values.ts'

export interface FormattedText {
  readonly text: string
  readonly entities: MessageEntity[]
}

const ENTITY_TYPES = new Set([
  ...['mention', 'hashtag', 'cashtag', 'bot_command', 'url', 'email', 'phone_number'],
  ...['bold', 'italic', 'underline', 'strikethrough', 'spoiler', 'blockquote'],
  ...['expandable_blockquote', 'code', 'pre', 'text_link', 'text_mention', 'custom_emoji'],
  ...['date_time', 'bank_card_number'],
])
const NEEDED_FIELD: Record<string, string> = {
  text_link: 'url',
  text_mention: 'user',
  custom_emoji: 'custom_emoji_id',
  date_time: 'unix_time',
}
const DROPPED = /[\r\u2028-\u202e]|\u030a|\u0333|\u033f/
const BLANK =
  /^(?:[\s\u00a0\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\ufeff]|[\u{e0000}-\u{e007f}])*$/u

/** True for text that would show nothing at all. */
export function isBlank(text: string): boolean {
  return BLANK.test(text)
}

/** Checks the entities a bot wrote, in Telegram's words. Nesting rules are not modelled. */
export function readEntities(list: unknown[], text: string): MessageEntity[] {
  return list.map((item) => {
    if (!isFields(item)) throw unparsable('expected an Object')
    checkEntityFields(item)
    checkRange(Number(item['offset']), Number(item['length']), text)
    return item as unknown as MessageEntity
  })
}

function checkEntityFields(entity: Fields): void {
  const { type } = entity
  for (const field of ['type', 'offset', 'length']) {
    if (entity[field] === undefined) throw unparsable(`Can't find field "${field}"`)
  }
  if (typeof type !== 'string' || !ENTITY_TYPES.has(type)) {
    throw unparsable('Unsupported type specified')
  }
  const needed = NEEDED_FIELD[type]
  if (needed !== undefined && entity[needed] === undefined) {
    throw unparsable(`Can't find field "${needed}"`)
  }
  if (type === 'text_link') {
    const fault = linkFault(String(entity['url']))
    if (fault) throw badRequest(`entity URL '${entity['url']}' is invalid: ${fault}`)
  }
}

function unparsable(reason: string): Error {
  return badRequest(`can't parse MessageEntity: ${reason}`)
}

function checkRange(offset: number, length: number, text: string): void {
  const end = offset + length
  if (!(offset >= 0)) throw badRequest(`receive an entity with incorrect offset ${offset}`)
  if (!(length >= 0)) throw badRequest(`receive an entity with incorrect length ${length}`)
  if (offset > text.length) {
    throw badRequest(`entity begins after the end of the text at UTF-16 offset ${offset}`)
  }
  const where = `entity beginning at UTF-16 offset ${offset} ends`
  if (end > text.length) {
    throw badRequest(`${where} after the end of the text at UTF-16 offset ${end}`)
  }
  if (splitsPair(text, offset)) {
    throw badRequest(
      `entity begins in a middle of a UTF-16 symbol at byte offset ${byteOffset(text, offset)}`,
    )
  }
  if (splitsPair(text, end)) {
    throw badRequest(
      `${where} in a middle of a UTF-16 symbol at byte offset ${byteOffset(text, end)}`,
    )
  }
}

function splitsPair(text: string, index: number): boolean {
  return /^[\udc00-\udfff]$/.test(text.charAt(index)) && index > 0
}

export function byteOffset(text: string, index: number): number {
  return Buffer.byteLength(text.slice(0, index))
}

/**
 * The text as Telegram keeps it: control characters become spaces, overrides and separators vanish,
 * spaces and newlines at both ends are cut (at the start only up to the first entity), and the
 * entities move along.
 */
export function cleaned({ text, entities }: FormattedText): FormattedText {
  const { kept, at } = withoutControls(text)
  const ranges = entities
    .map((entity) => ({ entity, from: at(entity.offset), to: at(entity.offset + entity.length) }))
    .filter(({ from, to }) => to > from)
  const firstEntity = Math.min(...ranges.map(({ from }) => from), kept.length)
  const start = Math.min(kept.length - kept.replace(/^[ \n]+/, '').length, firstEntity)
  const end = Math.max(start, kept.replace(/[ \n]+$/, '').length)
  const moved = ranges
    .map(({ entity, from, to }) => {
      const last = Math.min(to, end)
      return { ...entity, offset: from - start, length: last - from }
    })
    .filter(({ length }) => length > 0)
    .sort((a, b) => a.offset - b.offset || b.length - a.length)
  return { text: kept.slice(start, end), entities: moved.slice(0, ENTITIES_MAX) }
}

function withoutControls(text: string): { kept: string; at: (index: number) => number } {
  const positions: number[] = []
  let kept = ''
  for (const unit of text.split('')) {
    positions.push(kept.length)
    if (DROPPED.test(unit)) continue
    kept += unit < ' ' && unit !== '\n' ? ' ' : unit
  }
  positions.push(kept.length)
  const joined = kept.replace(/[\u200e\u200f](?=[\u200e\u200f])/g, '\u200c')
  return { kept: joined, at: (index) => positions[index] ?? kept.length }
}

const FOUND: { type: 'bot_command' | 'mention'; pattern: RegExp }[] = [
  {
    type: 'bot_command',
    pattern: /(?<![\p{L}\p{N}_/<>])\/\w{1,64}(?:@\w{3,32})?(?![\p{L}\p{N}_/<>])/gu,
  },
  { type: 'mention', pattern: /(?<![\p{L}\p{N}_@])@\w{4,32}(?!\w)/gu },
]

/** The entities Telegram finds by itself in what a person writes; only commands and mentions here. */
export function foundEntities(text: string): MessageEntity[] {
  return FOUND.flatMap(({ type, pattern }) =>
    [...text.matchAll(pattern)].map((match) => ({
      type,
      offset: match.index,
      length: match[0].length,
    })),
  )
}

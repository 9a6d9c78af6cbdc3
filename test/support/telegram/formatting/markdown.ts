import { badRequest } from '../errors.ts'
import { byteOffset, type FormattedText } from '../text.ts'
import { TextBuilder } from './builder.ts'

const MARKS: Record<string, { type: string; name: string }> = {
  '*': { type: 'bold', name: 'Bold' },
  _: { type: 'italic', name: 'Italic' },
  __: { type: 'underline', name: 'Underline' },
  '~': { type: 'strikethrough', name: 'Strikethrough' },
  '||': { type: 'spoiler', name: 'Spoiler' },
  '[': { type: 'text_link', name: 'TextUrl' },
}
const RESERVED = '_*[]()~`>#+-=|{}.!'

interface OpenMark {
  readonly mark: string
  readonly at: number
  readonly from: number
}

interface Reader {
  readonly source: string
  readonly builder: TextBuilder
  readonly open: OpenMark[]
  index: number
  quote: number | undefined
}

/**
 * MarkdownV2 as a strict approximation: balance, escapes and reserved characters are checked as
 * Telegram does; custom emoji, dates and expandable quotes are refused, nesting rules not enforced.
 */
export function parseMarkdownV2(source: string): FormattedText {
  const reader: Reader = {
    source,
    builder: new TextBuilder(),
    open: [],
    index: 0,
    quote: undefined,
  }
  while (reader.index < source.length) step(reader)
  const last = reader.open.at(-1)
  if (last) throw noEnd(reader, MARKS[last.mark]?.name ?? '', last.at)
  endQuote(reader)
  return reader.builder.result()
}

function step(reader: Reader): void {
  readerFor(reader)(reader)
}

function readerFor({ source, index, open }: Reader): (reader: Reader) => void {
  const character = source.charAt(index)
  const startsLine = index === 0 || source[index - 1] === '\n'
  if (character === '\\' && /^[!-/:-@[-`{-~]$/.test(source.charAt(index + 1))) return readEscaped
  if (character === '\n') return newLine
  if (character === '>' && startsLine) return startQuote
  if (character === '`') return readCode
  if (character === ']' && open.at(-1)?.mark === '[') return closeLink
  if (markAt(source, index) !== undefined) return toggle
  if (RESERVED.includes(character)) throw reserved(character)
  return readPlain
}

function readEscaped(reader: Reader): void {
  reader.builder.text += reader.source.charAt(reader.index + 1)
  reader.index += 2
}

function readPlain(reader: Reader): void {
  reader.builder.text += reader.source.charAt(reader.index)
  reader.index += 1
}

function startQuote(reader: Reader): void {
  reader.quote ??= reader.builder.text.length
  reader.index += 1
}

function newLine(reader: Reader): void {
  const goesOn = reader.source[reader.index + 1] === '>'
  if (!goesOn) endQuote(reader)
  reader.builder.text += '\n'
  reader.index += 1
}

function endQuote(reader: Reader): void {
  if (reader.quote !== undefined) reader.builder.add('blockquote', reader.quote)
  reader.quote = undefined
}

function markAt(source: string, index: number): string | undefined {
  const two = source.slice(index, index + 2)
  if (two === '__' || two === '||') return two
  return ['*', '_', '~', '['].find((mark) => mark === source[index])
}

/** Only the innermost entity can end; any other mark begins a new one, and its missing end is the error. */
function toggle(reader: Reader): void {
  const mark = markAt(reader.source, reader.index) ?? ''
  const last = reader.open.at(-1)
  if (last?.mark === mark && mark !== '[') {
    reader.open.pop()
    reader.builder.add(MARKS[mark]?.type ?? '', last.from)
  } else {
    reader.open.push({ mark, at: reader.index, from: reader.builder.text.length })
  }
  reader.index += mark.length
}

function closeLink(reader: Reader): void {
  const link = reader.open.pop()
  const target = /^\]\(((?:\\.|[^)\\])*)\)/.exec(reader.source.slice(reader.index))
  if (!target) throw reserved(']')
  const url = (target[1] ?? '').replace(/\\(.)/g, '$1')
  reader.builder.add('text_link', link?.from ?? 0, { url })
  reader.index += target[0].length
}

function readCode(reader: Reader): void {
  const { source, index, builder } = reader
  const fence = source.startsWith('```', index) ? '```' : '`'
  const end = closing(source, index + fence.length, fence)
  if (end === -1) throw noEnd(reader, fence === '`' ? 'Code' : 'PreCode', index)
  const from = builder.text.length
  const inside = source.slice(index + fence.length, end)
  const language = fence === '```' ? /^([^\s`]+)\n/.exec(inside)?.[1] : undefined
  const body = fence === '```' ? inside.replace(/^[^\s`]*\n/, '') : inside
  builder.text += body.replace(/\\(.)/gs, '$1')
  const type = fence === '`' ? 'code' : 'pre'
  builder.add(type, from, language === undefined ? {} : { language })
  reader.index = end + fence.length
}

function closing(source: string, from: number, fence: string): number {
  for (let index = from; index < source.length; index += 1) {
    if (source[index] === '\\') index += 1
    else if (source.startsWith(fence, index)) return index
  }
  return -1
}

function reserved(character: string): Error {
  return badRequest(
    `can't parse entities: Character '${character}' is reserved and must be escaped with the preceding '\\'`,
  )
}

function noEnd({ source }: Reader, name: string, at: number): Error {
  return badRequest(
    `can't parse entities: Can't find end of ${name} entity at byte offset ${byteOffset(source, at)}`,
  )
}

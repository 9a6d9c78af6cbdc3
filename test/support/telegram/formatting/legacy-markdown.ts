import { badRequest } from '../errors.ts'
import { byteOffset, type FormattedText } from '../text.ts'
import { TextBuilder } from './builder.ts'

const SIMPLE: Record<string, string> = { '*': 'bold', _: 'italic', '`': 'code' }

/** The legacy mode: no nesting, every opened entity must end, `\` escapes only `_`, `*`, `` ` `` and `[`. */
export function parseLegacyMarkdown(source: string): FormattedText {
  const builder = new TextBuilder()
  let index = 0
  while (index < source.length) index = step(source, index, builder)
  return builder.result()
}

function step(source: string, index: number, builder: TextBuilder): number {
  const character = source.charAt(index)
  const next = source.charAt(index + 1)
  if (character === '\\' && next !== '' && '_*`['.includes(next)) {
    builder.text += next
    return index + 2
  }
  if (source.startsWith('```', index)) return span(source, index, '```', 'pre', builder)
  const type = SIMPLE[character]
  if (type !== undefined) return span(source, index, character, type, builder)
  if (character === '[') return link(source, index, builder)
  builder.text += character
  return index + 1
}

function span(
  source: string,
  index: number,
  mark: string,
  type: string,
  builder: TextBuilder,
): number {
  const end = source.indexOf(mark, index + mark.length)
  if (end === -1) throw noEnd(source, index)
  const from = builder.text.length
  builder.text += source.slice(index + mark.length, end)
  builder.add(type, from)
  return end + mark.length
}

function link(source: string, index: number, builder: TextBuilder): number {
  const match = /^\[([^\]]*)\](?:\(([^)]*)\))?/.exec(source.slice(index))
  if (!match) throw noEnd(source, index)
  const from = builder.text.length
  builder.text += match[1] ?? ''
  if (match[2] !== undefined) builder.add('text_link', from, { url: match[2] })
  return index + match[0].length
}

function noEnd(source: string, at: number): Error {
  const offset = byteOffset(source, at)
  return badRequest(
    `can't parse entities: Can't find end of the entity starting at byte offset ${offset}`,
  )
}

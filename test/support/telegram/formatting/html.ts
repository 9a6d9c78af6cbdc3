import { badRequest } from '../errors.ts'
import { byteOffset, type FormattedText } from '../text.ts'
import type { Fields } from '../values.ts'
import { TextBuilder } from './builder.ts'

const TAGS: Record<string, string> = {
  b: 'bold',
  strong: 'bold',
  i: 'italic',
  em: 'italic',
  u: 'underline',
  ins: 'underline',
  s: 'strikethrough',
  strike: 'strikethrough',
  del: 'strikethrough',
  'tg-spoiler': 'spoiler',
  span: 'spoiler',
  a: 'text_link',
  code: 'code',
  pre: 'pre',
  blockquote: 'blockquote',
  'tg-emoji': 'custom_emoji',
}
const NAMED: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"' }

interface OpenTag {
  readonly name: string
  readonly attributes: string
  readonly from: number
}

/**
 * The tags of the HTML mode with Telegram's complaints about unknown, crossed and open ones.
 * Attributes are read loosely and nesting rules (code, links in links) are not enforced.
 */
export function parseHtml(source: string): FormattedText {
  const builder = new TextBuilder()
  const open: OpenTag[] = []
  let index = 0
  while (index < source.length) {
    if (source[index] === '<') {
      index = readTag(source, index, builder, open)
    } else {
      const [text, next] = readCharacter(source, index)
      builder.text += text
      index = next
    }
  }
  const last = open.at(-1)
  if (last) throw unparsable(`Can't find end tag corresponding to start tag "${last.name}"`)
  return builder.result()
}

function unparsable(reason: string): Error {
  return badRequest(`can't parse entities: ${reason}`)
}

function readCharacter(source: string, index: number): [string, number] {
  const reference = /^&(?:#(\d+)|#x([0-9a-f]+)|([a-z]+));/i.exec(source.slice(index, index + 12))
  if (!reference) return [source.charAt(index), index + 1]
  const [whole, decimal, hex, name] = reference
  const text = name === undefined ? fromCode(decimal, hex) : NAMED[name.toLowerCase()]
  return text === undefined ? [source.charAt(index), index + 1] : [text, index + whole.length]
}

function fromCode(decimal: string | undefined, hex: string | undefined): string | undefined {
  const code = decimal === undefined ? Number.parseInt(hex ?? '', 16) : Number(decimal)
  return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : undefined
}

function readTag(source: string, at: number, builder: TextBuilder, open: OpenTag[]): number {
  const end = source.indexOf('>', at)
  const offset = byteOffset(source, at)
  if (end === -1) throw unparsable(`Unclosed start tag at byte offset ${offset}`)
  const [, slash, rawName, attributes] =
    /^(\/?)([^\s]*)([\s\S]*)$/.exec(source.slice(at + 1, end)) ?? []
  const name = (rawName ?? '').toLowerCase()
  if (slash === '/') {
    closeTag(name, offset, builder, open)
    return end + 1
  }
  if (TAGS[name] === undefined) {
    throw unparsable(`Unsupported start tag "${name}" at byte offset ${offset}`)
  }
  open.push({ name, attributes: attributes ?? '', from: builder.text.length })
  return end + 1
}

function closeTag(name: string, offset: number, builder: TextBuilder, open: OpenTag[]): void {
  const tag = open.pop()
  if (!tag) throw unparsable(`Unexpected end tag at byte offset ${offset}`)
  if (name !== '' && name !== tag.name) {
    throw unparsable(
      `Unmatched end tag at byte offset ${offset}, expected "</${tag.name}>", found "</${name}>"`,
    )
  }
  const expandable = tag.name === 'blockquote' && /\bexpandable\b/.test(tag.attributes)
  builder.add(
    expandable ? 'expandable_blockquote' : (TAGS[tag.name] ?? ''),
    tag.from,
    extra(tag, builder),
  )
}

function extra(tag: OpenTag, builder: TextBuilder): Fields {
  if (tag.name === 'a') {
    return { url: attribute(tag, 'href') ?? builder.text.slice(tag.from) }
  }
  if (tag.name === 'tg-emoji') return { custom_emoji_id: attribute(tag, 'emoji-id') ?? '' }
  return {}
}

function attribute(tag: OpenTag, name: string): string | undefined {
  const match = new RegExp(`${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)'|(\\S+))`, 'i').exec(
    tag.attributes,
  )
  return match?.[1] ?? match?.[2] ?? match?.[3]
}

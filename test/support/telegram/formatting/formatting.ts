import { badRequest } from '../errors.ts'
import { CAPTION_MAX, RAW_TEXT_MAX_BYTES, TEXT_MAX } from '../limits.ts'
import type { Params } from '../params.ts'
import { cleaned, type FormattedText, isBlank, readEntities } from '../text.ts'
import { parseHtml } from './html.ts'
import { parseLegacyMarkdown } from './legacy-markdown.ts'
import { parseMarkdownV2 } from './markdown.ts'

const MODES: Record<string, (source: string) => FormattedText> = {
  html: parseHtml,
  markdown: parseLegacyMarkdown,
  markdownv2: parseMarkdownV2,
}

/** A `parse_mode` wins over explicit entities, as in Telegram. */
function formatted(params: Params, textName: string, entitiesName: string): FormattedText {
  const source = params.text(textName)
  if (Buffer.byteLength(source) > RAW_TEXT_MAX_BYTES) throw badRequest('text is too long')
  const mode = params.text('parse_mode').toLowerCase()
  if (mode !== '' && mode !== 'none') {
    const parse = MODES[mode]
    if (!parse) throw badRequest('unsupported parse_mode')
    return parse(source)
  }
  return {
    text: source,
    entities: readEntities(params.list(entitiesName) ?? [], source),
  }
}

/** What is refused while the request is read; `checkText` does what Telegram checks after the chat. */
export function readText(params: Params): FormattedText {
  if (params.text('text') === '') throw badRequest('message text is empty')
  return cleaned(formatted(params, 'text', 'entities'))
}

/**
 * The length counts UTF-16 code units. Telegram's documents say "characters"; the stricter reading
 * is enforced here, so a text that passes will pass there.
 */
export function checkText({ text }: FormattedText, tooLong: string): void {
  if (isBlank(text)) throw badRequest('text must be non-empty')
  if (text.length > TEXT_MAX) throw badRequest(tooLong)
}

export function readCaption(params: Params): FormattedText {
  return cleaned(formatted(params, 'caption', 'caption_entities'))
}

export function checkCaption({ text }: FormattedText, tooLong: string): void {
  if (text.length > CAPTION_MAX) throw badRequest(tooLong)
}

/**
 * Agent text as people are shown it, the same on every channel: nothing in it is markup, nothing in
 * it is invisible, and nothing in it hides behind blanks.
 */

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' })
const EMOJI = /^\p{RGI_Emoji}$/v
/**
 * Control, format (bidi, zero-width, tags), whatever else is drawn as nothing, and the combining marks
 * that Telegram drops without a word.
 */
const HIDDEN =
  /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800\u{13441}\u{13442}\u{1D159}]|\u030A|\u0333|\u033F/u
const EACH_HIDDEN = new RegExp(HIDDEN, 'gu')

/** Longer runs of blanks are counted instead of shown: they push text out of sight. */
const MAX_SPACES = 40
const MAX_BREAKS = 3

/** Text with every hidden character shown by its code point, and long runs of blanks counted. */
export function visible(text: string): string {
  const lines = text.replace(/\r\n?/g, '\n')
  const shown = HIDDEN.test(lines.replaceAll('\n', '').replaceAll('\t', '')) ? reveal(lines) : lines
  return shown
    .replaceAll('\t', '    ')
    .replace(/\n[\n\p{Zs}]*\n/gu, collapseBreaks)
    .replace(/\p{Zs}+/gu, collapseSpaces)
}

/** As `visible`, on one line: nothing in it can pass for a line of ours. */
export function visibleLine(text: string): string {
  return visible(text.replace(/\r\n?|\n/g, ' ⏎ '))
}

/** Emoji are made of characters that are hidden elsewhere, and stay whole. */
function reveal(text: string): string {
  let shown = ''
  for (const { segment } of graphemes.segment(text)) {
    shown += EMOJI.test(segment) ? segment : segment.replace(EACH_HIDDEN, codePoint)
  }
  return shown
}

function codePoint(character: string): string {
  if (character === '\n' || character === '\t') return character
  const hex = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')
  return `⟨U+${hex}⟩`
}

function collapseBreaks(run: string): string {
  const count = run.split('\n').length - 1
  return count <= MAX_BREAKS ? run : `\n⟨${count - 1} blank lines⟩\n`
}

const collapseSpaces = (run: string): string =>
  run.length <= MAX_SPACES ? run : ` ⟨${run.length} spaces⟩ `

/** The first `max` UTF-16 units, without cutting a character in two. */
export function head(text: string, max: number): string {
  if (text.length <= max) return text
  if (max <= 0) return ''
  const isSplit = /[\uD800-\uDBFF]/.test(text.charAt(max - 1))
  return text.slice(0, isSplit ? max - 1 : max)
}

/** `2026-11-21 12:03 UTC`: the same moment for every reader. */
export const utc = (date: Date): string =>
  `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`

const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
] as const

/** `1 hour 30 minutes`: the two largest units, never more than there is. */
export function duration(ms: number): string {
  const parts: string[] = []
  let left = ms
  for (const [unit, size] of UNITS) {
    const count = Math.floor(left / size)
    left -= count * size
    if (count > 0) parts.push(`${count} ${unit}${count === 1 ? '' : 's'}`)
  }
  return parts.slice(0, 2).join(' ') || '1 second'
}

/**
 * Text that others wrote, as people are shown it, the same on every channel: nothing in it is markup,
 * nothing in it is invisible, and nothing in it hides behind blanks. What is not plain text becomes a
 * mark of ours: `⟨U+202E⟩`, `⟨3900 spaces⟩`.
 *
 * The console's page has the same rules (channels/console/text.js); a test compares the two.
 */

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' })
/** Emoji are made of characters that are hidden elsewhere, and stay whole. */
const EMOJI = /^\p{RGI_Emoji}$/v
/**
 * Control, format (bidi, zero-width, tags), whatever else is drawn as nothing, and the combining marks
 * that Telegram drops without a word.
 */
const HIDDEN =
  /[[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800\u{13441}\u{13442}\u{1D159}\u030A\u0333\u033F]--[\n\t]]/v
const EACH_HIDDEN = new RegExp(HIDDEN, 'gv')
/** Four and more of the same one are shown once, and counted. */
const SAME_MARKS = /(\0⟨U[^⟩]+⟩\0)\1{3,}/gu
const BLANK_LINES = /\n(?:\p{Zs}*\n){3,}/gu
const SPACES = /\p{Zs}{41,}/gu
/** A pile of them is drawn over the lines above and below. */
const PILES = /(\p{M}{8})(\p{M}+)/gu

/** NUL is hidden, so that none is left in the text when it sets the marks apart. */
const mark = (text: string): string => `\0⟨${text}⟩\0`

/** Text with every hidden character shown by its code point, and long runs of blanks counted. */
export function visible(text: string): string {
  const lines = text.replace(/\r\n?/g, '\n').replaceAll('\t', '    ')
  return (HIDDEN.test(lines) ? reveal(lines) : lines)
    .replace(BLANK_LINES, (run) => `\n${mark(`${run.split('\n').length - 2} blank lines`)}\n`)
    .replace(SPACES, (run) => ` ${mark(`${run.length} spaces`)} `)
    .replace(PILES, (_, first: string, { length }: string) => first + mark(`${length} more marks`))
    .replaceAll('\0', '')
}

/** As `visible`, on one line: nothing in it can pass for a line of ours. */
export function visibleLine(text: string): string {
  return visible(text.replace(/\r\n?|\n/g, ' ⏎ '))
}

function reveal(text: string): string {
  let shown = ''
  for (const { segment } of graphemes.segment(text)) {
    shown += EMOJI.test(segment) ? segment : segment.replace(EACH_HIDDEN, codePoint)
  }
  return shown.replace(
    SAME_MARKS,
    (run, one: string) => one + mark(`${run.length / one.length - 1} more`),
  )
}

function codePoint(character: string): string {
  const hex = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')
  return mark(`U+${hex}`)
}

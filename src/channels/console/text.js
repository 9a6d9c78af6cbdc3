/**
 * What others wrote, by the rules of core/visible.ts: a test compares the two. Here our marks stay
 * apart, to be set apart by style.
 */

const UNSEEN =
  /[[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800\u{13441}\u{13442}\u{1D159}\u030A\u0333\u033F]--[\n\t]]/v
const EACH_UNSEEN = new RegExp(UNSEEN, 'gv')
/** Joiners and selectors are right inside an emoji, and only there. */
const EMOJI = /^\p{RGI_Emoji}$/v
const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' })

/** NUL is unseen, so that none is left in the text when it separates the marks from it. */
const mark = (/** @type {string} */ text) => `\0⟨${text}⟩\0`

/** @param {string} char */
const codePoint = (char) =>
  mark(`U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`)

/** @param {string} text */
const reveal = (text) =>
  Array.from(graphemes.segment(text), ({ segment }) =>
    EMOJI.test(segment) ? segment : segment.replace(EACH_UNSEEN, codePoint),
  )
    .join('')
    .replace(
      /(\0⟨U[^⟩]+⟩\0)\1{3,}/gu,
      (run, one) => one + mark(`${run.length / one.length - 1} more`),
    )

/** Every second part is a mark of ours: for what is not seen, or too many blanks. @param {string} text */
export function partsOf(text) {
  const lines = text.replace(/\r\n?/g, '\n').replaceAll('\t', '    ')
  return (UNSEEN.test(lines) ? reveal(lines) : lines)
    .replace(
      /\n(?:\p{Zs}*\n){3,}/gu,
      (run) => `\n${mark(`${run.split('\n').length - 2} blank lines`)}\n`,
    )
    .replace(/\p{Zs}{41,}/gu, (run) => ` ${mark(`${run.length} spaces`)} `)
    .replace(/(\p{M}{8})(\p{M}+)/gu, (_, first, { length }) => first + mark(`${length} more marks`))
    .split('\0')
}

/** So that nothing in it can pass for a line of ours. @param {string} text */
export const oneLine = (text) => text.replace(/\r\n?|\n/g, ' ⏎ ')

/** @param {string} text */
export const visible = (text) => partsOf(oneLine(text)).join('')

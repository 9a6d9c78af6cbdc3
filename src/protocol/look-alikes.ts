import unhomoglyph from 'unhomoglyph'
import { type PlainOption, readLabel } from '../core/approval.ts'
import { visiblePart } from './fields.ts'

/** Labels that look like others, or like other words, to the person who presses them. */

/**
 * What is left of a text for the eye: the skeleton of Unicode Technical Standard #39. Two texts with
 * the same one look alike.
 */
function skeleton(text: string): string {
  const plain = visiblePart(text.normalize('NFKC'))
  return unhomoglyph(plain.normalize('NFD')).normalize('NFD')
}

const ASCII = /\p{ASCII}/gu

/**
 * Whether two labels pass for each other: by other characters that look the same, or by nothing that is
 * seen. "main" and "rnain" do not: plain letters and digits are what anybody may write.
 */
export function isAlike(one: string, other: string): boolean {
  if (visiblePart(one) === visiblePart(other)) return true
  return one.replace(ASCII, '') !== other.replace(ASCII, '') && skeleton(one) === skeleton(other)
}

/** Letters in squares and circles, which NFKC leaves alone: 🅽, 🅝. */
const FRAMED = /[\u{1F150}-\u{1F169}\u{1F170}-\u{1F189}]/gu
const NOT_ASCII = /[^\p{ASCII}]/gu
/** Of the strokes that pass for l and i, and the pairs that pass for one letter. */
const STROKES = ['l', 'i'] as const

/** The ways in which somebody who knows Latin letters alone may read a label. */
function glancesAt(label: string): ReadonlySet<string> {
  const framed = label.replace(FRAMED, (one) => {
    const code = one.codePointAt(0) ?? 0
    return String.fromCharCode(65 + ((code - (code < 0x1f170 ? 0x1f150 : 0x1f170)) % 26))
  })
  const latin = framed
    .normalize('NFKC')
    .replace(NOT_ASCII, (one) => unhomoglyph(one))
    .replace(/(?<=\p{L})0|0(?=\p{L})/gu, 'o')
  const strokes = STROKES.map((letter) =>
    latin.replace(letter === 'l' ? /[I1|]/g : /[l1|]/g, letter),
  )
  const glances = [latin, ...strokes]
  const pairs = glances.map((one) => one.replace(/rn/gi, 'm').replace(/vv/gi, 'w'))
  return new Set([...glances, ...pairs])
}

const SCRIPTS = ['Latin', 'Cyrillic', 'Greek', 'Armenian', 'Cherokee', 'Coptic', 'Lisu'].map(
  (script) => new RegExp(`\\p{Script=${script}}`, 'u'),
)

/** Whether one word has letters of two alphabets whose letters look alike. */
const isMixed = (label: string): boolean =>
  label
    .normalize('NFKC')
    .split(/[^\p{L}\p{M}\p{N}]+/u)
    .some((word) => SCRIPTS.filter((script) => script.test(word)).length > 1)

/** Marks by which people tell our words from those of others. */
const OUR_MARKS = /[⟨⟩]/u

const WORST_FIRST = ['refusal', 'hedge', 'yes'] as const

/** What a label looks like and does not read as: the worst of it. */
function looksOf(label: string): (typeof WORST_FIRST)[number] | undefined {
  const reading = readLabel(label)
  const glances = new Set(Array.from(glancesAt(label), readLabel))
  return WORST_FIRST.find((one) => glances.has(one) && one !== reading)
}

/** What is wrong with a label by itself: it looks like what it is not. */
export function pretense({ label, effect }: PlainOption): string | undefined {
  if (OUR_MARKS.test(label)) return 'must not have ⟨ or ⟩: they mark what we say of a text'
  const looks = looksOf(label)
  if (looks === undefined) return undefined
  if (isMixed(label)) return `looks like a ${looks}, but mixes letters of several alphabets`
  if (looks !== 'refusal' || effect !== 'approve' || readLabel(label) === 'refusal')
    return undefined
  return 'looks like a refusal, but is written in other characters: its effect must not be approve'
}

/** Whether somebody may take a label for a refusal or a hedge that it does not read as: it must not approve by its place. */
export function mayPassForDoubt(label: string): boolean {
  const looks = looksOf(label)
  return (looks === 'refusal' || looks === 'hedge') && readLabel(label) !== 'refusal'
}

import { CONSENTS, FILLERS, HEDGES, NEGATIONS, REFUSALS } from './words.ts'

/**
 * Which answers approve. Fails safe: what is not plainly a yes does not approve.
 *
 *   declared effect        final
 *   reads as a refusal     reject
 *   reads as a hedge       other
 *   the rest               at most one approves: the first that is nothing but a yes; without one,
 *                          the first option of the list if some other label reads as a refusal
 */
export type Effect = 'approve' | 'reject' | 'other'

/** An option as asked: its effect is declared or left to be read from the label. */
export interface PlainOption {
  readonly label: string
  readonly effect?: Effect | undefined
}

/** An option as it holds. */
export interface Option {
  readonly label: string
  readonly effect: Effect
}

export type Reading = 'refusal' | 'hedge' | 'yes' | 'plain'

type Phrases = ReadonlyMap<string, readonly (readonly string[])[]>

const phrasesOf = (table: readonly string[]): Phrases =>
  Map.groupBy(
    table.map((phrase) => phrase.split(' ')).sort((a, b) => b.length - a.length),
    ([first = '']) => first,
  )

const refusals = phrasesOf(REFUSALS)
const hedges = phrasesOf(HEDGES)
const consents = phrasesOf(CONSENTS)
const fillers = new Set(FILLERS)
const negations = new Set(NEGATIONS)

/** Before NFKC, which would make letters and digits of some (keycaps, Ⓜ️, ™️). */
const EMOJI = /\p{RGI_Emoji}|\p{Extended_Pictographic}|[#*0-9]\u{FE0F}?\u{20E3}/gv
/** Whatever is typed for one. NFKC makes a space and an accent of U+00B4. */
const APOSTROPHES = /['’‘‛ʼʹ′´`＇՚]/gu
/** Signs that say no beside words that say yes, in a text that somebody writes. */
const REFUSING_SIGN = /[❌✖✗✘🚫⛔🛑👎¬≠]/u
const NUMBER = /^\p{N}+$/u

/**
 * The words of a label as they are compared: NFKC, lower case, without emoji, punctuation and
 * characters that are not seen. An apostrophe joins what stands around it.
 */
export function wordsOf(text: string): string[] {
  return text
    .replace(EMOJI, ' ')
    .replace(APOSTROPHES, '')
    .normalize('NFKC')
    .toLowerCase()
    .replace(/\p{Default_Ignorable_Code_Point}/gu, '')
    .replace(APOSTROPHES, '')
    .split(/[^\p{L}\p{M}\p{N}]+/u)
    .filter((word) => word !== '')
}

/** The length in words of the longest phrase that the words begin with at `from`, 0 for none. */
function match(words: readonly string[], from: number, phrases: Phrases): number {
  const candidates = phrases.get(words[from] ?? '') ?? []
  const found = candidates.find((phrase) => phrase.every((word, i) => words[from + i] === word))
  return found?.length ?? 0
}

function consistsOf(words: readonly string[], phrases: Phrases): boolean {
  let at = 0
  while (at < words.length) {
    const length = match(words, at, phrases)
    if (length === 0) return false
    at += length
  }
  return words.length > 0
}

/** How a plain label reads. Of a refusal and a hedge the longer phrase wins ("Not sure" is a hedge). */
export function readLabel(label: string): Reading {
  const words = wordsOf(label)
  const start = words.findIndex((word) => !fillers.has(word) && !NUMBER.test(word))
  if (start >= 0) {
    const refusal = match(words, start, refusals)
    const hedge = match(words, start, hedges)
    if (refusal > 0 && refusal >= hedge) return 'refusal'
    if (hedge > 0) return 'hedge'
  }
  return consistsOf(words, consents) ? 'yes' : 'plain'
}

/** Gives every option the effect that holds. */
export function settleEffects(options: readonly PlainOption[]): Option[] {
  const read = options.map((option) => ({ ...option, reading: readLabel(option.label) }))
  const undeclared = read.filter((option) => option.effect === undefined)
  const [first] = read
  const refusesOther = read.some((option) => option !== first && option.reading === 'refusal')
  const approving =
    undeclared.find((option) => option.reading === 'yes') ??
    undeclared.find(
      (option) =>
        option === first && option.reading === 'plain' && refusesOther && !isDoubtful(option.label),
    )
  return read.map((option) => {
    if (option.effect) return { label: option.label, effect: option.effect }
    if (option === approving) return { label: option.label, effect: 'approve' }
    return { label: option.label, effect: option.reading === 'refusal' ? 'reject' : 'other' }
  })
}

/** Whether a label can not approve by being the first: without a word, or turned around somewhere. */
function isDoubtful(label: string): boolean {
  const words = wordsOf(label)
  return words.length === 0 || words.some((word) => negations.has(word))
}

/** How a text answers a confirmation: it must be nothing but a yes, or nothing but a no. */
export function readText(text: string): Effect {
  const words = wordsOf(text)
  const isDoubted = /[?？¿]/u.test(text) || REFUSING_SIGN.test(text)
  if (consistsOf(words, consents)) return isDoubted ? 'other' : 'approve'
  return consistsOf(words, refusals) ? 'reject' : 'other'
}

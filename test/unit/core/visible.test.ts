import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { visible, visibleLine } from '../../../src/core/visible.ts'

/** Written apart from the code under test: controls, formats, separators, and what is drawn as nothing. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]/u
const EMOJI = /\p{RGI_Emoji}/gv

const codePoints = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => String.fromCodePoint(from + i))

const hidden = [
  ...codePoints(0x00, 0x1f),
  ...codePoints(0x7f, 0x9f),
  ...codePoints(0x200b, 0x200f),
  ...codePoints(0x2028, 0x202e),
  ...codePoints(0x2060, 0x206f),
  ...codePoints(0xfe00, 0xfe0f),
  ...codePoints(0xe0000, 0xe007f),
  ...codePoints(0xe0100, 0xe01ef),
  ...['\u00ad', '\u034f', '\u061c', '\u115f', '\u1160', '\u17b4', '\u180b', '\u180e', '\u2800'],
  ...['\u3164', '\ufeff', '\uffa0', '\ufff9', '\u{1bca0}', '\u{1d173}'],
].filter((character) => character !== '\n' && character !== '\t' && character !== '\r')

/** Every emoji of one code point, with and without the selector that makes it one, and sequences. */
const emoji = [
  ...codePoints(0x23, 0x1faff).filter((one) => /^\p{RGI_Emoji}$/v.test(one)),
  ...codePoints(0x23, 0x1faff)
    .map((one) => `${one}\ufe0f`)
    .filter((one) => /^\p{RGI_Emoji}$/v.test(one)),
  ...[
    '1️⃣',
    '#️⃣',
    '*️⃣',
    '🇩🇪',
    '🇯🇵',
    '🏴󠁧󠁢󠁥󠁮󠁧󠁿',
    '🏴󠁧󠁢󠁳󠁣󠁴󠁿',
    '👍🏽',
    '🫱🏻‍🫲🏿',
    '👩‍👩‍👧‍👦',
    '👨🏾‍💻',
    '🏳️‍🌈',
    '🏴‍☠️',
  ],
  ...['❤️‍🔥', '👁️‍🗨️', '🧑‍🤝‍🧑', '🐻‍❄️', '🙂‍↔️', '🧔🏽‍♂️'],
]

const messy = fc
  .array(
    fc.oneof(
      fc.constantFrom(...hidden),
      fc.constantFrom(...emoji),
      fc.constantFrom(' ', '\n', '\t', '\r\n', '\r', ' '.repeat(50), '\n'.repeat(6), '\u3000'),
      fc.string({ unit: 'binary', maxLength: 4 }),
    ),
    { maxLength: 40 },
  )
  .map((parts) => parts.join(''))

const RUNS = { numRuns: 2_000 }

describe('visible text', () => {
  test('V7: has no character that is not seen, but the parts of emoji', () => {
    fc.assert(
      fc.property(messy, (text) => {
        const rest = visible(text).replace(EMOJI, '').replaceAll('\n', '')
        expect(rest).not.toMatch(HIDDEN)
      }),
      RUNS,
    )
  })

  test('shows every one of them by its code point, wherever it stands', () => {
    for (const character of hidden) {
      const hex = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')
      const shown = `⟨U+${hex}⟩`
      expect(visible(`a${character}b`)).toBe(`a${shown}b`)
      expect(visible(character)).toBe(shown)
      expect(visible(`a${character.repeat(2)}\nb`)).toBe(`a${shown}${shown}\nb`)
      expect(visibleLine(`😀 ${character}`)).toBe(`😀 ${shown}`)
    }
  })

  test.each([
    [3, '⟨U+200B⟩⟨U+200B⟩⟨U+200B⟩'],
    [4, '⟨U+200B⟩⟨3 more⟩'],
    [9_000, '⟨U+200B⟩⟨8999 more⟩'],
  ])('counts %i of the same one when they are many', (times, shown) => {
    expect(visible(`a${'\u200b'.repeat(times)}b`)).toBe(`a${shown}b`)
  })

  test('counts nothing that only looks like a mark', () => {
    const text = '⟨U+200B⟩'.repeat(6)
    expect(visible(`${text}\u200b`)).toBe(`${text}⟨U+200B⟩`)
  })

  test('piles no marks on a letter that would cover the lines around it', () => {
    expect(visible(`a${'\u0301'.repeat(8)}`)).toBe(`a${'\u0301'.repeat(8)}`)
    expect(visible(`a${'\u0301'.repeat(500)}b`)).toBe(`a${'\u0301'.repeat(8)}⟨492 more marks⟩b`)
  })

  test('keeps every emoji whole', () => {
    for (const one of emoji) {
      expect(visible(one)).toBe(one)
      expect(visible(`a${one}b ${one} ${one}`)).toBe(`a${one}b ${one} ${one}`)
      // Also beside something that is not seen.
      expect(visible(`\u200b ${one} \u202e`)).toBe(`⟨U+200B⟩ ${one} ⟨U+202E⟩`)
    }
  })

  test('leaves plain text alone', () => {
    const word = fc.string({
      unit: fc.constantFrom(...'azAZ09ßéяжあ字עلह.,;:!?<>&*_[]()`~#|{}\\'),
      minLength: 1,
    })
    fc.assert(
      fc.property(fc.array(word), (words) => {
        const text = words.join(' ')
        expect(visible(text)).toBe(text)
        expect(visibleLine(text)).toBe(text)
      }),
    )
  })

  test('is the same when it is made visible once more', () => {
    fc.assert(
      fc.property(messy, (text) => {
        expect(visible(visible(text))).toBe(visible(text))
        expect(visibleLine(visibleLine(text))).toBe(visibleLine(text))
      }),
      RUNS,
    )
  })

  test('never has many blanks in a row', () => {
    fc.assert(
      fc.property(messy, (text) => {
        expect(visible(text)).not.toMatch(/[\p{Zs}\t]{41}|(?:\n\p{Zs}*){4}/u)
      }),
      RUNS,
    )
  })

  test.each([
    [`a${' '.repeat(40)}b`, `a${' '.repeat(40)}b`],
    [`a${' '.repeat(41)}b`, 'a ⟨41 spaces⟩ b'],
    ['a\n\n\nb', 'a\n\n\nb'],
    ['a\n\n\n\nb', 'a\n⟨3 blank lines⟩\nb'],
    ['a\n \n\u3000\n \nb', 'a\n⟨3 blank lines⟩\nb'],
    ['a\r\nb\rc', 'a\nb\nc'],
    ['\ta', '    a'],
    ['', ''],
  ])('of %j is %j', (text, shown) => {
    expect(visible(text)).toBe(shown)
  })

  test('on one line has no line break at all', () => {
    fc.assert(
      fc.property(messy, (text) => {
        expect(visibleLine(text)).not.toMatch(/[\n\r\v\f\u0085\u2028\u2029]/)
      }),
      RUNS,
    )
    expect(visibleLine('a\nb\r\nc\rd')).toBe('a ⏎ b ⏎ c ⏎ d')
  })

  test('is well formed when the text was', () => {
    fc.assert(
      fc.property(messy, (text) => {
        expect(visible(text).isWellFormed()).toBe(true)
      }),
      RUNS,
    )
  })
})

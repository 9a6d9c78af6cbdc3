import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { visible, visibleLine } from '../../../src/core/visible.ts'

/** The rules that a browser loads are those of the core. */

const FILE = join(import.meta.dirname, '../../../src/channels/console/text.js')
const page: {
  partsOf(text: string): string[]
  visible(text: string): string
} = await import(pathToFileURL(FILE).href)

const messy = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...['\u200b', '\u202e', '\u2028', '\u0000', '\u3164', '\u030a', '\u0333', '\u{1D159}'],
        ...['\u{E0041}', '\u{E0100}', '\ufe0f', '\u200d', '👩‍👩‍👧‍👦', '🏳️‍🌈', '1️⃣', '⟨U+200B⟩'],
        ...[' '.repeat(50), '\n'.repeat(6), '\t', '\r\n', '\u0301'.repeat(12), '\u200b'.repeat(7)],
      ),
      fc.string({ unit: 'binary', maxLength: 4 }),
    ),
    { maxLength: 30 },
  )
  .map((parts) => parts.join(''))

describe("the console's page shows a text", () => {
  test('as every other channel does', () => {
    fc.assert(
      fc.property(messy, (text) => {
        expect(page.partsOf(text).join('')).toBe(visible(text))
        expect(page.visible(text)).toBe(visibleLine(text))
      }),
      { numRuns: 3_000 },
    )
  })

  test('with our marks apart from what only looks like one', () => {
    expect(page.partsOf('a⟨U+200B⟩b\u200bc')).toEqual(['a⟨U+200B⟩b', '⟨U+200B⟩', 'c'])
  })
})

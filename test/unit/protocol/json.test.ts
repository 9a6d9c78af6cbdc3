import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkJson, isTooDeep, MAX_DEPTH, parseJson, pointer } from '../../../src/protocol/json.ts'
import { wrongPaths } from './refusals.ts'

/** Containers inside containers, as the specification of the limit says it. */
function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}

const brackets = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)

describe('how deep a text nests', () => {
  const value = fc.jsonValue({ maxDepth: 8 })
  const indent = fc.constantFrom(0, 1, '\t', ' [')

  test('is what counting containers says, wherever the text has brackets, quotes and backslashes', () => {
    const nasty = fc.string({
      unit: fc.constantFrom('[', ']', '{', '}', '"', '\\', 'n', ' ', '🚀'),
    })
    const nested = fc.letrec<{ node: unknown }>((tie) => ({
      node: fc.oneof(
        { maxDepth: 8, withCrossShrink: true },
        nasty,
        fc.array(tie('node'), { maxLength: 3 }),
        fc.dictionary(nasty, tie('node'), { maxKeys: 3 }),
      ),
    })).node
    fc.assert(
      fc.property(fc.oneof(value, nested), indent, fc.nat(10), (given, space, max) => {
        const text = JSON.stringify(given, null, space === ' [' ? 2 : space)
        expect(isTooDeep(text, max)).toBe(depthOf(given) > max)
      }),
      { numRuns: 500 },
    )
  })

  test('agrees with what is refused once it is read', () => {
    fc.assert(
      fc.property(value, fc.integer({ min: 1, max: 8 }), (given, max) => {
        const isRefused = wrongPaths(() => checkJson(given, max)).length > 0
        fc.pre(!hasOtherFaults(given))
        expect(isRefused).toBe(isTooDeep(JSON.stringify(given), max))
      }),
    )
  })

  test('is 32 at most', () => {
    expect(MAX_DEPTH).toBe(32)
    expect(isTooDeep(brackets(32))).toBe(false)
    expect(isTooDeep(brackets(33))).toBe(true)
    expect(wrongPaths(() => checkJson(JSON.parse(brackets(32))))).toEqual([])
    expect(wrongPaths(() => checkJson(JSON.parse(brackets(33))))).toHaveLength(1)
  })

  test('siblings do not add up', () => {
    expect(isTooDeep(`[${Array(1_000).fill('[]').join()}]`, 2)).toBe(false)
  })

  test('is found before anything recursive sees it, however deep it is', () => {
    expect(isTooDeep('['.repeat(250_000))).toBe(true)
    expect(isTooDeep('{"a":'.repeat(50_000))).toBe(true)
  })

  test.each(['"', '\\', '"\\', '"\\"', '"[[[', ']]]]', '', 'nonsense', '"a" [', '["\\\\"]'])(
    'is asked of any text without harm: %j',
    (text) => {
      expect(isTooDeep(text, 1)).toBe(false)
    },
  )

  test.each([
    ['escapes', `"${'\\n'.repeat(130_000)}"`],
    ['escapes without an end', `"${'\\"'.repeat(130_000)}`],
    ['quotes', '"'.repeat(260_000)],
    ['backslashes', '\\'.repeat(260_000)],
    ['a long string', `"${'x'.repeat(260_000)}"`],
  ])('is known soon of a whole body of %s', (_, text) => {
    expect(isTooDeep(text)).toBe(false)
  })
})

/** What is refused for another reason than its depth. */
function hasOtherFaults(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('\0') || !value.isWellFormed()
  if (typeof value === 'number') return Number.isInteger(value) && !Number.isSafeInteger(value)
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).some(
    ([key, item]) => key === '__proto__' || hasOtherFaults(key) || hasOtherFaults(item),
  )
}

describe('reading JSON', () => {
  test.each(['', '{', '{"a":1,}', "{'a':1}", 'undefined', '1 2', '[1', 'NaN', '\ufeff{}', '//x'])(
    'refuses what is not one value: %j',
    (text) => {
      expect(wrongPaths(() => parseJson(text))).toEqual([''])
    },
  )

  test('reads any one value', () => {
    for (const value of [null, true, 1, 'x', [], {}]) {
      expect(parseJson(JSON.stringify(value))).toEqual(value)
    }
  })
})

describe('a JSON Pointer', () => {
  test('escapes the two characters that mean something in it, tilde first (RFC 6901)', () => {
    expect(['a/b', 'm~n', '~1', '', 'ä"\\'].map(pointer)).toEqual([
      'a~1b',
      'm~0n',
      '~01',
      '',
      'ä"\\',
    ])
    expect(pointer(0)).toBe('0')
  })

  test('comes back as the key it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('~', '/', '0', '1', 'a') }), (key) => {
        expect(pointer(key).replaceAll('~1', '/').replaceAll('~0', '~')).toBe(key)
      }),
    )
  })
})

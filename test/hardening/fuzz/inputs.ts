import * as fc from 'fast-check'

/** What comes in at a door: valid input with one thing changed, and what nobody would think of. */

/** Text that programs stumble over. */
const ODD_TEXTS: readonly string[] = [
  ...['', ' ', '\0', 'a\0b', '\u{feff}', '\u{200b}', '\u{202e}x', '\u{2028}', '\ud800', 'a\udc00b'],
  ...['__proto__', 'constructor', 'prototype', 'toString', 'then', 'null', 'undefined', 'NaN'],
  ...["' OR 1=1--", '"; DROP TABLE requests; --', '%00', '%', '../../etc/passwd', '{{7*7}}', '\\'],
  ...['-1', '0x0', '1e3', '٣', '9007199254740993', 'Infinity', '0-0', '1-1', 'earliest', ','],
  ...['\r\nX-Injected: 1', '*'.repeat(201), '😀'.repeat(200), 'x'.repeat(20_001), '\u{e0001}'],
]

/** A code unit that is half of a character. */
const half = fc.integer({ min: 0xd800, max: 0xdfff }).map((unit) => String.fromCharCode(unit))

export const oddText: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...ODD_TEXTS) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
  { weight: 1, arbitrary: fc.string({ unit: half, maxLength: 3 }) },
  { weight: 1, arbitrary: fc.string({ maxLength: 300 }) },
)

/** A number as it is written, also what JavaScript can not hold. */
const { rawJSON: written } = JSON as unknown as { rawJSON: (text: string) => unknown }

const oddNumber: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(
    ...['1e400', '-1e400', '9007199254740993', '-0', '1E-400', '0.1e1', '9'.repeat(400)].map(
      written,
    ),
    ...[-1, 0, 0.5, 2 ** 31, 2 ** 53, -(2 ** 53) - 2, 2_592_000, 2_592_001, 1e21, 1e-7],
  ),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
)

/** One thing in so many lists. */
const nest = (depth: number): unknown => {
  let value: unknown = 'x'
  for (let i = 0; i < depth; i++) value = i % 2 ? [value] : { a: value }
  return value
}

export const oddValue: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    oddText,
    oddNumber,
    fc.constantFrom<unknown>(null, true, false, [], {}, [[]]),
    fc.integer({ min: 2, max: 40 }).map(nest),
    fc.array(tie('value'), { maxLength: 4 }),
    // From entries, so that __proto__ is a key like others.
    fc.array(fc.tuple(oddText, tie('value')), { maxLength: 4 }).map(Object.fromEntries),
  ),
})).value

type Path = readonly (string | number)[]

function pathsOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path]
  const entries: [string | number, unknown][] = Array.isArray(value)
    ? value.map((item, i) => [i, item])
    : Object.entries(value)
  return [path, ...entries.flatMap(([key, item]) => pathsOf(item, [...path, key]))]
}

/** A copy that has `put` there. `undefined` is left out when it is written. */
function replaced(value: unknown, [key, ...rest]: Path, put: unknown): unknown {
  if (key === undefined) return put
  if (Array.isArray(value)) {
    return value.map((item, i) => (i === key ? replaced(item, rest, put) : item))
  }
  const entries = Object.entries(value as object)
  return Object.fromEntries(
    entries.map(([name, item]) => [name, name === key ? replaced(item, rest, put) : item]),
  )
}

function at(value: unknown, path: Path): unknown {
  return path.reduce((inside, key) => (inside as Record<string, unknown>)[String(key)], value)
}

/** Valid input with one place changed, left out, added to, or taken from another place. */
export function mutated(valid: object): fc.Arbitrary<unknown> {
  const paths = pathsOf(valid).slice(1)
  if (paths.length === 0) return oddValue
  const path = fc.constantFrom(...paths)
  return fc.oneof(
    { weight: 6, arbitrary: fc.tuple(path, oddValue).map(([p, v]) => replaced(valid, p, v)) },
    { weight: 2, arbitrary: path.map((p) => replaced(valid, p, undefined)) },
    {
      weight: 2,
      arbitrary: fc.tuple(path, path).map(([p, q]) => replaced(valid, p, at(valid, q))),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(oddText, oddValue)
        .map(([key, value]) => Object.fromEntries([...Object.entries(valid), [key, value]])),
    },
    { weight: 1, arbitrary: fc.constant(valid) },
  )
}

/** Text with a piece cut out and something else in its place. */
export const spliced = (text: string): fc.Arbitrary<string> =>
  fc
    .tuple(fc.nat(text.length), fc.nat(8), fc.oneof(oddText, fc.constantFrom('{', ']', '"', ':')))
    .map(([start, length, put]) => text.slice(0, start) + put + text.slice(start + length))

const NO_JSON: readonly string[] = [
  ...['', '{', '[', '"', 'nul', '{"a":1}{"a":1}', '\u{feff}{}', '{"a":1,"a":2}', "{'a':1}", '//'],
  ...['['.repeat(5_000), `${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)}`, '1'.repeat(100_000)],
]

/** JSON, or what claims to be it. */
export const jsonText = (valid: object): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 8, arbitrary: mutated(valid).map((value) => JSON.stringify(value) ?? '') },
    { weight: 1, arbitrary: oddValue.map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: spliced(JSON.stringify(valid)) },
    { weight: 1, arbitrary: fc.constantFrom(...NO_JSON) },
  )

/** What a client can send as the value of a header at all (RFC 9110, section 5.5). */
export const headerText: fc.Arbitrary<string> = oddText.map((text) =>
  text.replace(/[^\t\x20-\x7e\x80-\xff]/g, '?').slice(0, 4_000),
)

/** `value`, or something else in its place now and then. */
export const mostly = <Value>(value: Value, other: fc.Arbitrary<Value>): fc.Arbitrary<Value> =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: other })

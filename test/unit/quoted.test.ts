import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '../..')

const read = (name: string) => readFileSync(join(ROOT, name), 'utf8')

const namesIn = (folder: string, ending: string) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending) && !name.includes('node_modules'))
    .map((name) => join(folder, name))

/** What the names of tests begin with: `R2: …`, `L1, V2: …`, `A31, A32 and defect 39: …`. */
const QUOTE = /['"`]((?:[A-Z]\d+|defects? \d+)(?:(?:, | and )(?:[A-Z]\d+|defects? \d+))*):/g

const quotes = namesIn('test', '.ts').flatMap((file) =>
  [...read(file).matchAll(QUOTE)].flatMap(([, list = '']) =>
    [...list.matchAll(/[A-Z]\d+/g)].map(([number]) => ({ file, number })),
  ),
)

describe('the invariants of the specification', () => {
  const invariants = [...read('src/core/README.md').matchAll(/^- \*\*([A-Z]\d+)\*\* /gm)].map(
    ([, number = '']) => number,
  )

  test('are found, and each is there once', () => {
    expect(invariants).toEqual(expect.arrayContaining(['R1', 'A6', 'T5']))
    expect(new Set(invariants).size).toBe(invariants.length)
  })

  test.each(invariants)('%s is quoted by a test', (invariant) => {
    expect(quotes.some(({ number }) => number === invariant)).toBe(true)
  })

  test('are all that tests quote, besides attacks (A01) and experiments (F01)', () => {
    const others = quotes.filter(({ number }) => !/^[AF]\d\d$/.test(number))
    expect(others.filter(({ number }) => !invariants.includes(number))).toEqual([])
  })
})

describe('the attacks of docs/threats.md', () => {
  const [, table = ''] = read('docs/threats.md').split('## By number')
  const named = table.split('\n').flatMap((line) => {
    const [, attacks = '', where = ''] = line.split('|')
    const files = [...where.matchAll(/`(test\/[^`]+)`/g)].map(([, file = '']) => file)
    return numbersIn(attacks).flatMap((number) => files.map((file) => ({ number, file })))
  })

  test('are found', () => {
    expect(named.length).toBeGreaterThan(60)
  })

  test('are tested where it says, under their numbers', () => {
    const missing = named.filter(
      (row) => !quotes.some(({ file, number }) => file === row.file && number === row.number),
    )
    expect(missing).toEqual([])
  })

  test('are all there', () => {
    const missing = quotes.filter(
      ({ file, number }) =>
        file.startsWith('test/hardening/') &&
        /^A\d\d$/.test(number) &&
        !named.some((row) => row.file === file && row.number === number),
    )
    expect(missing).toEqual([])
  })
})

/** `A01, A11 to A13` is A01, A11, A12 and A13. */
function numbersIn(text: string): string[] {
  return [...text.matchAll(/A(\d\d)(?: to A(\d\d))?/g)].flatMap(([, first = '', last = first]) =>
    Array.from(
      { length: Number(last) - Number(first) + 1 },
      (_, i) => `A${String(Number(first) + i).padStart(2, '0')}`,
    ),
  )
}

describe('a link in', () => {
  const pages = [
    'README.md',
    'CHANGELOG.md',
    ...['docs', 'src', 'client'].flatMap((folder) => namesIn(folder, '.md')),
  ]

  test.each(pages)('%s leads to a file that is there', (page) => {
    const links = [...read(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, to = '']) => to)
    expect(links.filter((to) => !existsSync(join(ROOT, dirname(page), to)))).toEqual([])
  })
})

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { ERROR_CODES, LoopgateError } from '../../src/core/errors.ts'

const ROOT = join(import.meta.dirname, '../..')

const read = (name: string) =>
  existsSync(join(ROOT, name)) ? readFileSync(join(ROOT, name), 'utf8') : ''

/** The rows of every table, as cells. */
const rows = read('README.md')
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )

/** The text of a cell that is nothing but code. */
const code = (cell = '') => /^`([^`]+)`$/.exec(cell)?.[1]

const named = rows.flatMap(([first, second = '']) => {
  const name = code(first)
  return name !== undefined && /^[A-Z][A-Z0-9_]*$/.test(name) ? [{ name, second }] : []
})

const errors = named.filter(({ second }) => /^\d{3}$/.test(second))
const variables = named.filter(({ second }) => !/^\d{3}$/.test(second))

/** Lines of .env.example: `# NAME=default   # meaning`. */
const examples = [...read('.env.example').matchAll(/^#? ?([A-Z][A-Z0-9_]*)=(\S*)/gm)].map(
  ([, name = '', value = '']) => ({ name, value }),
)

/** The variables that are read: the keys in upper case of the schemas, wherever one is declared. */
function declared(): string[] {
  const channels = readdirSync(join(ROOT, 'src/channels'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `src/channels/${name}`)
  const found = ['src/config.ts', ...channels].flatMap((file) =>
    [
      ...read(file).matchAll(/^ +([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*): (?:z\b|whole|flag|\w*[uU]rl)/gm),
    ].map(([, name = '']) => name),
  )
  return [...new Set(found)].sort()
}

const namesOf = (all: readonly { name: string }[]) => all.map(({ name }) => name).sort()

describe('the error table of the README', () => {
  test('has every code of the registry and no other', () => {
    expect(namesOf(errors)).toEqual([...ERROR_CODES].sort())
  })

  test.each(ERROR_CODES)('says the status of %s', (name) => {
    const row = errors.find((error) => error.name === name)
    expect(row?.second).toBe(String(new LoopgateError(name).status))
  })
})

describe('the variables', () => {
  test('that are read are found', () => {
    const some = [
      'HOST',
      'SERVER_PORT',
      'DATABASE_URL',
      'PUBLIC_URL',
      'TELEGRAM_API_ROOT',
      'TRUST_PROXY',
    ]
    expect(declared()).toEqual(expect.arrayContaining(some))
    expect(declared().length).toBeGreaterThanOrEqual(24)
  })

  test('in the README are those that are read', () => {
    expect(namesOf(variables)).toEqual(declared())
  })

  test('in .env.example are those that are read', () => {
    expect(namesOf(examples)).toEqual(declared())
  })

  const defaults = [
    ...variables.flatMap(({ name, second }) => {
      const value = code(second)
      return value === undefined ? [] : [['README.md', name, value] as const]
    }),
    ...examples.flatMap(({ name, value }) =>
      value === '' ? [] : [['.env.example', name, value] as const],
    ),
  ]

  test('have defaults in both places', () => {
    expect(new Set(defaults.map(([place]) => place)).size).toBe(2)
  })

  test.each(defaults)('%s: %s=%s is the default, and so changes nothing', (_, name, value) => {
    // Channels are functions that are made anew each time.
    const { channels: _channels, ...config } = readConfig({ [name]: value })
    const { channels: _others, ...expected } = readConfig({})
    expect(config).toEqual(expected)
  })

  test('have the same defaults in the README and in .env.example', () => {
    for (const { name, value } of examples) {
      const row = variables.find((variable) => variable.name === name)
      expect([name, code(row?.second) ?? '']).toEqual([name, value])
    }
  })
})

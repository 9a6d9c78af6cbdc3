import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { StoredMessage } from '../../support/telegram/telegram.ts'
import { type Asked, type Line, labelsOf, quotesOf, Scene, type Somebody } from './scene.ts'

/** However long a question is, the reviewer gets all of it, and Telegram refuses nothing. */

/** Bot API, sendMessage: UTF-16 units of text after entities. */
const MAX_TEXT = 4_096

let scene: Scene
let ann: Somebody
let line: Line

beforeAll(async () => {
  scene = await Scene.open({ env: { MAX_CONCURRENT_REQUESTS: '1000' } })
  ann = scene.person('Ann')
  line = await scene.line(ann.id)
})
afterAll(() => scene[Symbol.asyncDispose]())

/** Text of so many code points in which every place is different. */
const numbered = (length: number): string =>
  Array.from({ length: Math.ceil(length / 6) }, (_, i) => String(10_000 + i))
    .join(' ')
    .padEnd(length, '.')
    .slice(0, length)

/** So many emoji of two UTF-16 units each. */
const emoji = (length: number): string =>
  Array.from({ length }, (_, i) => String.fromCodePoint(0x1_f400 + ((i * 7 + (i >> 6)) % 60))).join(
    '',
  )

const METADATA = {
  none: {},
  some: { env: 'production', command: `kubectl ${numbered(900)}`, hosts: ['a', 'b'] },
  'a long value': { env: 'production', dump: numbered(32_600), last: 'seen' },
  'many entries': Object.fromEntries(
    Array.from({ length: 1_300 }, (_, i) => [`key ${i}`, `value ${i}`]),
  ),
}

const linesOf = (metadata: object): string[] =>
  Object.entries(metadata).map(
    ([key, value]) => `${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )

/** The files that came with a card, as text. */
const filesOf = ({ id }: Asked): string[] =>
  scene.tg
    .messages(line.chat)
    .filter(({ document }) => document?.file_name?.includes(id))
    .map(({ file }) => new TextDecoder('utf-8', { fatal: true }).decode(file?.bytes))

function expectAllOf(card: StoredMessage, asked: Asked, message: string, metadata: object): void {
  const text = card.text ?? ''
  expect(text.length).toBeLessThanOrEqual(MAX_TEXT)
  expect(text.isWellFormed()).toBe(true)
  const quotes = quotesOf(card)
  const facts = linesOf(metadata)
  const isWhole = quotes[0] === message && (quotes[1] ?? '') === facts.join('\n')
  const files = filesOf(asked)
  expect(text.includes('This is not all of it')).toBe(!isWhole)
  if (isWhole) return
  expect(files).toHaveLength(1)
  expect(files[0]?.endsWith(` characters, to the end ---\n${message}\n`)).toBe(true)
  const lines = new Set(files[0]?.split('\n'))
  expect(facts.filter((fact) => !lines.has(fact))).toEqual([])
  expect(message.startsWith(quotes[0]?.slice(0, 800) ?? '')).toBe(true)
}

const SIZES = [
  ...[3_000, 3_200, 3_400, 3_600, 3_650, 3_700, 3_750, 3_800, 3_900, 4_000, 4_094, 4_095, 4_096],
  ...[4_097, 4_200, 20_000],
]
const QUESTIONS = Object.entries(METADATA).flatMap(([name, metadata]) =>
  Object.entries({ characters: numbered, emoji }).flatMap(([kind, write]) =>
    SIZES.map((size) => ({ size, kind, name, metadata, message: write(size) })),
  ),
)

describe('a question', () => {
  test.for(QUESTIONS)(
    'of $size $kind with metadata: $name is all there, before and after the answer',
    async ({ message, metadata }) => {
      const asked = await scene.ask(line, { message, metadata, request_type: 'input' })
      expectAllOf(asked.card, asked, message, metadata)
      const [first, last] = [asked.card.text?.split('\n')[0], asked.card.text?.split('\n').at(-1)]
      expect(first).toBe(`❓ ${line.client_id} asks · session ${line.session_id}`)
      expect(last).toMatch(new RegExp(`^${asked.id}\\.`))
      scene.tg.reply({ user: ann, replyTo: asked.card, text: numbered(4_096) })
      expectAllOf(await scene.closed(asked), asked, message, metadata)
    },
  )

  test.for([
    ['a message of 20,000 line breaks and letters', { message: 'a\n'.repeat(10_000) }],
    ['a message that turns six times as long', { message: 'a\u200b'.repeat(10_000) }],
    ['metadata that turns six times as long', { metadata: { a: 'x\u200b'.repeat(8_000) } }],
  ] as const)('with %s is delivered, and so is its outcome', async ([, fields]) => {
    await expectDelivered(await scene.line(ann.id), fields)
  })

  test.for([
    ['letters', 'n'],
    ['emoji', '😀'],
    ['blanks that are made visible', '\u2800'],
  ] as const)('from names of 200 %s is delivered, and so is its outcome', async ([, letter]) => {
    const names = { client_id: letter.repeat(200), session_id: letter.repeat(200) }
    await scene.app.register({ ...names, telegram_id: ann.id })
    await expectDelivered({ ...names, chat: ann.id, link: null }, {})
  })
})

async function expectDelivered(from: Line, fields: object): Promise<void> {
  const view = await scene.submit(from, {
    message: numbered(2_000),
    metadata: { facts: numbered(20_000) },
    options: ['Yes', 'No'],
    ...fields,
  })
  const news = await scene.news(from, view.request_id)
  expect(news?.data.delivery).toEqual([{ channel: 'telegram', status: 'delivered' }])
  const asked = { id: view.request_id, view, card: await scene.card(from.chat, view.request_id) }
  expect(filesOf(asked)).toHaveLength(1)
  await scene.app.decide(asked.id, { option: 'Yes', comment: numbered(4_000) })
  const closed = await scene.closed(asked)
  expect(closed.text).toMatch(/^✅ Approved by /)
  expect(labelsOf(closed)).toEqual([])
}

describe('twenty options', () => {
  test.for([
    ['100 letters', (i: number) => `${i} `.padEnd(100, 'x')],
    ['100 Chinese characters', (i: number) => String(10 + i).padEnd(100, '字')],
    ['100 emoji', (i: number) => emoji(99 - i) + emoji(1 + i)],
    ['families', (i: number) => String(10 + i) + '👨‍👩‍👧‍👦'.repeat(14)],
    ['100 characters, every other one hidden', (i: number) => `${10 + i}${'a\u200b'.repeat(49)}`],
    ['a hundred blanks that are made visible', (i: number) => `${10 + i}${'\u2800'.repeat(98)}`],
  ] as const)('of %s are delivered, and each can be pressed', async ([, label]) => {
    const from = await scene.line(ann.id)
    const options = Array.from({ length: 20 }, (_, i) => label(i))
    const view = await scene.submit(from, { options })
    const news = await scene.news(from, view.request_id)
    expect(news?.data.delivery).toEqual([{ channel: 'telegram', status: 'delivered' }])
    const card = await scene.card(from.chat, view.request_id)
    const asked = { id: view.request_id, view, card }
    expect(new Set(labelsOf(card)).size).toBe(20)
    const settled = await scene.decide(ann, asked, labelsOf(card)[13] ?? '')
    expect(settled.response).toBe(options[13])
  })
})

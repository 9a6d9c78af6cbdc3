import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Card,
  headline,
  keyboard,
  openCard,
  settledCard,
} from '../../../src/channels/telegram/card.ts'
import { References } from '../../../src/channels/telegram/references.ts'
import type { HitlRequest, JsonObject, Outcome, State } from '../../../src/core/request.ts'
import { shownText } from '../../../src/core/shown.ts'
import { visible, visibleLine } from '../../../src/core/visible.ts'
import { aQuestion, aRequest, aState } from '../../support/builders.ts'

const references = new References('key')
const CHAT = '-1001234567890'
const SETTLED_AT = new Date('2026-01-02T03:05:59Z')

/** Bot API, sendMessage: UTF-16 units. */
const MAX_TEXT = 4_096

/** Text of up to so many code points, of any kind, and often much of one kind. */
const textOf = (max: number) =>
  fc
    .tuple(
      fc.oneof(
        fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }),
        fc.constantFrom(
          'x',
          '😀',
          '\u200b',
          'a\u200b',
          '\u2800',
          '👩‍👩‍👧‍👦',
          'a\n',
          '字',
          'word ',
          '\n',
        ),
      ),
      fc.oneof(fc.constant(1), fc.nat({ max })),
    )
    .map(([unit, times]) => [...unit.repeat(times + 1)].slice(0, max).join('').toWellFormed())
    .filter((text) => text.trim() !== '')

/** Names as the protocol lets them through: printable, 200 code points. Blanks: see `LONGEST`. */
const nameOf = textOf(200)
  .map((text) =>
    text.replace(/[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u2800]/gu, ''),
  )
  .filter((text) => text.trim() !== '')

const metadataOf = fc
  .dictionary(textOf(200), fc.oneof(textOf(3_000), fc.jsonValue()), { maxKeys: 40 })
  .map((value) => value as JsonObject)
  .filter((value) => Buffer.byteLength(JSON.stringify(value)) <= 32 * 1024)

const optionsOf = fc.array(
  fc.record({
    label: textOf(100),
    effect: fc.constantFrom('approve' as const, 'reject' as const, 'other' as const),
  }),
  { maxLength: 20 },
)

const requestOf: fc.Arbitrary<HitlRequest> = fc
  .record({
    id: fc.uuid(),
    message: textOf(20_000),
    clientId: nameOf,
    sessionId: nameOf,
    metadata: metadataOf,
    options: optionsOf,
    type: fc.constantFrom('confirmation' as const, 'input' as const),
    minutes: fc.integer({ min: 1, max: 43_200 }),
  })
  .map(({ minutes, ...question }) => {
    const { createdAt } = aQuestion()
    const expiresAt = new Date(createdAt.getTime() + minutes * 60_000)
    return aRequest({ question: { ...question, createdAt, expiresAt } })
  })

const stateOf: fc.Arbitrary<State> = fc
  .record({
    outcome: fc.constantFrom<Outcome>('approved', 'rejected', 'answered', 'expired', 'canceled'),
    response: fc.option(textOf(4_096)),
    comment: fc.option(textOf(4_000)),
    name: textOf(128),
  })
  .map(({ name, ...state }) => {
    const byPerson = !['expired', 'canceled'].includes(state.outcome)
    const decidedBy = byPerson ? { channel: 'telegram', id: '501', name } : null
    const status = byPerson ? ('decided' as const) : (state.outcome as 'expired' | 'canceled')
    return aState({ ...state, status, decidedBy, settledAt: SETTLED_AT })
  })

/** The longest that names become: this blank is let through, and is shown by its code point. */
const LONGEST = { clientId: '\u2800'.repeat(200), sessionId: '\u2800'.repeat(200) }

function expectFits({ text, entities }: Card): void {
  expect(text.length).toBeLessThanOrEqual(MAX_TEXT)
  expect(text.isWellFormed()).toBe(true)
  for (const { offset, length } of entities) {
    expect(length).toBeGreaterThan(0)
    expect(offset).toBeGreaterThanOrEqual(0)
    expect(offset + length).toBeLessThanOrEqual(text.length)
    expect(text.slice(offset, offset + length).isWellFormed()).toBe(true)
  }
  expect(entities.length).toBeLessThanOrEqual(100)
}

const quotesOf = ({ text, entities }: Card): string[] =>
  entities
    .filter(({ type }) => type.endsWith('blockquote'))
    .map(({ offset, length }) => text.slice(offset, offset + length))

const linesOf = (metadata: JsonObject): string[] =>
  Object.entries(metadata).map(
    ([key, value]) =>
      `${visibleLine(key)}: ${visibleLine(typeof value === 'string' ? value : JSON.stringify(value))}`,
  )

const RUNS = { numRuns: 100 }
const SLOW = { timeout: 60_000 }

describe('an open card', () => {
  test('fits into a message, whatever is asked', SLOW, () => {
    fc.assert(
      fc.property(requestOf, (request) => expectFits(openCard(request, references, CHAT))),
      RUNS,
    )
  })

  test('fits into a message with the longest names there are', () => {
    for (const metadata of [{}, { dump: 'x'.repeat(32_000) }]) {
      for (const message of ['short', 'x'.repeat(20_000)]) {
        const request = aRequest({ question: { ...LONGEST, message, metadata } })
        expectFits(openCard(request, references, CHAT))
      }
    }
  })

  test('begins and ends with our lines, and its end leads back to its request', SLOW, () => {
    fc.assert(
      fc.property(requestOf, (request) => {
        const { id, clientId, sessionId } = request.question
        const { text } = openCard(request, references, CHAT)
        const first = `❓ ${visibleLine(clientId)} asks · session ${visibleLine(sessionId)}`
        expect(text.split('\n')[0]).toBe(first)
        expect(text.split('\n').at(-2)).toMatch(/^⏳ Open for [\d\w ]+, until .* UTC$/)
        expect(references.readLine(text, CHAT)).toBe(id)
      }),
      RUNS,
    )
  })

  test('holds the whole question, or a file does', SLOW, () => {
    fc.assert(
      fc.property(requestOf, (request) => {
        const { message, metadata } = request.question
        const card = openCard(request, references, CHAT)
        const facts = linesOf(metadata)
        const whole = [visible(message), facts.join('\n')].filter((part) => part !== '')
        const isWhole = quotesOf(card).join('\n\n') === whole.join('\n\n')
        expect(card.text.includes('not all of it')).toBe(!isWhole)
        if (isWhole) return
        expect(card.text).toContain('The whole text is in the file above')
        expect(card.attachment).toBe(shownText(request.question))
      }),
      RUNS,
    )
  })

  test('says how much of the message is missing', () => {
    for (const one of ['x', '😀']) {
      const card = openCard(
        aRequest({ question: { message: one.repeat(20_000) } }),
        references,
        CHAT,
      )
      const [, missing = ''] =
        /: (\d\d,\d{3}) of 20,000 characters of the message is missing\./.exec(card.text) ?? []
      expect(Number(missing.replace(',', ''))).toBe(20_000 - [...(quotesOf(card)[0] ?? '')].length)
    }
  })

  test('says how much of the metadata is missing', () => {
    const metadata = { a: 'x'.repeat(10_000), b: 'y' }
    const { text } = openCard(aRequest({ question: { metadata } }), references, CHAT)
    expect(text).toContain('all of it: 9,604 of 10,008 characters of the metadata is missing.')
  })

  test('shows every entry of metadata, however long the one before it is', () => {
    const metadata = { diff: 'x'.repeat(30_000), environment: 'production' }
    const [, facts] = quotesOf(openCard(aRequest({ question: { metadata } }), references, CHAT))
    expect(facts?.split('\n').at(-1)).toBe('environment: production')
  })

  test.each([
    ['a r o', '1 approves (green), 2 refuses (red), 3 only answers'],
    ['r a', '2 approves (green), 1 refuses (red)'],
    ['a a r r r o o', '1 and 2 approve (green), 3, 4 and 5 refuse (red), 6 and 7 only answer'],
    ['r o', 'none approves, 1 refuses (red), 2 only answers'],
    ['o', 'none approves, 1 only answers'],
  ])('says in our words what the buttons do: %s', (effects, words) => {
    const names = { a: 'approve', r: 'reject', o: 'other' } as const
    const options = effects.split(' ').map((effect, i) => ({
      label: `${i} approves (green)`,
      effect: names[effect as keyof typeof names],
    }))
    const { text } = openCard(aRequest({ question: { options } }), references, CHAT)
    expect(text.split('\n').at(-3)).toBe(`Press a button: ${words}.`)
  })

  test('folds nothing away', () => {
    const request = aRequest({ question: { message: 'x'.repeat(3_000) } })
    const { entities } = openCard(request, references, CHAT)
    expect(entities.filter(({ type }) => type === 'blockquote')).toHaveLength(1)
    expect(entities.filter(({ type }) => type === 'expandable_blockquote')).toEqual([])
  })
})

describe('a settled card', () => {
  test('fits into a message, whatever was asked and answered', SLOW, () => {
    fc.assert(
      fc.property(requestOf, stateOf, ({ question, cursor }, state) => {
        expectFits(settledCard({ question, state, cursor }, references, CHAT))
      }),
      RUNS,
    )
  })

  test('fits into a message with the longest names, answers and comments there are', () => {
    const decidedBy = { channel: 'telegram', id: '501', name: '\u202e'.repeat(128) }
    const text = '\u200b'.repeat(4_000)
    const answered = {
      status: 'decided',
      outcome: 'answered',
      response: text,
      comment: text,
    } as const
    const state = aState({ ...answered, decidedBy, settledAt: SETTLED_AT })
    for (const metadata of [{}, { dump: 'x'.repeat(32_000) }]) {
      for (const message of ['short', 'x'.repeat(20_000)]) {
        const request = aRequest({ question: { ...LONGEST, message, metadata } })
        expectFits(settledCard({ ...request, state }, references, CHAT))
      }
    }
  })

  test('begins with what became of it and ends with our line', SLOW, () => {
    fc.assert(
      fc.property(requestOf, stateOf, ({ question, cursor }, state) => {
        const { text } = settledCard({ question, state, cursor }, references, CHAT)
        expect(text.split('\n')[0]).toBe(headline(state))
        expect(references.readLine(text, CHAT)).toBe(question.id)
      }),
      RUNS,
    )
  })

  test('holds the whole question when the open card came without a file', () => {
    const decidedBy = { channel: 'telegram', id: '501', name: 'Ann' }
    const text = 'y'.repeat(4_000)
    const wrong: number[] = []
    for (let length = 2_000; length <= 4_000; length += 50) {
      const open = aRequest({ question: { message: 'x'.repeat(length) } })
      const answered = { status: 'decided', outcome: 'answered', decidedBy } as const
      const state = aState({ ...answered, response: text, comment: text, settledAt: SETTLED_AT })
      const settled = settledCard({ ...open, state }, references, CHAT)
      const hasFile = openCard(open, references, CHAT).attachment !== undefined
      if (settled.text.includes('not all of it') && !hasFile) wrong.push(length)
    }
    expect(wrong).toEqual([])
  })
})

describe('the headline', () => {
  const decidedBy = { channel: 'telegram', id: '501', name: 'Ann\n\u202eLee' }

  test.each([
    ['approved', '✅ Approved by Ann ⏎ ⟨U+202E⟩Lee, 2026-01-02 03:05 UTC'],
    ['rejected', '❌ Rejected by Ann ⏎ ⟨U+202E⟩Lee, 2026-01-02 03:05 UTC'],
    ['answered', '💬 Answered by Ann ⏎ ⟨U+202E⟩Lee, 2026-01-02 03:05 UTC'],
  ] as const)('of what is %s says who and when', (outcome, words) => {
    const settledAt = SETTLED_AT
    expect(headline(aState({ status: 'decided', outcome, decidedBy, settledAt }))).toBe(words)
  })

  test('of what nobody decided names nobody', () => {
    const [expired, canceled] = (['expired', 'canceled'] as const).map((outcome) =>
      headline(aState({ status: outcome, outcome, settledAt: SETTLED_AT })),
    )
    expect(expired).toBe('⌛ Expired, 2026-01-02 03:05 UTC: nobody answered in time')
    expect(canceled).toMatch(/^🚫 Canceled.*2026-01-02 03:05 UTC$/)
  })
})

describe('the keyboard', () => {
  test('has one button per option, in their order, each with data of its own', () => {
    fc.assert(
      fc.property(requestOf, ({ question }) => {
        const { inline_keyboard: rows } = keyboard(question, references, CHAT)
        expect(rows.map((row) => row.length)).toEqual(question.options.map(() => 1))
        for (const [i, row] of rows.entries()) {
          const [button] = row
          const data = button && 'callback_data' in button ? button.callback_data : ''
          expect(Buffer.byteLength(data)).toBeLessThanOrEqual(64)
          expect(references.readButton(data, CHAT)).toEqual({ requestId: question.id, option: i })
          expect(button?.text.trim()).not.toBe('')
          expect(button?.text).not.toContain('\n')
        }
      }),
      RUNS,
    )
  })

  test('is green for what approves and red for what refuses', () => {
    const { inline_keyboard: rows } = keyboard(aQuestion(), references, CHAT)
    expect(rows.flat().map(({ style }) => style)).toEqual(['success', 'danger', undefined])
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Effect,
  type Option,
  readLabel,
  settleEffects,
  wordsOf,
} from '../../../src/core/approval.ts'
import { CONSENTS, HEDGES, REFUSALS } from '../../../src/core/words.ts'

const plain = (labels: readonly string[]): Option[] =>
  settleEffects(labels.map((label) => ({ label })))

const effectsOf = (options: readonly Option[]) => options.map(({ effect }) => effect)

describe('whatever the labels are', () => {
  const nouns = ['ship it', 'flag', 'merge', 'ja', 'nein', 'staging', 'the users', '42', 'déploie']
  const phrase = fc.constantFrom(...REFUSALS, ...HEDGES, ...CONSENTS, ...nouns)
  const label = fc.array(phrase, { minLength: 1, maxLength: 3 }).map((words) => words.join(' '))
  const refusing = fc.constantFrom(...REFUSALS)
  const hedging = fc.constantFrom(...HEDGES)
  const effect = fc.constantFrom<Effect>('approve', 'reject', 'other')
  const labels = fc.array(label, { maxLength: 6 })
  /** What may stand around a word without changing what it says. */
  const wrapping = fc.constantFrom(
    ...['', ' ', '🚀', '⏸️', '👍🏽', '❌ ', '!', '…', '«', '»', '(', ')', '*', '_', '- ', '— '],
    ...[
      '\u200b',
      '\u200d',
      '\ufe0f',
      '\u00ad',
      '\u2060',
      '\ufeff',
      '\u2067',
      '\u061c',
      '🇩🇪',
      '\u00a0',
    ],
  )
  const casing = fc.constantFrom<(text: string) => string>(
    (text) => text,
    (text) => text.toUpperCase(),
    (text) => text.charAt(0).toUpperCase() + text.slice(1),
    // The letters of ASCII at full width, which NFKC takes back.
    (text) =>
      text.replace(/[!-~]/g, (char) => String.fromCodePoint((char.codePointAt(0) ?? 0) + 0xfee0)),
  )

  test('A2: a label that begins with a refusal never approves, in whatever company', () => {
    fc.assert(
      fc.property(refusing, label, labels, fc.nat(6), (refusal, rest, others, at) => {
        const refused = `${refusal} ${rest}`
        const options = plain(others.toSpliced(at, 0, refused))
        expect(options.find((option) => option.label === refused)?.effect).not.toBe('approve')
      }),
    )
  })

  test('A2: a label that is a refusal or a hedge never approves, in whatever company', () => {
    fc.assert(
      fc.property(fc.oneof(refusing, hedging), labels, fc.nat(6), (refused, others, at) => {
        const options = plain(others.toSpliced(at, 0, refused))
        expect(options.find((option) => option.label === refused)?.effect).not.toBe('approve')
      }),
    )
  })

  test('A3: at most one plain label approves, and it is a yes or the first', () => {
    fc.assert(
      fc.property(labels, (given) => {
        const options = plain(given)
        const approving = options.filter((option) => option.effect === 'approve')
        expect(approving.length).toBeLessThanOrEqual(1)
        for (const option of approving) {
          expect(readLabel(option.label) === 'yes' || option === options[0]).toBe(true)
        }
      }),
    )
  })

  test('A3: the first label that is nothing but a yes approves', () => {
    fc.assert(
      fc.property(labels, (given) => {
        const yes = given.findIndex((one) => readLabel(one) === 'yes')
        fc.pre(yes >= 0)
        const options = plain(given)
        expect(options.findIndex((option) => option.effect === 'approve')).toBe(yes)
      }),
    )
  })

  test('A1: what is declared is what holds, and nothing else is declared away', () => {
    const declared = fc.array(fc.record({ label, effect: fc.option(effect, { nil: undefined }) }))
    fc.assert(
      fc.property(declared, (options) => {
        const settled = settleEffects(options)
        expect(settled.map((option) => option.label)).toEqual(options.map((option) => option.label))
        for (const [i, option] of options.entries()) {
          if (option.effect) expect(settled[i]?.effect).toBe(option.effect)
        }
      }),
    )
  })

  test('A2: case, emoji, punctuation and invisible characters around the words change no effect', () => {
    const worded = fc.array(fc.array(phrase, { minLength: 1, maxLength: 3 }), { maxLength: 4 })
    fc.assert(
      fc.property(
        worded,
        fc.array(wrapping, { minLength: 1, maxLength: 8 }),
        casing,
        (given, around, cased) => {
          let next = 0
          const wrap = () => around[next++ % around.length] ?? ''
          const dressed = given.map((words) =>
            words
              .flatMap((one) => one.split(' '))
              .map((word) => `${wrap()}${cased(word)}${wrap()}`)
              .join(' '),
          )
          const bare = plain(given.map((words) => words.join(' ')))
          expect(effectsOf(plain(dressed))).toEqual(effectsOf(bare))
        },
      ),
    )
  })

  test('A5: text in any script neither throws nor approves by accident', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'binary', maxLength: 12 }), { maxLength: 4 }),
        (given) => {
          const options = plain(given)
          expect(options.map((option) => option.label)).toEqual(given)
          for (const option of options) {
            if (option.effect === 'approve') expect(wordsOf(option.label)).not.toEqual([])
          }
        },
      ),
    )
  })
})

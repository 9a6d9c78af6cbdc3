import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseSubmission } from '../../../src/protocol/requests.ts'
import { wrongPaths } from './refusals.ts'

/** Labels that are not what they look like. Which letters look alike is the standard's (UTS #39). */

type Given = string | { label: string; effect: string }

const submit = (...options: Given[]) =>
  parseSubmission(
    { session_id: 's', client_id: 'c', message: 'Deploy?', options },
    { timeoutSeconds: 300 },
  )

const wrong = (...options: Given[]) => wrongPaths(() => submit(...options))

describe('A6: two labels that look alike are refused', () => {
  test.each([
    ['Deploy', 'Dеploy', 'a Cyrillic е'],
    ['Yes', 'Υes', 'a Greek Υ'],
    ['OK', 'ОК', 'Cyrillic letters only'],
    ['Deploy', 'Ｄｅｐｌｏｙ', 'full-width letters'],
    ['Deploy', '𝐃𝐞𝐩𝐥𝐨𝐲', 'mathematical letters'],
    ['fix', 'ﬁx', 'a ligature'],
    ['AI', 'AӀ', 'a Cyrillic palochka'],
    ['Вариант А', 'Вариант A', 'one Latin letter among Cyrillic ones'],
    ['Deploy…', 'Deploy...', 'dots'],
    ['口', 'ロ', 'a Chinese character and a Japanese one'],
    ['Yes', 'Yes\u{E0100}', 'a selector that is not seen'],
    ['Yes', 'Yes\u{E0041}', 'a tag that is not seen'],
  ])('%s and %s: %s', (one, other) => {
    expect(wrong(one, other)).toEqual(['/options/1'])
    expect(wrong(other, 'Cancel', one)).toContain('/options/2')
  })

  test.each([
    ...[
      ['Yes', 'yes'],
      ['A B', 'AB'],
      ['1', '2'],
      ['✅', '❌'],
      ['é', 'è'],
      ['👍', '👍🏽'],
    ],
    ...[
      ['да', 'нет'],
      ['はい', 'いいえ'],
      ['同意', '拒绝'],
      ['نعم', 'لا'],
      ['ja', 'nein'],
    ],
    ...[
      ['Up', 'Down'],
      ['10', '11'],
      ['v1.0', 'v1.1'],
      ['♥', '❤️'],
      ['ναι', 'όχι'],
    ],
    ...[
      ['Option 1', 'Option l'],
      ['Node 10', 'Node 1O'],
      ['main', 'rnain'],
      ['modern', 'modem'],
      ['O', '0'],
      ['Вариант 1', 'Вариант I'],
    ],
  ])('but not %s and %s', (one, other) => {
    expect(wrong(one, other)).toEqual([])
    expect(wrong(other, one)).toEqual([])
  })
})

describe('A6: a label that looks like a refusal never approves', () => {
  const ofOneAlphabet = [
    ...['Νο', 'N0', 'Ho1d', 'HoId', 'disrniss', '🅽🅾', '🅝🅞 thanks', 'Νο way', '❌ Νο'],
    ...['1ater', 'Ν'],
  ]
  const mixed = ['Dеny', 'Rejеct', 'ѕtop', 'НОLD', 'Νever', 'Please dоn’t']

  test.each(ofOneAlphabet)('by its place: %s', (label) => {
    expect(submit(label, 'Cancel').options[0]).toEqual({ label, effect: 'other' })
  })

  test.each(mixed)('and is refused when it mixes alphabets: %s', (label) => {
    expect(wrong(label, 'Cancel')).toEqual(['/options/0'])
  })

  const refusing = [...ofOneAlphabet, ...mixed].filter((label) => label !== '1ater')
  test.each(refusing)('by what is declared: %s', (label) => {
    expect(wrong({ label, effect: 'approve' }, 'Cancel')).toEqual(['/options/0'])
  })

  test('which keeps none from what people name', () => {
    expect(wrong('N0', 'N1', 'N2')).toEqual([])
    expect(wrong('Ν', 'Ο')).toEqual([])
  })

  test.each(['Νο', 'N0', '🅽🅾'])('and may refuse or answer, when that is declared: %s', (label) => {
    for (const effect of ['reject', 'other']) expect(wrong({ label, effect }, 'Go')).toEqual([])
  })

  test('whichever letters of a refusal are others', () => {
    const others = {
      o: 'ο',
      e: 'е',
      a: 'а',
      c: 'с',
      p: 'р',
      i: 'і',
      s: 'ѕ',
      j: 'ј',
      y: 'у',
      d: 'ԁ',
    }
    const word = fc.constantFrom(
      'no',
      'deny',
      'reject',
      'cancel',
      'decline',
      'dismiss',
      'skip',
      'stop',
    )
    fc.assert(
      fc.property(word, fc.array(fc.boolean(), { minLength: 7, maxLength: 7 }), (text, flips) => {
        const label = Array.from(text, (letter, i) =>
          flips[i] ? (others[letter as keyof typeof others] ?? letter) : letter,
        ).join('')
        let approves = false
        try {
          approves = submit(label, 'Cancel it').options[0]?.effect === 'approve'
        } catch {
          // Refused: nothing approves.
        }
        expect(approves).toBe(false)
      }),
    )
  })
})

describe('A6: a label that mixes alphabets to look like a word is refused', () => {
  test.each(['Yеs', 'Аpprove', 'Dерlоу', 'Cоnfirm', 'Wаit', 'Ηold'])('%s', (label) => {
    expect(wrong('Other', label)).toEqual(['/options/1'])
    expect(wrong('Other', { label, effect: 'other' })).toEqual(['/options/1'])
  })

  test.each([
    ...['μService', '10 µs', 'ΔT', 'Übernehmen', 'Да', 'ОК', 'Нет', 'по почте', 'Но', 'はい OK'],
    ...['№ 1', 'naïve', 'Ναι', 'Deploy to N1', 'Dismiss', 'I agree', 'Illegal', 'Confirm'],
  ])('but not what people write: %s', (label) => {
    expect(wrong(label, 'Other')).toEqual([])
  })
})

describe('A6: a label that imitates our marks is refused', () => {
  test.each(['⟨U+200B⟩', 'Yes ⟨3 blank lines⟩', '⟨approves'])('%s', (label) => {
    expect(wrong('Other', label)).toEqual(['/options/1'])
  })
})

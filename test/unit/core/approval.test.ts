import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Effect,
  type Option,
  type PlainOption,
  readLabel,
  readText,
  settleEffects,
  wordsOf,
} from '../../../src/core/approval.ts'
import { CONSENTS, HEDGES, REFUSALS } from '../../../src/core/words.ts'

const plain = (labels: readonly string[]): Option[] =>
  settleEffects(labels.map((label) => ({ label })))

/** `Deploy:approve, Hold:reject` */
const effectsOf = (options: readonly Option[]) => options.map(({ effect }) => effect)

const approvingOf = (options: readonly Option[]) =>
  options.filter(({ effect }) => effect === 'approve').map(({ label }) => label)

describe('the effects of plain labels', () => {
  const EXAMPLES: readonly [labels: string[], effects: Effect[]][] = [
    // The examples of the contract.
    [
      ['🚀 Deploy', '⏸️ Hold', '🔍 Review First'],
      ['approve', 'reject', 'other'],
    ],
    [
      ['No', 'Yes'],
      ['reject', 'approve'],
    ],
    [
      ['Deploy', 'Cancel', 'Deploy to Staging First'],
      ['approve', 'reject', 'other'],
    ],
    [
      ['Ship it', 'Cancel'],
      ['approve', 'reject'],
    ],
    [
      ['Flag', 'Approve', 'Needs Review'],
      ['other', 'approve', 'other'],
    ],
    [
      ['Review First', 'Deploy now', 'Cancel'],
      ['other', 'other', 'reject'],
    ],
    [
      ['Nein', 'Ja'],
      ['other', 'other'],
    ],
    // The first option approves only beside a refusal, and only when nothing is plainly a yes.
    [
      ['Ship it', 'Ask me later'],
      ['other', 'other'],
    ],
    [
      ['Ship it', 'Yes', 'No'],
      ['other', 'approve', 'reject'],
    ],
    [
      ['Yes', 'OK', 'No'],
      ['approve', 'other', 'reject'],
    ],
    [
      ['Cancel', 'Ship it'],
      ['reject', 'other'],
    ],
    [
      ['Later', 'Ship it', 'No'],
      ['other', 'other', 'reject'],
    ],
    [['Ship it'], ['other']],
    [['Yes'], ['approve']],
    [[], []],
    // The longer phrase wins.
    [
      ['Not sure', 'Yes'],
      ['other', 'approve'],
    ],
    [
      ['Not yet', 'No way'],
      ['other', 'reject'],
    ],
    [
      ["I don't know", "I don't"],
      ['other', 'reject'],
    ],
    [
      ['No idea', 'No'],
      ['other', 'reject'],
    ],
    // A refusal at the start, whatever follows.
    [
      ['No, deploy it to staging', 'Go ahead'],
      ['reject', 'approve'],
    ],
    [
      ['Do not deploy', 'Deploy'],
      ['reject', 'approve'],
    ],
    [
      ['Please stop', 'Oh no', 'Yes please'],
      ['reject', 'reject', 'approve'],
    ],
    // Not a whole word, or not at the start.
    [
      ['Nobody', 'Notify', 'Stopwatch', 'Yes'],
      ['other', 'other', 'other', 'approve'],
    ],
    [
      ['Nothing to stop', 'Cancel'],
      ['approve', 'reject'],
    ],
    // A label without a word says nothing that could be an approval.
    [
      ['❌', 'No'],
      ['other', 'reject'],
    ],
    [
      ['👍', '👎'],
      ['other', 'other'],
    ],
  ]

  test.each(EXAMPLES)('%j is %j', (labels, effects) => {
    expect(effectsOf(plain(labels))).toEqual(effects)
  })

  test.each([
    ...[
      'NO',
      'ＮＯ',
      '𝗡𝗼',
      'n\u200bo',
      'N\u00ado',
      '\u2066no\u2069',
      '❌ No',
      '🚫No!',
      '(no)',
      '‑ no',
    ],
    ...["Don't", 'Don’t', 'DON‘T', 'donʼt', 'Don＇t', 'don`t', 'Dont', 'ＤＯＮ’Ｔ deploy'],
    ...['- Reject', '👨‍👩‍👧 Stop', '🏴󠁧󠁢󠁥󠁮󠁧󠁿 Deny', '👎🏽 Decline', 'No\u3164', '\ufeffCancel'],
  ])('A2: %j does not approve', (label) => {
    expect(approvingOf(plain([label, 'No', 'Cancel']))).toEqual([])
  })

  test.each([
    ...['1️⃣ No', '2️⃣ Cancel', '#️⃣ Stop', '*️⃣ Reject', '0⃣ Deny'],
    ...[
      'Ⓜ️ No',
      'ℹ️ Cancel',
      '™️ Stop',
      '㊗️ No',
      '🈁 Reject',
      '🈚 Deny',
      '🅰️ No',
      '🆗 No',
      'Ⓜ No',
      '™ Stop',
      '㊗ Deny',
    ],
  ])('A2: labels are compared without emoji, and so %j does not approve', (label) => {
    expect(readLabel(label)).toBe('refusal')
    expect(approvingOf(plain([label, 'Cancel']))).toEqual([])
  })

  test.each(['1. No', '2) Cancel', '(3) Stop', '#4: Reject'])(
    'A5: a number before the words says nothing, and so %j does not approve',
    (label) => {
      expect(approvingOf(plain([label, 'Cancel']))).toEqual([])
    },
  )

  test.each(['Don´t deploy', 'Don′t deploy', 'Donʹt deploy', 'Don‛t deploy', 'Don՚t deploy'])(
    'A2: %j is a refusal, however its apostrophe is typed',
    (label) => {
      expect(approvingOf(plain([label, 'Cancel']))).toEqual([])
    },
  )
})

describe('declared effects', () => {
  test('A1: a declared effect is final', () => {
    const declared: PlainOption[] = [
      { label: 'Yes', effect: 'reject' },
      { label: 'Later', effect: 'approve' },
      { label: 'Ship it', effect: 'other' },
      { label: 'No', effect: 'other' },
    ]
    expect(settleEffects(declared)).toEqual(declared)
  })

  test('A3: a declared effect takes no place from the labels that declare none', () => {
    const options = [
      { label: 'Maybe', effect: 'approve' },
      { label: 'Yes' },
      { label: 'OK' },
    ] as const
    expect(effectsOf(settleEffects(options))).toEqual(['approve', 'approve', 'other'])
  })

  test('A3: the first option approves by its place only when it declares nothing itself', () => {
    const options = [
      { label: 'Ship it', effect: 'other' },
      { label: 'Now' },
      { label: 'No' },
    ] as const
    expect(effectsOf(settleEffects(options))).toEqual(['other', 'other', 'reject'])
  })

  test('A3: a label that refuses counts as one, also when it declares an effect', () => {
    const options = [{ label: 'Ship it' }, { label: 'Cancel', effect: 'other' }] as const
    expect(effectsOf(settleEffects(options))).toEqual(['approve', 'other'])
  })
})

describe('the words of the table', () => {
  test.each([
    ['REFUSALS', REFUSALS],
    ['HEDGES', HEDGES],
    ['CONSENTS', CONSENTS],
  ])('%s are as they are compared, and none is there twice', (_, table) => {
    for (const phrase of table) expect(wordsOf(phrase).join(' ')).toBe(phrase)
    expect(new Set(table).size).toBe(table.length)
  })

  test('no phrase is a consent and also a refusal or a hedge', () => {
    const others = new Set([...REFUSALS, ...HEDGES])
    expect(CONSENTS.filter((phrase) => others.has(phrase))).toEqual([])
  })

  test('A2: each word that the contract names reads as it says', () => {
    const refusals = 'no, cancel, reject, deny, decline, hold, stop, abort, don’t, do not, never'
    const hedges = 'wait, later, maybe, review, needs review, ask, escalate, more info'
    const consents = 'yes, ok, approve, allow, confirm, accept, proceed, execute, go, deploy'
    for (const word of refusals.split(', ')) expect(readLabel(word), word).toBe('refusal')
    for (const word of hedges.split(', ')) expect(readLabel(word), word).toBe('hedge')
    for (const word of consents.split(', ')) expect(readLabel(word), word).toBe('yes')
  })
})

describe('A4: a text', () => {
  test.each<[string, Effect]>([
    ['yes', 'approve'],
    ['Yes!', 'approve'],
    ['YES PLEASE 🙏', 'approve'],
    ['ok, go ahead', 'approve'],
    ['Yes. Deploy.', 'approve'],
    ['looks good', 'approve'],
    ['go for it', 'approve'],
    ['no', 'reject'],
    ['No!!!', 'reject'],
    ['no, no, no', 'reject'],
    ["Don't", 'reject'],
    ['never', 'reject'],
    ['absolutely not', 'reject'],
    ['yes, but not today', 'other'],
    ['no problem', 'other'],
    ['yes no', 'other'],
    ['not sure', 'other'],
    ['maybe', 'other'],
    ['yes if the tests pass', 'other'],
    ['ja', 'other'],
    ['👍', 'other'],
    ['', 'other'],
    [' ', 'other'],
    ['yesterday', 'other'],
    ['42', 'other'],
  ])('%j means %s', (text, effect) => {
    expect(readText(text)).toBe(effect)
  })

  test('that is more than a yes never approves', () => {
    const word = fc.constantFrom('but', 'if', 'when', 'only', 'staging', 'tomorrow', 'not', 'no')
    fc.assert(
      fc.property(fc.constantFrom(...CONSENTS), word, fc.boolean(), (yes, more, isFirst) => {
        expect(readText(isFirst ? `${more} ${yes}` : `${yes} ${more}`)).not.toBe('approve')
      }),
    )
  })
})

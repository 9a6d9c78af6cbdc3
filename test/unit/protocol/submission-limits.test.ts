import { describe, expect, test } from 'vitest'
import { MAX_BODY_BYTES, parseSubmission } from '../../../src/protocol/requests.ts'
import { wrongPaths } from './refusals.ts'

const VALID = { session_id: 's', client_id: 'c', message: 'Deploy?' }

const wrong = (fields: object) =>
  wrongPaths(() => parseSubmission({ ...VALID, ...fields }, { timeoutSeconds: 300 }))

const labels = (count: number) => Array.from({ length: count }, (_, i) => `Option ${i}`)

/** A limit: what is taken at the edge, and what is refused one beyond it, at which path. */
type Limit = readonly [what: string, taken: object[], refused: object[], path: string]

const LIMITS: Limit[] = [
  [
    'a message of 1 to 20,000 code points',
    [{ message: 'x' }, { message: 'x'.repeat(20_000) }, { message: '🚀'.repeat(20_000) }],
    [{ message: '' }, { message: 'x'.repeat(20_001) }, { message: '🚀'.repeat(20_001) }],
    '/message',
  ],
  [
    'a message that is not only blanks',
    [{ message: ' x ' }, { message: '\n.\n' }],
    [' ', '\n\t ', '\u00a0', '\u3000', '\u200b', '\u2060\ufeff', '\u3164', '\u00ad'].map(
      (message) => ({ message }),
    ),
    '/message',
  ],
  [
    '1 to 20 options',
    [{ options: labels(1) }, { options: labels(20) }],
    [{ options: labels(21) }],
    '/options',
  ],
  [
    'a label of 1 to 100 code points',
    ['x', 'x'.repeat(100), '🚀'.repeat(100)].map((text) => ({ options: [{ label: text }] })),
    ['x'.repeat(101), '🚀'.repeat(101), '', ' ', '\u200b', 7, null, undefined].map((text) => ({
      options: [{ label: text }],
    })),
    '/options/0/label',
  ],
  [
    'labels that stay distinct without what nobody sees',
    [
      { options: ['Yes', 'yes'] },
      { options: ['A B', 'AB'] },
      { options: ['1', '2'] },
      { options: ['✅', '❌'] },
    ],
    [
      { options: ['Yes', 'Yes'] },
      { options: ['Yes', 'Y\u200bes'] },
      { options: ['Yes', ' Yes '] },
      { options: ['Yes', 'Yes\ufeff'] },
      { options: ['Yes', 'Yes\u3164'] },
      { options: ['A B', 'A  B'] },
      { options: ['é', 'e\u0301'] },
      { options: ['Yes', '\u202eYes'] },
      { options: ['Yes', { label: 'Yes', effect: 'reject' }] },
    ],
    '/options/1',
  ],
  [
    'metadata of 32 KiB of JSON',
    // {"a":"…"} is eight bytes beside the text.
    [
      { metadata: { a: 'x'.repeat(32_760) } },
      { metadata: { a: 'é'.repeat(16_380) } },
      { metadata: {} },
    ],
    [{ metadata: { a: 'x'.repeat(32_761) } }, { metadata: { a: 'é'.repeat(16_381) } }],
    '/metadata',
  ],
  [
    'metadata that is an object',
    [{ metadata: { a: [1, null, { b: true }] } }],
    [{ metadata: [] }, { metadata: 'x' }, { metadata: 1 }],
    '/metadata',
  ],
  [
    'a timeout of 1 to 2,592,000 whole seconds',
    [{ timeout_seconds: 1 }, { timeout_seconds: 2_592_000 }, { timeout_seconds: 60.0 }],
    [0, -1, 2_592_001, 1.5, '60', true, null].map((timeout_seconds) => ({ timeout_seconds })),
    '/timeout_seconds',
  ],
  [
    'an approval that may be acted on for a second or longer',
    [{ approval_ttl_seconds: 1 }, { approval_ttl_seconds: Number.MAX_SAFE_INTEGER }],
    [0, -1, 1.5, '900', null].map((approval_ttl_seconds) => ({ approval_ttl_seconds })),
    '/approval_ttl_seconds',
  ],
  [
    'a request type of the three',
    [{ request_type: 'input' }, { request_type: 'confirmation' }],
    [{ request_type: 'Choice' }, { request_type: '' }, { request_type: null }],
    '/request_type',
  ],
  [
    'options for a choice',
    [{ request_type: 'choice', options: ['A'] }],
    [{ request_type: 'choice' }],
    '/options',
  ],
  [
    'options that are labels or objects with one',
    [
      { options: ['A'] },
      { options: [{ label: 'A' }] },
      { options: [{ label: 'A', effect: 'other' }] },
    ],
    [{ options: [7] }, { options: [null] }, { options: [['A']] }],
    '/options/0',
  ],
  [
    'effects of the three',
    [{ options: [{ label: 'Later', effect: 'approve' }] }],
    [{ options: [{ label: 'A', effect: 'Approve' }] }, { options: [{ label: 'A', effect: null }] }],
    '/options/0/effect',
  ],
  [
    'no callback where nothing judges its address',
    [{}],
    [{ callback_url: 'https://example.com' }, { callback_url: null }],
    '/callback_url',
  ],
  ...(['session_id', 'client_id', 'idempotency_key'] as const).map(
    (field): Limit => [
      `a ${field} of 1 to 200 printable code points`,
      [...['x', 'x'.repeat(200), '🚀'.repeat(200), 'with space', 'ünïcode', '日本', 'a:b/c#d']].map(
        (value) => ({ [field]: value }),
      ),
      [
        ...['', ' ', 'x'.repeat(201), '🚀'.repeat(201), 'a\nb', 'a\tb', 'a\u200bb', 'a\u202eb'],
        ...['a\u2028b', '\u007f', '\ufeffa', 'a\u00adb', 7, null, ['a']],
      ].map((value) => ({ [field]: value })),
      `/${field}`,
    ],
  ),
]

describe.each(LIMITS)('a submission has %s', (_, taken, refused, path) => {
  test.each(taken.map((fields) => [label(fields), fields] as const))('taken: %s', (__, fields) => {
    expect(wrong(fields)).toEqual([])
  })

  test.each(refused.map((fields) => [label(fields), fields] as const))(
    'refused: %s',
    (__, fields) => {
      expect(wrong(fields)).toEqual([path])
    },
  )
})

/** Of a case in the table; long texts are cut. */
function label(fields: object): string {
  const text = JSON.stringify(fields)
  return text.length > 60 ? `${text.slice(0, 40)}… (${text.length})` : text
}

test('a body is at most 256 KiB', () => {
  expect(MAX_BODY_BYTES).toBe(262_144)
})

import { describe, expect, test } from 'vitest'
import { parseSubmission } from '../../../src/protocol/requests.ts'
import { wrongPaths } from './refusals.ts'

const VALID = { session_id: 's', client_id: 'c', message: 'Deploy?' }
const DEFAULTS = { timeoutSeconds: 300 }

const parse = (fields: object, key?: string) =>
  parseSubmission({ ...VALID, ...fields }, DEFAULTS, key)

/** As it comes off the wire. */
const parseText = (text: string) => parseSubmission(JSON.parse(text), DEFAULTS)

const wrong = (fields: object, key?: string) => wrongPaths(() => parse(fields, key))

/** Arrays in arrays, `depth` of them. */
const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)])

describe('a submission', () => {
  test('has its normal form', () => {
    expect(parse({})).toEqual({
      sessionId: 's',
      clientId: 'c',
      message: 'Deploy?',
      type: 'confirmation',
      options: [],
      metadata: {},
      timeoutSeconds: 300,
      approvalTtlSeconds: undefined,
      idempotency: undefined,
    })
  })

  test('takes everything that it may have', () => {
    const full = {
      request_type: 'choice',
      options: ['Yes', { label: 'No' }, { label: 'Later', effect: 'reject' }],
      timeout_seconds: 60,
      metadata: { version: 'v2' },
      approval_ttl_seconds: 900,
      idempotency_key: 'k',
    }
    expect(parse(full)).toMatchObject({
      type: 'choice',
      options: [
        { label: 'Yes', effect: 'approve' },
        { label: 'No', effect: 'reject' },
        { label: 'Later', effect: 'reject' },
      ],
      timeoutSeconds: 60,
      metadata: { version: 'v2' },
      approvalTtlSeconds: 900,
      idempotency: { key: 'k' },
    })
  })

  test('ignores fields that nobody knows', () => {
    expect(parse({ colour: 'green' })).not.toHaveProperty('colour')
  })

  test.each([
    ['nothing', undefined],
    ['null', null],
    ['a text', 'Deploy?'],
    ['a list', [VALID]],
    ['a number', 7],
  ])('is an object, and so not %s', (_, body) => {
    expect(wrongPaths(() => parseSubmission(body, DEFAULTS))).toEqual([''])
  })

  test('names everything that is wrong at once', () => {
    const body = { session_id: '', message: ' ', timeout_seconds: 0, options: ['A', 'A'] }
    expect(wrongPaths(() => parseSubmission(body, DEFAULTS))).toEqual([
      '/client_id',
      '/message',
      '/options/1',
      '/session_id',
      '/timeout_seconds',
    ])
  })

  test('names a field by JSON Pointer, escaped', () => {
    expect(wrong({ metadata: { 'a/b~c': ['\0'] } })).toEqual(['/metadata/a~1b~0c/0'])
  })
})

test('a label that stands alone is named by its own place, since there is nothing inside it', () => {
  for (const text of ['', 'x'.repeat(101)]) {
    expect(wrong({ options: ['A', text] })).toEqual(['/options/1'])
  }
})

describe('null', () => {
  test('is as good as absent for options and metadata alone', () => {
    expect(parse({ options: null, metadata: null })).toEqual(parse({}))
    const others = ['session_id', 'client_id', 'message', 'request_type', 'timeout_seconds']
    for (const field of [...others, 'approval_ttl_seconds', 'idempotency_key']) {
      expect(wrong({ [field]: null })).toEqual([`/${field}`])
    }
  })

  test('no options are none', () => {
    expect(parse({ options: [] })).toMatchObject({ type: 'confirmation', options: [] })
  })
})

describe('the type of a request', () => {
  test('is a choice with options, else a confirmation, unless it is named', () => {
    expect(parse({ options: ['A'] }).type).toBe('choice')
    expect(parse({}).type).toBe('confirmation')
    expect(parse({ options: ['A'], request_type: 'confirmation' }).type).toBe('confirmation')
    expect(parse({ request_type: 'input' }).type).toBe('input')
  })
})

describe('A1: a declared approve on a label that reads as a refusal', () => {
  test.each(['No', "🛑 Don't deploy", 'ＣＡＮＣＥＬ', 'Please hold'])(
    'is refused: %j',
    (refusal) => {
      const options = ['Deploy', { label: refusal, effect: 'approve' }]
      expect(wrong({ options })).toEqual(['/options/1/effect'])
      for (const effect of ['reject', 'other']) {
        expect(wrong({ options: [{ label: refusal, effect }] })).toEqual([])
      }
    },
  )
})

describe('what can not be stored, shown or signed unchanged', () => {
  const places: [place: string, fields: (text: string) => object, path: string][] = [
    ['the message', (text) => ({ message: text }), '/message'],
    ['an id', (text) => ({ session_id: text }), '/session_id'],
    ['a label', (text) => ({ options: [text] }), '/options/0'],
    ['a value of the metadata', (text) => ({ metadata: { a: [text] } }), '/metadata/a/0'],
    ['a field that nobody knows', (text) => ({ colour: text }), '/colour'],
  ]

  test.each(places)('NUL is refused in %s', (_, fields, path) => {
    expect(wrong(fields('a\0b'))).toEqual([path])
  })

  test.each(places)('a lone surrogate is refused in %s', (_, fields, path) => {
    for (const text of ['a\ud83d', '\ude80b', '\ude80\ud83d']) {
      expect(wrong(fields(text))).toEqual([path])
    }
    expect(wrong(fields('a\ud83d\ude80'))).toEqual([])
  })

  test('a key is as good as a value', () => {
    expect(wrong({ metadata: { 'a\0': 1 } })).toEqual(['/metadata/a\0'])
    expect(wrong({ metadata: { '\ud83d': 1 } })).toEqual(['/metadata/\ud83d'])
  })

  test.each([
    '9007199254740992',
    '-9007199254740992',
    '1e400',
    '-1e400',
    '1e21',
    '123456789012345678901',
  ])('a number that JSON.parse has changed is refused: %s', (number) => {
    const text = `{"session_id":"s","client_id":"c","message":"m","metadata":{"n":${number}}}`
    expect(wrongPaths(() => parseText(text))).toEqual(['/metadata/n'])
  })

  test.each([Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 0, -0.5, 1e-7, 1.5])(
    'a number that JSON carries is taken: %d',
    (n) => {
      expect(parse({ metadata: { n } }).metadata).toEqual({ n })
    },
  )

  test.each([
    [
      '{"session_id":"s","client_id":"c","message":"m","metadata":{"__proto__":1}}',
      '/metadata/__proto__',
    ],
    [
      '{"session_id":"s","client_id":"c","message":"m","metadata":{"a":[{"__proto__":{}}]}}',
      '/metadata/a/0/__proto__',
    ],
    [
      '{"session_id":"s","client_id":"c","message":"m","__proto__":{"options":["A"]}}',
      '/__proto__',
    ],
  ])('a key that reaches the prototype is refused: %s', (text, path) => {
    expect(wrongPaths(() => parseText(text))).toEqual([path])
  })

  test('keys that only look dangerous are kept as they are', () => {
    const metadata = { constructor: 1, prototype: 2, toString: 3, hasOwnProperty: 4 }
    expect(parse({ metadata }).metadata).toEqual(metadata)
  })

  test('32 levels are taken and 33 are not', () => {
    // The body is the first level and the metadata the second.
    expect(wrong({ metadata: { a: nested(30) } })).toEqual([])
    expect(wrong({ metadata: { a: nested(31) } })).not.toEqual([])
    expect(wrong({ colour: nested(31) })).toEqual([])
    expect(wrong({ colour: nested(32) })).not.toEqual([])
  })
})

describe('an idempotency key', () => {
  test('comes in the body or in the header, the same in both', () => {
    const keyOf = (fields: object, key?: string) => parse(fields, key).idempotency?.key
    expect(keyOf({ idempotency_key: 'k' })).toBe('k')
    expect(keyOf({}, 'k')).toBe('k')
    expect(keyOf({ idempotency_key: 'k' }, 'k')).toBe('k')
    expect(keyOf({})).toBeUndefined()
    expect(wrong({ idempotency_key: 'k' }, 'another')).toEqual(['/idempotency_key'])
  })

  test.each(['', ' ', 'x'.repeat(201), 'a\u0007b'])(
    'of the header has the same limits: %j',
    (key) => {
      expect(wrong({}, key)).toEqual(['/idempotency-key'])
    },
  )

  const digest = (fields: object) =>
    parse({ idempotency_key: 'k', ...fields }).idempotency?.bodyDigest

  test('R10: stands for the body, however it is written', () => {
    const body = { metadata: { a: 1, b: [1, 2], c: { d: 1, e: 2 } }, timeout_seconds: 60 }
    const other = { timeout_seconds: 60.0, metadata: { c: { e: 2, d: 1 }, b: [1, 2], a: 1 } }
    expect(digest(other)).toBe(digest(body))
    expect(digest({ options: null })).toBe(digest({}))
    expect(digest({ idempotency_key: 'another' })).toBe(digest({}))
    expect(parse({}, 'k').idempotency?.bodyDigest).toBe(digest({}))
  })

  test('R10: does not stand for another body', () => {
    const bodies = [
      {},
      { message: 'deploy?' },
      { session_id: 't' },
      { client_id: 'd' },
      { options: ['A'] },
      { options: ['A', 'B'] },
      { options: ['B', 'A'] },
      { options: [{ label: 'A', effect: 'other' }] },
      { request_type: 'input' },
      { metadata: { a: 1 } },
      { metadata: { a: '1' } },
      { timeout_seconds: 60 },
      { approval_ttl_seconds: 60 },
    ]
    expect(new Set(bodies.map(digest)).size).toBe(bodies.length)
  })
})

import { describe, expect, test } from 'vitest'
import { Line } from '../../support/readers/line.ts'
import { personOf, serve } from '../../support/readers/server.ts'

const app = serve('postgres', { MAX_CONCURRENT_REQUESTS: '10000' })

const submit = (line: Line, fields: object) =>
  app().post('/hitl/request', {
    session_id: line.id,
    client_id: line.clientId,
    message: 'Deploy?',
    ...fields,
  })

const nested = (depth: number): object => (depth === 0 ? {} : { in: nested(depth - 1) })
const labels = (count: number) => Array.from({ length: count }, (_, i) => `Option ${i}`)

test('the answer is the view, with every field of the contract and no other', async () => {
  const line = await Line.open(app())
  const answer = await submit(line, {
    message: ' Deploy\n\tit? ',
    options: ['🚀 Deploy', { label: '⏸️ Hold' }, { label: 'Wait a bit', effect: 'reject' }],
    metadata: { z: 1, a: { ключ: [true, null, 1.5, 'x'] } },
    timeout_seconds: 60,
  })
  const view: object & Record<string, unknown> = { ...answer.body }
  expect(answer.status).toBe(200)
  expect(view).toEqual({
    success: true,
    request_id: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
    session_id: line.id,
    client_id: line.clientId,
    message: ' Deploy\n\tit? ',
    request_type: 'choice',
    options: [
      { label: '🚀 Deploy', effect: 'approve' },
      { label: '⏸️ Hold', effect: 'reject' },
      { label: 'Wait a bit', effect: 'reject' },
    ],
    metadata: { z: 1, a: { ключ: [true, null, 1.5, 'x'] } },
    status: 'pending',
    outcome: null,
    completed: false,
    approved: false,
    response: null,
    comment: null,
    decided_by: null,
    delivery: [],
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    expires_at: expect.any(String),
    responded_at: null,
    timestamp: view['created_at'],
    cursor: expect.any(String),
    receipt: null,
  })
  expect(JSON.stringify(view['metadata'])).toMatch(/^\{"z":1,"a":/)
  const lived = Date.parse(String(view['expires_at'])) - Date.parse(String(view['created_at']))
  expect(lived).toBe(60_000)
})

test.each([
  ['no options', {}, { request_type: 'confirmation', options: [] }],
  ['empty options', { options: [] }, { request_type: 'confirmation', options: [] }],
  ['null options', { options: null }, { request_type: 'confirmation', options: [] }],
  ['options', { options: ['A', 'B'] }, { request_type: 'choice' }],
  ['null metadata', { metadata: null }, { metadata: {} }],
  ['a named type', { request_type: 'input' }, { request_type: 'input', options: [] }],
  [
    'a confirmation with options',
    { request_type: 'confirmation', options: ['Yes', 'No'] },
    { request_type: 'confirmation' },
  ],
])('%s have their normal form in the view', async (_, fields, expected) => {
  const line = await Line.open(app())
  expect((await submit(line, fields)).body).toMatchObject(expected)
})

test('a request that names no timeout stays open for REQUEST_TIMEOUT, 300 s', async () => {
  const line = await Line.open(app())
  const { created_at, expires_at } = await line.ask()
  expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(300_000)
})

describe('what is wrong is 400 with its place, and the next request is taken', () => {
  test.each([
    ['no message', { message: undefined }, '/message'],
    ['an empty message', { message: '' }, '/message'],
    ['a message of blanks', { message: ' \n\t\u00a0\u3000 ' }, '/message'],
    ['a message that nobody can see', { message: '\u200b\u2060\ufeff' }, '/message'],
    ['a message of 20,001 characters', { message: '😀'.repeat(20_001) }, '/message'],
    ['a message that is a number', { message: 7 }, '/message'],
    ['a message that is null', { message: null }, '/message'],
    ['a message with NUL', { message: 'a\0b' }, '/message'],
    ['a message with half a character', { message: 'a\udc00b' }, '/message'],
    ['no session_id', { session_id: undefined }, '/session_id'],
    ['a session_id that is a list', { session_id: ['s'] }, '/session_id'],
    ['no client_id', { client_id: undefined }, '/client_id'],
    ['an unknown request_type', { request_type: 'question' }, '/request_type'],
    ['a request_type that is null', { request_type: null }, '/request_type'],
    ['a choice without options', { request_type: 'choice' }, '/options'],
    ['21 options', { options: labels(21) }, '/options'],
    ['options that are no list', { options: { label: 'A' } }, '/options'],
    ['options that are text', { options: 'Yes,No' }, '/options'],
    ['an option that is null', { options: ['A', null] }, '/options/1'],
    ['an option that is a number', { options: ['A', 2] }, '/options/1'],
    ['an option without a label', { options: [{ effect: 'approve' }] }, '/options/0/label'],
    ['an empty label', { options: [{ label: '' }] }, '/options/0/label'],
    ['a blank label', { options: [{ label: ' \u200b ' }] }, '/options/0/label'],
    ['a label of 101 characters', { options: [{ label: '😀'.repeat(101) }] }, '/options/0/label'],
    ['a label with NUL', { options: [{ label: 'a\0' }] }, '/options/0/label'],
    ['an unknown effect', { options: [{ label: 'A', effect: 'maybe' }] }, '/options/0/effect'],
    [
      'a refusal that approves',
      { options: [{ label: 'No', effect: 'approve' }] },
      '/options/0/effect',
    ],
    ['two equal labels', { options: ['A', 'B', 'A'] }, '/options/2'],
    ['labels that differ in what nobody sees', { options: ['Yes', 'Y\u200bes'] }, '/options/1'],
    ['metadata that is a list', { metadata: [] }, '/metadata'],
    ['metadata that is text', { metadata: '{}' }, '/metadata'],
    ['metadata over 32 KiB', { metadata: { a: 'é'.repeat(16_400) } }, '/metadata'],
    ['metadata with NUL in a key', { metadata: { 'a\0': 1 } }, '/metadata/a\0'],
    ['metadata with half a character', { metadata: { a: { b: '\ud800' } } }, '/metadata/a/b'],
    ['a path with ~ and /', { metadata: { 'a/b~c': '\0' } }, '/metadata/a~1b~0c'],
    ['a timeout of 0', { timeout_seconds: 0 }, '/timeout_seconds'],
    ['a timeout of -1', { timeout_seconds: -1 }, '/timeout_seconds'],
    ['a timeout of 1.5', { timeout_seconds: 1.5 }, '/timeout_seconds'],
    ['a timeout over 30 days', { timeout_seconds: 2_592_001 }, '/timeout_seconds'],
    ['a timeout that is text', { timeout_seconds: '60' }, '/timeout_seconds'],
    ['a timeout that is null', { timeout_seconds: null }, '/timeout_seconds'],
    ['a validity of 0', { approval_ttl_seconds: 0 }, '/approval_ttl_seconds'],
    ['a validity of 1.5', { approval_ttl_seconds: 1.5 }, '/approval_ttl_seconds'],
    ['a validity that is null', { approval_ttl_seconds: null }, '/approval_ttl_seconds'],
    ['an empty idempotency_key', { idempotency_key: '' }, '/idempotency_key'],
    ['a long idempotency_key', { idempotency_key: 'x'.repeat(201) }, '/idempotency_key'],
    ['an idempotency_key that is null', { idempotency_key: null }, '/idempotency_key'],
  ])('%s', async (_, fields, path) => {
    const line = await Line.open(app())
    const { status, headers, body } = await submit(line, fields)
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'INVALID_INPUT' })
    expect(headers.get('content-type')).toContain('application/problem+json')
    expect(body.errors?.map((error) => error.path)).toContain(path)
    expect(body.errors?.every(({ message }) => message.length > 0)).toBe(true)
    expect((await line.settled()).outcome).toBe('approved')
  })

  test.each([
    ['null', 'null'],
    ['a list', '[]'],
    ['text', '"message"'],
    ['a number', '7'],
    ['nothing', ''],
    ['half of it', '{"message":'],
    ['two of it', '{}{}'],
    ['NaN', '{"timeout_seconds":NaN}'],
    ['a number that is infinite', '{"timeout_seconds":1e999}'],
    ['brackets without end', '['.repeat(100_000)],
    ['a key that reaches the prototype', '{"metadata":{"__proto__":{"a":1}}}'],
  ])('a body that is %s', async (_, body) => {
    const answer = await app().post('/hitl/request', body)
    expect(answer.status).toBe(400)
    expect(answer.body.code).toBe('INVALID_INPUT')
  })

  test('every mistake is named at once', async () => {
    const line = await Line.open(app())
    const { body } = await submit(line, { message: '', timeout_seconds: 0, options: [7] })
    expect(body.errors?.map(({ path }) => path).sort()).toEqual([
      ...['/message', '/options/0', '/timeout_seconds'],
    ])
  })
})

test.each([
  ['a message of 20,000 characters', { message: '😀'.repeat(20_000) }],
  ['20 options', { options: labels(20) }],
  ['labels of 1 and 100 characters', { options: ['x', '😀'.repeat(100)] }],
  ['labels that differ in case', { options: ['yes', 'Yes'] }],
  ['metadata of 32 KiB', { metadata: { a: 'x'.repeat(32 * 1024 - 8) } }],
  ['the shortest timeout', { timeout_seconds: 1 }],
  ['the longest timeout', { timeout_seconds: 2_592_000 }],
  ['the shortest validity', { approval_ttl_seconds: 1 }],
  ['JSON 32 levels deep', { metadata: nested(30) }],
])('%s is taken', async (_, fields) => {
  const line = await Line.open(app())
  const { status, body } = await submit(line, fields)
  expect({ status, errors: body.errors }).toEqual({ status: 200, errors: undefined })
})

test('JSON 33 levels deep is 400', async () => {
  const line = await Line.open(app())
  const { status, body } = await submit(line, { metadata: nested(31) })
  expect({ status, code: body.code }).toEqual({ status: 400, code: 'INVALID_INPUT' })
})

test('a session that is not there is 404, an inactive one 400, another client 403', async () => {
  const line = await Line.open(app())
  const outcome = async (fields: object, headers = {}) => {
    const body = { session_id: line.id, client_id: line.clientId, message: 'x', ...fields }
    const answer = await app().post('/hitl/request', body, headers)
    return [answer.status, answer.body.code]
  }
  const stranger = { authorization: `Bearer ${await personOf(app(), 'elsewhere')}` }
  expect(await outcome({ session_id: 'nobody' })).toEqual([404, 'SESSION_NOT_FOUND'])
  expect(await outcome({}, stranger)).toEqual([404, 'SESSION_NOT_FOUND'])
  expect(await outcome({ client_id: 'other' })).toEqual([403, 'FORBIDDEN'])
  await app().post('/hitl/deactivate', line.target)
  expect(await outcome({})).toEqual([400, 'SESSION_INACTIVE'])
  expect(await line.log()).toEqual([])
})

import { describe, expect, test } from 'vitest'
import { ask, problemOf } from '../../support/readers/http.ts'
import { Line } from '../../support/readers/line.ts'
import { serve } from '../../support/readers/server.ts'
import { Wire } from '../../support/readers/wire.ts'

const app = serve('postgres')

const json = { 'content-type': 'application/json' }

const questionOf = (line: Line, fields: object = {}): string =>
  JSON.stringify({ session_id: line.id, client_id: line.clientId, message: 'Deploy?', ...fields })

const post = (body: string | Uint8Array, headers: Record<string, string> = json) =>
  ask(`${app().url}/hitl/request`, { method: 'POST', headers, body })

async function outcome(answer: ReturnType<typeof post>) {
  const { status, headers, text } = await answer
  expect(headers['content-type']).toContain('application/problem+json')
  return [status, problemOf({ status, headers, text }).code]
}

describe('the media type', () => {
  test.each([
    'application/json',
    'application/json;charset=utf-8',
    'application/json; charset=UTF-8',
    'application/json; charset="utf-8"',
    'Application/JSON',
  ])('%s is read', async (type) => {
    const line = await Line.open(app())
    const { status } = await post(questionOf(line, { message: 'é 😀' }), { 'content-type': type })
    expect(status).toBe(200)
    expect((await line.log())[0]?.data.message).toBe('é 😀')
  })

  test.each([
    'text/plain',
    'text/plain;charset=UTF-8',
    'text/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonp',
    'application/json\t;a',
    'application/json, text/plain',
    'text/plain; application/json',
    'application/json; charset=latin1',
    'application/json;charset=utf-16',
    'application/problem+json',
    'json',
    '*/*',
    '',
  ])('"%s" is 415, and nothing is asked', async (type) => {
    const line = await Line.open(app())
    expect(await outcome(post(questionOf(line), { 'content-type': type }))).toEqual([
      ...[415, 'UNSUPPORTED_MEDIA_TYPE'],
    ])
    expect(await line.log()).toEqual([])
  })

  test('that is missing is 415', async () => {
    const line = await Line.open(app())
    const body = questionOf(line)
    const headers = { 'content-length': String(Buffer.byteLength(body)) }
    expect(await outcome(post(body, headers))).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE'])
    const chunked = { 'transfer-encoding': 'chunked' }
    expect(await outcome(post(body, chunked))).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE'])
  })

  test('is asked of every route that takes a body', async () => {
    const person = await app().person()
    for (const path of [
      ...['/hitl/register', '/sessions/register', '/hitl/deactivate', '/hitl/cancel'],
      ...['/api/auth/link', '/api/requests/x/decision'],
    ]) {
      const headers = { ...person, 'content-type': 'text/plain' }
      const answer = ask(app().url + path, { method: 'POST', headers, body: '{}' })
      expect([path, await outcome(answer)]).toEqual([path, [415, 'UNSUPPORTED_MEDIA_TYPE']])
    }
  })
})

describe('the size of a body', () => {
  const padded = (line: Line, bytes: number): string => {
    const body = questionOf(line)
    return body + ' '.repeat(bytes - Buffer.byteLength(body))
  }

  test('of 256 KiB is taken, and a byte more is 413', async () => {
    const line = await Line.open(app())
    expect((await post(padded(line, 256 * 1024))).status).toBe(200)
    expect(await outcome(post(padded(line, 256 * 1024 + 1)))).toEqual([413, 'PAYLOAD_TOO_LARGE'])
    expect(await line.log()).toHaveLength(1)
  })

  test('is bounded too when it is not said beforehand', async () => {
    const line = await Line.open(app())
    const headers = { ...json, 'transfer-encoding': 'chunked' }
    const answer = post(padded(line, 300_000), headers)
    expect(await outcome(answer)).toEqual([413, 'PAYLOAD_TOO_LARGE'])
  })

  test('is refused by what is said of it, before it is sent', async () => {
    using wire = await Wire.open(app().url)
    const headers = { 'Content-Type': 'application/json', 'Content-Length': '99999999' }
    wire.request('POST', '/hitl/request', headers)
    expect(await wire.until('PAYLOAD_TOO_LARGE')).toMatch(/^HTTP\/1.1 413 /)
  })
})

test.each([
  ['an overlong form', Buffer.from([0xc0, 0x80])],
  ['a stray byte', Buffer.from([0xff])],
  ['half a character', Buffer.from([0xf0, 0x9f, 0x98])],
  ['a surrogate', Buffer.from([0xed, 0xa0, 0x80])],
])('a body with %s is not UTF-8: 400', async (_, bytes) => {
  const line = await Line.open(app())
  const [head = '', tail = ''] = questionOf(line, { message: 'a|b' }).split('|')
  const body = Buffer.concat([Buffer.from(head), bytes, Buffer.from(tail)])
  const answer = await post(body)
  expect(answer.status).toBe(400)
  expect(problemOf(answer)).toMatchObject({
    code: 'INVALID_INPUT',
    errors: [{ path: '', message: 'the body is not UTF-8' }],
  })
  expect(await line.log()).toEqual([])
})

test('a body that is shorter than it says is never taken', async () => {
  const line = await Line.open(app())
  using wire = await Wire.open(app().url)
  const body = questionOf(line)
  const headers = { 'Content-Type': 'application/json', 'Content-Length': String(body.length + 9) }
  wire.request('POST', '/hitl/request', headers)
  wire.write(body)
  wire.socket.end()
  await wire.closed()
  expect(await line.log()).toEqual([])
})

test.each([
  '/hitl/poll?session_id=a&session_id=b',
  '/hitl/poll?request_id=a&request_id=a',
  '/hitl/poll?session_id=a&since=1&since=2',
  '/hitl/poll?session_id=a&wait=1&wait=2',
  '/hitl/status?session_id=a&session_id=b',
  '/hitl/pending?session_id=a&session_id=b',
  '/hitl/stream?request_id=a&request_id=b',
  '/hitl/stream?session_id=a&last_event_id=1&last_event_id=2',
])('a key that is there twice in %s is 400', async (path) => {
  expect(await outcome(ask(app().url + path))).toEqual([400, 'INVALID_INPUT'])
})

test.each([
  '/hitl/status?session_id=%00',
  '/hitl/status?session_id=a%0Ab',
  '/hitl/pending?session_id=%00',
  '/hitl/poll?session_id=a%00b',
  `/hitl/poll?session_id=${'x'.repeat(201)}`,
  `/hitl/poll?session_id=a&since=${'x'.repeat(1_000)}`,
])('%s names nothing that can be: 400', async (path) => {
  expect(await outcome(ask(app().url + path))).toEqual([400, 'INVALID_INPUT'])
})

test('a query that is not UTF-8 is an error of the client or finds nothing', async () => {
  for (const query of ['session_id=%FF', 'session_id=%', 'session_id=%E0%A4']) {
    expect((await ask(`${app().url}/hitl/status?${query}`)).status).toBeOneOf([400, 404])
  }
})

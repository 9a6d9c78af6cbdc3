import { beforeEach, describe, expect, test } from 'vitest'
import { Loopgate, type LoopgateOptions, type Retry } from '../../../client/index.ts'
import { APPROVED, decided, FakeServer, PENDING, QUESTION, send, stream } from './fake-server.ts'
import { FAST } from './server.ts'

let fake: FakeServer
let retries: Retry[]

beforeEach(async () => {
  fake = await FakeServer.start()
  fake.answer('POST /hitl/request', { success: true, ...PENDING })
  retries = []
  return () => fake[Symbol.asyncDispose]()
})

const open = (options: Partial<LoopgateOptions> = {}) =>
  new Loopgate({
    url: fake.url,
    transports: ['sse'],
    timing: FAST,
    onRetry: (retry) => retries.push(retry),
    ...options,
  })

/** Views that must never be taken for an approval, nor for anything else. */
const GARBAGE: readonly (readonly [string, unknown])[] = [
  ['a page of HTML', '<html>welcome to the hotel</html>'],
  ['half of a JSON text', '{"success":true,"request_id":"r1","approved":true'],
  ['null', null],
  ['a list', [APPROVED]],
  ['approved alone', { success: true, approved: true }],
  ['approved while pending', { success: true, ...PENDING, approved: true }],
  ['approved and rejected', { success: true, ...APPROVED, outcome: 'rejected' }],
  ['approved and expired', { success: true, ...APPROVED, status: 'timeout' }],
  ['approved in another type', { success: true, ...APPROVED, approved: 'true' }],
  ['an approval that is not completed', { success: true, ...APPROVED, completed: false }],
  ['an outcome that is not approved', { success: true, ...APPROVED, approved: false }],
  ['an approval of nothing', { success: true, ...APPROVED, request_id: '' }],
  ['an approval in another session', { success: true, ...APPROVED, session_id: 's2' }],
  ['an approval by nothing that can be read', { success: true, ...APPROVED, decided_by: 'me' }],
]

describe('garbage is thrown, and never approves', () => {
  test.each(GARBAGE)('as the answer to a question: %s', async (_, body) => {
    fake.answer('POST /hitl/request', body)
    await using gate = open()

    await expect(gate.request(QUESTION)).rejects.toMatchObject({ code: 'MALFORMED_ANSWER' })
  })

  test.each(GARBAGE)('as the request looked at: %s', async (_, body) => {
    fake.answer('GET /hitl/poll', body)
    fake.routes.set('GET /hitl/stream', (response) =>
      stream(response, { cursor: 'e-9', recovered: false }),
    )
    await using gate = open()

    await expect(gate.request(QUESTION)).rejects.toMatchObject({ code: 'MALFORMED_ANSWER' })
  })

  test.each([
    ['no JSON', 'approved'],
    ['no envelope', APPROVED],
    ['an envelope without an id', decided(APPROVED, { id: '' })],
    ['an envelope of another session', decided(APPROVED, { session_id: 's2' })],
    ['the view of another request', decided({ ...APPROVED, request_id: 'r2' })],
    ['a contradiction', decided({ ...APPROVED, outcome: 'answered' })],
    ['an approval that is said to be none', decided(APPROVED, { type: 'request.created' })],
    ['an approval that is said to be an expiry', decided(APPROVED, { type: 'request.expired' })],
    ['a decision that is pending', decided(PENDING)],
    ['an event that does not end', 'x'.repeat(2 * 1024 * 1024)],
  ])('as an event: %s', async (_, data) => {
    fake.routes.set('GET /hitl/stream', (response) => stream(response).say('request.decided', data))
    await using gate = open()

    await expect(gate.request(QUESTION)).rejects.toMatchObject({ code: 'MALFORMED_ANSWER' })
  })

  test('as the answer to a look: the approval of another request', async () => {
    fake.answer('GET /hitl/poll', { ...APPROVED, request_id: 'r2' })
    await using gate = open()

    await expect(gate.decision('r1')).rejects.toMatchObject({ code: 'MALFORMED_ANSWER' })
  })

  test('as a page of events', async () => {
    fake.answer('GET /hitl/poll', { events: 'none', cursor: 'e-1', recovered: true })
    await using gate = open({ transports: ['poll'] })

    await expect(gate.request(QUESTION)).rejects.toMatchObject({ code: 'MALFORMED_ANSWER' })
  })
})

test('the approval of another request, and events that nobody knows yet, are passed over', async () => {
  fake.routes.set('GET /hitl/stream', (response) => {
    const { say } = stream(response)
    say('request.decided', decided({ ...APPROVED, request_id: 'r2' }, { request_id: 'r2' }))
    say('request.snoozed', decided({ for: '1h' }, { id: 'e-3', type: 'request.snoozed' }))
    say('request.decided', decided({ ...APPROVED, response: 'ok' }, { id: 'e-4' }))
  })
  await using gate = open()

  expect(await gate.request(QUESTION)).toMatchObject({ requestId: 'r1', response: 'ok' })
})

test('a place that the server can not continue from is looked past', async () => {
  fake.routes.set('GET /hitl/stream', (response) =>
    stream(response, { cursor: 'f-7', recovered: false }),
  )
  fake.answer('GET /hitl/poll', APPROVED)
  await using gate = open()

  expect(await gate.request(QUESTION)).toMatchObject({ approved: true })
  expect(fake.seen).toContain('GET /hitl/stream?session_id=s1&since=e-1')

  fake.seen.length = 0
  fake.routes.set('GET /hitl/poll', (response, _request, url) => {
    if (url.searchParams.has('request_id')) send(response, APPROVED)
    else if (url.searchParams.get('since') === 'earliest') return
    else send(response, { code: 'CURSOR_GONE' }, 410)
  })
  await using polling = open({ transports: ['poll'] })
  expect(await polling.request(QUESTION)).toMatchObject({ approved: true })
})

test('a decision that comes before the answer to its question is found', async () => {
  let decide = () => undefined as unknown
  fake.routes.set('GET /hitl/stream', (response) => {
    const { say } = stream(response)
    decide = () => say('request.decided', decided())
  })
  fake.routes.set('POST /hitl/request', (response) => {
    decide()
    fake.answer('GET /hitl/poll', APPROVED)
    heardOf.then(() => send(response, { success: true, ...PENDING }))
  })
  await using gate = open()
  const { promise: heardOf, resolve: hear } = Promise.withResolvers<void>()
  const off = gate.on('request.decided', () => hear(), { sessionId: 's1' })
  await off.ready

  expect(await gate.request(QUESTION)).toMatchObject({ approved: true })
})

test('a question that was asked before is looked at, and its old place is not read from', async () => {
  const headers = { 'idempotent-replayed': 'true' }
  fake.answer('POST /hitl/request', { success: true, ...PENDING }, 200, headers)
  fake.answer('GET /hitl/poll', APPROVED)
  fake.routes.set('GET /hitl/stream', (response) => stream(response))
  await using gate = open()

  expect(await gate.request(QUESTION)).toMatchObject({ approved: true })
  expect(fake.seen.slice(1)).toEqual([
    'GET /hitl/stream?session_id=s1',
    'GET /hitl/poll?request_id=r1',
  ])
})

test('on() is told of a gap, and nothing twice', async () => {
  let connections = 0
  fake.routes.set('GET /hitl/stream', (response) => {
    connections++
    const { say } = stream(response, { cursor: 'f-1', recovered: connections !== 2 })
    say('request.decided', decided())
    if (connections === 1) response.end()
    else say('request.decided', decided(APPROVED, { id: 'f-3' }))
  })
  await using gate = open()
  const heard: string[] = []
  gate.on('*', ({ id }) => heard.push(id), { sessionId: 's1', onGap: () => heard.push('gap') })

  await expect.poll(() => heard).toEqual(['e-2', 'gap', 'f-3'])
  expect(fake.seen.at(-1)).toBe('GET /hitl/stream?session_id=s1&since=e-2')
})

test('a stream without a heartbeat is left, and read on from where it was', async () => {
  let connections = 0
  fake.routes.set('GET /hitl/stream', (response) => {
    connections++
    const { say } = stream(response, { cursor: 'e-5', recovered: true })
    if (connections > 1) say('request.decided', decided(APPROVED, { id: 'e-6' }))
  })
  await using gate = open({ timing: { ...FAST, silenceMs: 100 } })

  expect(await gate.request(QUESTION)).toMatchObject({ approved: true })
  expect(retries).toMatchObject([{ during: 'sse', error: { message: 'silent for 100 ms' } }])
  expect(fake.seen.at(-1)).toBe('GET /hitl/stream?session_id=s1&since=e-5')
})

test('a stream with a heartbeat is kept', async () => {
  fake.routes.set('GET /hitl/stream', (response) => {
    const { say, heartbeat } = stream(response)
    let beats = 0
    const timer = setInterval(() => {
      beats++
      if (beats < 10) heartbeat()
      else say('request.decided', decided())
    }, 30)
    response.once('close', () => clearInterval(timer))
  })
  await using gate = open({ timing: { ...FAST, silenceMs: 150 } })

  expect(await gate.request(QUESTION)).toMatchObject({ approved: true })
  expect(retries).toEqual([])
})

describe('asking', () => {
  test('waits as long as it is asked to, and goes on by itself', async () => {
    let answers = 0
    fake.routes.set('POST /hitl/request', (response) => {
      answers++
      if (answers === 1) send(response, { code: 'TOO_MANY_PENDING' }, 429, { 'retry-after': '1' })
      else if (answers === 2) send(response, 'bad gateway', 502)
      else send(response, { success: true, ...APPROVED })
    })
    await using gate = open()

    expect(await gate.request(QUESTION)).toMatchObject({ approved: true })
    expect(retries).toMatchObject([
      { during: 'POST /hitl/request', error: { code: 'TOO_MANY_PENDING', status: 429 } },
      { during: 'POST /hitl/request', error: { code: 'HTTP_502' } },
    ])
    expect(retries[0]?.delayMs).toBeGreaterThanOrEqual(1000)
  })

  test('always carries the same key', async () => {
    const keys: unknown[] = []
    fake.routes.set('POST /hitl/request', (response, { headers }) => {
      keys.push(headers['idempotency-key'])
      if (keys.length < 3) response.destroy()
      else send(response, { success: true, ...APPROVED })
    })
    await using gate = open()

    await gate.request(QUESTION)
    expect(new Set(keys).size).toBe(1)
    expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/)
  })

  test.each([301, 400, 402, 409, 500])(
    'throws what is refused with %i, at once',
    async (status) => {
      const headers = { location: 'https://elsewhere.example/' }
      fake.answer('POST /hitl/request', 'no', status, headers)
      await using gate = open()

      await expect(gate.request(QUESTION)).rejects.toMatchObject({ code: `HTTP_${status}`, status })
      expect(fake.seen).toEqual(['POST /hitl/request'])
    },
  )
})

describe('what the server means for good ends the wait', () => {
  test.each([
    [401, 'who are you', 'HTTP_401'],
    [401, { code: 'UNAUTHORIZED', detail: 'no' }, 'UNAUTHORIZED'],
    [403, { code: 'FORBIDDEN', detail: 'no' }, 'FORBIDDEN'],
    [404, { code: 'SESSION_NOT_FOUND', detail: 'no' }, 'REQUEST_NOT_FOUND'],
  ])('%i %j on a stream', async (status, body, code) => {
    fake.answer('GET /hitl/stream', body, status)
    await using gate = open()

    await expect(gate.request(QUESTION)).rejects.toMatchObject({ code, status })
  })

  test.each([403, 404, 500, 503])('but not %i without a code', async (status) => {
    let answers = 0
    fake.routes.set('GET /hitl/stream', (response) => {
      answers++
      if (answers < 3) send(response, 'no', status)
      else stream(response).say('request.decided', decided())
    })
    await using gate = open()

    expect(await gate.request(QUESTION)).toMatchObject({ approved: true })
  })
})

test('a path in the URL is kept', async () => {
  fake.answer('POST /gate/hitl/request', { success: true, ...PENDING })
  fake.routes.set('GET /gate/hitl/stream', (response) =>
    stream(response).say('request.decided', decided()),
  )
  await using gate = open({ url: `${fake.url}/gate/?x=1#y`, transports: ['socketio', 'sse'] })

  expect(await gate.request(QUESTION)).toMatchObject({ approved: true })
  expect(fake.seen[1]).toMatch('GET /gate/socket.io/?EIO=4&transport=websocket')
})

test.each([
  [{ url: 'nowhere' }],
  [{ url: 'ftp://localhost' }],
  [{ url: 'http://user:password@localhost' }],
  [{ url: 'http://localhost', transports: [] }],
  [{ url: 'http://localhost', transports: ['pigeon'] }],
  [{ url: 'http://localhost', apiKey: 'not\na key' }],
])('options that can not work are refused at once: %j', (options) => {
  expect(() => new Loopgate(options as LoopgateOptions)).toThrow(TypeError)
})

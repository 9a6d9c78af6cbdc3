import { expect, test } from 'vitest'
import type { RequestView } from '../../../src/protocol/types.ts'
import { Line } from '../../support/readers/line.ts'
import { serve } from '../../support/readers/server.ts'
import { FrameSocket } from '../../support/readers/websocket.ts'

const app = serve('postgres', { MAX_CONCURRENT_REQUESTS: '5000' })

const open = (query = '') => FrameSocket.open(app().url, { query })

const questionOf = (line: Line, fields: object = {}) => ({
  session_id: line.id,
  client_id: line.clientId,
  message: 'Deploy?',
  ...fields,
})

test('hello comes first, without being asked for', async () => {
  await using socket = await open()
  const [hello] = await socket.frames.take(1)
  expect(hello).toMatchObject({ type: 'hello' })
})

test('subscribed names what is read, and from where', async () => {
  const line = await Line.open(app())
  const { request_id, cursor } = await line.ask()
  await using socket = await open()
  socket.send({ type: 'subscribe', session_id: line.id })
  socket.send({ type: 'subscribe', request_id, since: cursor })
  const subscribed = (await socket.frames.take(3)).slice(1)
  expect(subscribed).toContainEqual({
    ...{ type: 'subscribed', session_id: line.id },
    ...{ cursor, recovered: true },
  })
  expect(subscribed).toContainEqual({ type: 'subscribed', request_id, cursor, recovered: true })
})

test('a request is acknowledged with its view, under the id that the client chose', async () => {
  const line = await Line.open(app())
  await using socket = await open()
  socket.send({ type: 'request', id: 'c1', body: questionOf(line, { options: ['Yes', 'No'] }) })
  socket.send({ type: 'request', id: 2, body: questionOf(line) })
  const [first, second] = [await socket.answer('c1'), await socket.answer(2)]
  expect(first).toMatchObject({ type: 'ack', id: 'c1', ok: true })
  const requestId = String(first.body?.['request_id'])
  expect(first.body).toEqual(await app().view(requestId))
  expect(second.body).toMatchObject({ status: 'pending', options: [] })
})

test('an acknowledgement has no id when the request had none', async () => {
  const line = await Line.open(app())
  await using socket = await open()
  socket.send({ type: 'request', body: questionOf(line) })
  const ack = await socket.first('ack')
  expect(Object.keys(ack).sort()).toEqual(['body', 'ok', 'type'])
})

test('a cancellation is acknowledged, also again, and refused after a decision', async () => {
  const line = await Line.open(app())
  const [open1, decided] = [await line.ask(), await line.settled()]
  await using socket = await open()
  socket.send({ type: 'cancel', id: 'first', request_id: open1.request_id })
  expect((await socket.answer('first')).body).toMatchObject({ outcome: 'canceled' })
  socket.send({ type: 'cancel', id: 'again', request_id: open1.request_id })
  expect((await socket.answer('again')).body).toEqual(await app().view(open1.request_id))
  socket.send({ type: 'cancel', id: 'late', request_id: decided.request_id })
  const late = await socket.answer('late')
  expect(late).toMatchObject({ type: 'error', code: 'REQUEST_ALREADY_SETTLED' })
  expect(late.request).toEqual(await app().view(decided.request_id))
  socket.send({ type: 'cancel', id: 'none', request_id: 'nobody' })
  expect(await socket.answer('none')).toMatchObject({ type: 'error', code: 'REQUEST_NOT_FOUND' })
})

test('an idempotency key stands for one request here too', async () => {
  const line = await Line.open(app())
  await using socket = await open()
  const body = questionOf(line, { idempotency_key: `${line.id}-key` })
  socket.send({ type: 'request', id: 'a', body })
  const first = (await socket.answer('a')).body
  socket.send({ type: 'request', id: 'b', body })
  expect((await socket.answer('b')).body).toEqual(first)
  socket.send({ type: 'request', id: 'c', body: { ...body, message: 'Another?' } })
  expect(await socket.answer('c')).toMatchObject({ type: 'error', code: 'IDEMPOTENCY_MISMATCH' })
  const { body: replayed }: { body: RequestView } = await app().post('/hitl/request', body)
  expect(replayed.request_id).toBe(first?.['request_id'])
})

const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
const padded = (bytes: number): string =>
  JSON.stringify({ type: 'request', id: 'x', body: { padding: 'x'.repeat(bytes) } })

const WRONG: Readonly<Record<string, readonly [frame: string | Buffer, code: string]>> = {
  'that is not JSON': ['{"type":', 'INVALID_INPUT'],
  'that is empty': ['', 'INVALID_INPUT'],
  'that is not an object': ['"subscribe"', 'INVALID_INPUT'],
  'that is a list': ['[{"type":"subscribe"}]', 'INVALID_INPUT'],
  'that is null': ['null', 'INVALID_INPUT'],
  'without a type': ['{"session_id":"s"}', 'INVALID_INPUT'],
  'of an unknown type': ['{"type":"decide","id":"x","request_id":"r"}', 'INVALID_INPUT'],
  'of a type that every object has': ['{"type":"constructor"}', 'INVALID_INPUT'],
  'that subscribes to nothing': ['{"type":"subscribe"}', 'INVALID_INPUT'],
  'that subscribes to two things': [
    '{"type":"subscribe","session_id":"s","request_id":"r"}',
    'INVALID_INPUT',
  ],
  'that subscribes to a number': ['{"type":"subscribe","session_id":1}', 'INVALID_INPUT'],
  'with a cursor of another type': [
    '{"type":"subscribe","session_id":"s","since":1}',
    'INVALID_INPUT',
  ],
  'with a request without a body': ['{"type":"request","id":"x"}', 'INVALID_INPUT'],
  'that is nested too deep': [`{"type":"request","body":${nested(40)}}`, 'INVALID_INPUT'],
  'that is nested absurdly deep': [nested(100_000), 'INVALID_INPUT'],
  'that reaches for the prototype': [
    '{"type":"request","body":{"__proto__":{"message":"x"}}}',
    'INVALID_INPUT',
  ],
  'with NUL in it': ['{"type":"subscribe","session_id":"a\\u0000b"}', 'INVALID_INPUT'],
  'with half a character': ['{"type":"subscribe","session_id":"\\ud800"}', 'INVALID_INPUT'],
  'that is binary': [Buffer.from('{"type":"subscribe","session_id":"s"}'), 'INVALID_INPUT'],
  'whose body is over 256 KiB': [padded(300_000), 'PAYLOAD_TOO_LARGE'],
  'that is just under 1 MiB': [padded(1_048_500), 'PAYLOAD_TOO_LARGE'],
  'for a session that is not there': [
    '{"type":"subscribe","session_id":"nobody"}',
    'SESSION_NOT_FOUND',
  ],
}

test.each(Object.entries(WRONG))(
  'a frame %s is answered with an error, and the socket lives',
  async (_, [frame, code]) => {
    const line = await Line.open(app())
    await using socket = await open()
    socket.socket.send(frame)
    const error = await socket.first('error')
    expect(error).toMatchObject({ code, message: expect.any(String) })
    socket.send({ type: 'request', id: 'next', body: questionOf(line) })
    expect(await socket.answer('next')).toMatchObject({ type: 'ack' })
  },
)

test('an error has the id of its frame, and says which field of the body is wrong', async () => {
  const line = await Line.open(app())
  await using socket = await open()
  socket.send({ type: 'request', id: 'c7', body: questionOf(line, { message: '', options: [1] }) })
  const error = await socket.answer('c7')
  expect(error).toMatchObject({ type: 'error', code: 'INVALID_INPUT' })
  expect(error.errors?.map(({ path }) => path).sort()).toEqual(['/message', '/options/0'])
})

test('unsubscribe ends the events, and one that reads nothing is harmless', async () => {
  const line = await Line.open(app())
  await using socket = await open(`?session_id=${line.id}`)
  await socket.first('subscribed')
  socket.send({ type: 'unsubscribe', session_id: line.id })
  await socket.first('unsubscribed')
  await line.settled()
  socket.send({ type: 'unsubscribe', session_id: 'nobody' })
  await socket.frames.take(4)
  expect(socket.frames.items.map(({ type }) => type)).toEqual([
    ...['hello', 'subscribed', 'unsubscribed', 'unsubscribed'],
  ])
})

test('subscribing again goes on from the new place, and nothing comes twice', async () => {
  const line = await Line.open(app())
  const first = await line.settled()
  await using socket = await open(`?session_id=${line.id}`)
  await socket.first('subscribed')
  socket.send({ type: 'subscribe', session_id: line.id, since: 'earliest' })
  await socket.answer(first.cursor)
  const last = await line.settled()
  await socket.answer(last.cursor)
  const ids = socket.frames.items.filter(({ type }) => type.startsWith('request.'))
  expect(ids.map(({ id }) => id)).toEqual((await line.log()).map(({ id }) => id))
})

test('one socket reads many sessions, each in its order', async () => {
  const lines = await Promise.all(Array.from({ length: 20 }, () => Line.open(app())))
  await using socket = await open()
  for (const { id } of lines) socket.send({ type: 'subscribe', session_id: id })
  await socket.frames.take(1 + lines.length)
  const settled = await Promise.all(lines.map((line) => line.settled()))
  for (const { cursor } of settled) await socket.answer(cursor)
  for (const line of lines) {
    const heard = socket.frames.items.filter(
      ({ session_id, type }) => session_id === line.id && type !== 'subscribed',
    )
    expect(heard).toEqual(await line.log())
  }
})

test('150 frames at once are all answered, none twice', async () => {
  const line = await Line.open(app())
  await using socket = await open()
  const ids = Array.from({ length: 150 }, (_, i) => i)
  for (const id of ids) socket.send({ type: 'request', id, body: questionOf(line) })
  const answers = (await socket.frames.take(151)).slice(1)
  expect(answers.map(({ type, id }) => `${type} ${id}`).sort()).toEqual(
    ids.map((id) => `ack ${id}`).sort(),
  )
  expect(new Set(answers.map(({ body }) => body?.['request_id'])).size).toBe(150)
})

test('a socket holds 1,000 subscriptions, and the next is refused until one is given up', async () => {
  const line = await Line.open(app())
  await using socket = await open()
  // No more at once than the database answers in time on a busy machine.
  for (let id = 0; id <= 1_000; id++) {
    socket.send({ type: 'request', id, body: questionOf(line) })
    if (id % 100 === 0) await socket.frames.take(1 + id + 1)
  }
  const acks = (await socket.frames.take(1 + 1_001)).slice(1)
  const asked = acks.map(({ body }) => ({ id: body?.['request_id'], since: body?.['cursor'] }))
  for (const { id, since } of asked.slice(0, 1_000)) {
    socket.send({ type: 'subscribe', request_id: id, since })
  }
  await socket.frames.take(1 + 1_001 + 1_000)
  const [one, next] = [asked[0]?.id, asked[1_000]?.id]
  socket.send({ type: 'subscribe', request_id: next })
  expect(await socket.first('error')).toMatchObject({ code: 'INVALID_INPUT' })
  socket.send({ type: 'unsubscribe', request_id: one })
  await socket.first('unsubscribed')
  socket.send({ type: 'subscribe', request_id: next })
  await socket.frames.find(({ type, request_id }) => type === 'subscribed' && request_id === next)
}, 60_000)

test.each([
  ['?session_id=nobody', 'SESSION_NOT_FOUND'],
  ['?request_id=nobody', 'REQUEST_NOT_FOUND'],
  ['?session_id=a&request_id=b', 'INVALID_INPUT'],
  ['?session_id=a&session_id=b', 'INVALID_INPUT'],
])('the query %s is answered with an error, and the socket lives', async (query, code) => {
  const line = await Line.open(app())
  await using socket = await open(query)
  expect(await socket.first('error')).toMatchObject({ code })
  socket.send({ type: 'subscribe', session_id: line.id })
  await socket.first('subscribed')
})

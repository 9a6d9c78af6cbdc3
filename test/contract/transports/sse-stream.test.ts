import { expect, test } from 'vitest'
import type { Envelope } from '../../../src/protocol/types.ts'
import { ask, problemOf } from '../../support/readers/http.ts'
import { Line } from '../../support/readers/line.ts'
import { openServer, serve } from '../../support/readers/server.ts'
import { connectSse } from '../../support/readers/sse.ts'
import { Wire } from '../../support/readers/wire.ts'

const app = serve('postgres')

const streamOf = (line: Line, query = ''): string => `/hitl/stream?session_id=${line.id}${query}`

test('the answer says what keeps proxies from holding events back', async () => {
  const line = await Line.open(app())
  using wire = await Wire.open(app().url)
  wire.request('GET', streamOf(line))
  const text = await wire.until('event: hello')
  const head = text.slice(0, text.indexOf('\r\n\r\n')).toLowerCase()
  expect(head).toMatch(/^http\/1.1 200 /)
  expect(head).toContain('\r\ncontent-type: text/event-stream')
  expect(head).toMatch(/\r\ncache-control: .*no-transform/)
  expect(head).toContain('\r\nx-accel-buffering: no')
  expect(head).not.toContain('content-encoding')
})

test('hello comes at once and first, and its id is the place', async () => {
  const line = await Line.open(app())
  const { cursor } = await line.ask()
  using wire = await Wire.open(app().url)
  wire.request('GET', streamOf(line))
  const text = await wire.until('data: ')
  const [first = ''] = /event: [\s\S]*/.exec(text) ?? []
  expect(first).toMatch(
    `event: hello\nid: ${cursor}\ndata: {"cursor":"${cursor}","recovered":true}`,
  )
})

test('the data of an event is one line, whatever the message contains', async () => {
  const line = await Line.open(app())
  using wire = await Wire.open(app().url)
  wire.request('GET', streamOf(line))
  await wire.until('hello')
  const message = 'a\nb\rc\r\nd\u2028e\u2029f: data: x\n\nevent: forged\n\n'
  const { cursor, request_id } = await line.ask({ message })
  const text = await wire.until(/\nid: [^\n]*-1\ndata: [^\r\n]+\n\n/)
  const [, data = ''] = /\nevent: request\.created\nid: .*\ndata: ([^\r\n]*)\n\n/.exec(text) ?? []
  const envelope = JSON.parse(data) as Envelope
  expect(envelope).toMatchObject({ id: cursor, request_id, data: { message } })
  expect(text.match(/^event: /gm)).toHaveLength(2)
})

test('the cursor is that of the header, else last_event_id, lastEventId or since', async () => {
  const line = await Line.open(app())
  const [a, b, c, d] = [await line.ask(), await line.ask(), await line.ask(), await line.ask()]
  const place = async (query: string, headers: Record<string, string> = {}) => {
    using wire = await Wire.open(app().url)
    wire.request('GET', streamOf(line, query), headers)
    return /"cursor":"([^"]*)"/.exec(await wire.until('recovered'))?.[1]
  }
  const names = `&last_event_id=${b.cursor}&lastEventId=${c.cursor}&since=${d.cursor}`
  expect(await place(names, { 'Last-Event-ID': a.cursor })).toBe(a.cursor)
  expect(await place(names)).toBe(b.cursor)
  expect(await place(`&last_event_id=${a.cursor}`)).toBe(a.cursor)
  expect(await place(`&lastEventId=${a.cursor}`)).toBe(a.cursor)
  expect(await place(`&since=${a.cursor}`)).toBe(a.cursor)
  expect(await place('', { 'Last-Event-ID': '' })).toBe(d.cursor)
})

test('a request stream at its end is 204, which keeps EventSource from coming back', async () => {
  const line = await Line.open(app())
  const { request_id, cursor } = await line.settled()
  const later = (await line.settled()).cursor
  for (const since of [cursor, later]) {
    const path = `/hitl/stream?request_id=${request_id}`
    const answer = await ask(app().url + path, { headers: { 'Last-Event-ID': since } })
    expect(answer).toMatchObject({ status: 204, text: '' })
  }
})

test('no target, two targets and a cursor without end are 400, unknown ones 404', async () => {
  const line = await Line.open(app())
  const { request_id } = await line.ask()
  const codeOf = async (query: string) => {
    const answer = await ask(`${app().url}/hitl/stream${query}`)
    expect(answer.headers['content-type']).toContain('application/problem+json')
    return [answer.status, problemOf(answer).code]
  }
  expect(await codeOf('')).toEqual([400, 'INVALID_INPUT'])
  expect(await codeOf(`?session_id=${line.id}&request_id=${request_id}`)).toEqual([
    400,
    'INVALID_INPUT',
  ])
  expect(await codeOf(`?session_id=${line.id}&session_id=x`)).toEqual([400, 'INVALID_INPUT'])
  expect(await codeOf('?session_id=nobody')).toEqual([404, 'SESSION_NOT_FOUND'])
  expect(await codeOf('?request_id=nobody')).toEqual([404, 'REQUEST_NOT_FOUND'])
})

test('HEAD is answered and over, and the connection can be used again', async () => {
  const line = await Line.open(app())
  using wire = await Wire.open(app().url)
  wire.request('HEAD', streamOf(line))
  await wire.until(/HTTP\/1.1 \d+ [\s\S]*\r\n\r\n/)
  wire.request('GET', '/livez')
  expect(await wire.until('"status":"ok"')).not.toContain('event: hello')
})

test('a stop of the server ends the stream, and does not wait for its reader', async () => {
  await using server = await openServer('postgres')
  const line = await Line.open(server.app)
  await using reader = await connectSse(server.app.url, { target: line.target })
  const { cursor } = await line.settled()
  await reader.upTo(cursor)
  await server.app.app.stop()
  expect((await reader.ended()).at(-1)?.id).toBe(cursor)
})

test('readers that are gone are not counted any more, nor those that left before hello', async () => {
  await using server = await openServer('postgres')
  const line = await Line.open(server.app)
  const gauge = async (): Promise<number> => {
    const { text } = await ask(`${server.app.url}/metrics`)
    return Number(/loopgate_stream_connections\{transport="sse"\} (\d+)/.exec(text)?.[1])
  }
  for (let i = 0; i < 30; i++) {
    using wire = await Wire.open(server.app.url)
    wire.request('GET', streamOf(line))
  }
  const readers = []
  for (let i = 0; i < 3; i++) {
    readers.push(await connectSse(server.app.url, { target: line.target }))
  }
  await expect.poll(gauge).toBe(3)
  for (const reader of readers) await reader[Symbol.asyncDispose]()
  await expect.poll(gauge).toBe(0)
})

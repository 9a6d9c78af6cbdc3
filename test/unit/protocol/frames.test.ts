import { describe, expect, test } from 'vitest'
import { parse } from '../../../src/protocol/fields.ts'
import {
  type ClientFrame,
  checkSize,
  frameIdOf,
  parseFrame,
  readFrame,
  subscribeBody,
} from '../../../src/protocol/frames.ts'
import { MAX_BODY_BYTES, parseSubmission } from '../../../src/protocol/requests.ts'
import { wrongPaths } from './refusals.ts'

const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)])

describe('a frame', () => {
  const FRAMES: Record<ClientFrame['type'], object[]> = {
    subscribe: [
      { type: 'subscribe', session_id: 's' },
      { type: 'subscribe', request_id: 'r', since: 'e1-7' },
    ],
    unsubscribe: [{ type: 'unsubscribe', session_id: 's' }],
    request: [
      { type: 'request', id: 'c1', body: { message: 'm' } },
      { type: 'request', id: 7, body: {} },
      { type: 'request', body: 'checked later' },
    ],
    cancel: [
      { type: 'cancel', id: 'c2', request_id: 'r' },
      { type: 'cancel', request_id: 'r' },
    ],
  }

  test.each(Object.values(FRAMES).flat())('is taken as it is: %j', (frame) => {
    expect(parseFrame(frame)).toEqual(frame)
  })

  test.each([
    [{}, '/type'],
    [{ type: 'decide', request_id: 'r' }, '/type'],
    [{ type: 'Subscribe', session_id: 's' }, '/type'],
    [{ type: 'cancel' }, '/request_id'],
    [{ type: 'cancel', request_id: 7 }, '/request_id'],
    [{ type: 'cancel', request_id: 'r', id: {} }, '/id'],
    [{ type: 'cancel', request_id: 'r', id: 'x'.repeat(201) }, '/id'],
    [{ type: 'subscribe', session_id: ' ' }, '/session_id'],
    [{ type: 'subscribe', session_id: 's', since: 7 }, '/since'],
    ['subscribe', ''],
    [null, ''],
    [[], ''],
  ])('is refused: %j', (frame, path) => {
    expect(wrongPaths(() => parseFrame(frame))).toEqual([path])
  })

  test('tells the id of one that could not be read, so that its sender knows which', () => {
    expect(frameIdOf({ type: 'nonsense', id: 'c1' })).toBe('c1')
    expect(frameIdOf({ id: 7 })).toBe(7)
    for (const value of [{}, { id: {} }, { id: '' }, { id: 1.5 }, null, 'c1', 7, []]) {
      expect(frameIdOf(value)).toBeUndefined()
    }
  })
})

describe('the text of a frame', () => {
  test('is JSON', () => {
    expect(readFrame('{"type":"subscribe"}')).toEqual({ type: 'subscribe' })
    expect(wrongPaths(() => readFrame('{"type":'))).toEqual([''])
  })

  test('has room for a body as large as over HTTP', () => {
    const frame = (body: string) => JSON.stringify({ type: 'request', id: 'c1', body })
    expect(() => readFrame(frame('x'.repeat(MAX_BODY_BYTES)))).not.toThrow()
    expect(() => readFrame(frame('x'.repeat(MAX_BODY_BYTES + 1_024)))).toThrow('256 KiB')
    expect(() => readFrame(frame('é'.repeat(MAX_BODY_BYTES)))).toThrow('256 KiB')
  })

  test('has room for a body as deep as over HTTP, and no deeper', () => {
    const frame = (depth: number) => ({
      type: 'request',
      // The body is a level itself.
      body: { session_id: 's', client_id: 'c', message: 'm', x: nested(depth - 1) },
    })
    const read = (depth: number) => {
      const parsed = parseFrame(readFrame(JSON.stringify(frame(depth))))
      return parsed.type === 'request' && parseSubmission(parsed.body, { timeoutSeconds: 1 })
    }
    expect(read(32)).toMatchObject({ message: 'm' })
    expect(wrongPaths(() => read(33))).not.toEqual([])
  })
})

describe('a body on Socket.IO', () => {
  test('is as large as over HTTP, and no larger', () => {
    expect(() => checkSize('x'.repeat(MAX_BODY_BYTES - 2))).not.toThrow()
    expect(() => checkSize('x'.repeat(MAX_BODY_BYTES - 1))).toThrow('256 KiB')
    expect(() => checkSize(undefined)).not.toThrow()
  })

  test('that subscribes has what a frame has', () => {
    expect(parse(subscribeBody, { session_id: 's', since: 'earliest' })).toEqual({
      session_id: 's',
      since: 'earliest',
    })
    expect(wrongPaths(() => parse(subscribeBody, undefined))).toEqual([''])
    expect(wrongPaths(() => parse(subscribeBody, { session_id: 7 }))).toEqual(['/session_id'])
  })
})

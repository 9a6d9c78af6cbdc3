import { describe, expect, test } from 'vitest'
import { Call } from '../../../src/bridge/call.ts'
import type { Request } from '../../../src/bridge/messages.ts'
import { RepeatedCalls } from '../../../src/bridge/repeated-calls.ts'

const request = (input: object): Request => ({
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: { name: 'request_human_input', arguments: input },
})

const QUESTION = { message: 'Deploy?' }

const structuredContent = { request_id: 'r', status: 'completed', completed: true }
const content = [{ type: 'text', text: JSON.stringify(structuredContent) }]

const PENDING = { structuredContent: { request_id: 'r', status: 'pending', completed: false } }
const NOTHING_SETTLED = [
  PENDING,
  { structuredContent: { requests: [PENDING.structuredContent], count: 1 } },
  { content: [{ type: 'text', text: 'a sentence' }, null, { type: 'image' }], isError: true },
  { taskId: 'r', status: 'working' },
  { task: { taskId: 'r', status: 'working' } },
  { contents: [{ uri: 'u', text: JSON.stringify(PENDING.structuredContent) }] },
  {},
]
const SETTLED = [
  { structuredContent },
  { structuredContent: { status: 'responded', pause_id: 'r' } },
  { content },
  { contents: [{ uri: 'u', text: JSON.stringify(structuredContent) }] },
  { taskId: 'r', status: 'completed', result: { structuredContent } },
  { taskId: 'r', status: 'cancelled' },
]

/** With a call that its client left. */
function withOne(): RepeatedCalls {
  const calls = new RepeatedCalls()
  calls.keep(new Call(request({ ...QUESTION, wait_seconds: 30 }), 'first'))
  return calls
}

describe('a call that was left gives its id', () => {
  test('to the same call, once, however long that one waits', () => {
    const calls = withOne()
    expect(calls.take(request({ message: 'Another?' }))).toBeUndefined()
    expect(calls.take(request({ ...QUESTION, wait_seconds: 0 }))).toBe('first')
    expect(calls.take(request(QUESTION))).toBeUndefined()
  })

  test.each(NOTHING_SETTLED)('when its client has read %j', (result) => {
    const calls = withOne()
    calls.read(result)
    expect(calls.take(request(QUESTION))).toBe('first')
  })
})

describe('a call that was left gives its id to nobody', () => {
  test.each(SETTLED)('when its client has read %j', (result) => {
    const calls = withOne()
    calls.read(result)
    expect(calls.take(request(QUESTION))).toBeUndefined()
  })

  test('when its client has read an answer before it left the call', () => {
    const calls = new RepeatedCalls()
    const call = new Call(request(QUESTION), 'first')
    calls.read({ structuredContent })
    calls.keep(call)
    expect(calls.take(request(QUESTION))).toBeUndefined()
  })
})

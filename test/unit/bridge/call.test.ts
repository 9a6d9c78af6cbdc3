import { describe, expect, test } from 'vitest'
import { Call, hasNoCallId, headersOf } from '../../../src/bridge/call.ts'
import { type Message, part, type Request } from '../../../src/bridge/messages.ts'

const request = (params: object, method = 'tools/call'): Request => ({
  jsonrpc: '2.0',
  id: 1,
  method,
  params: { ...params },
})

const _meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' }

describe('the headers of a request', () => {
  test.each([
    ['tools/call', { name: 'ask' }, { 'mcp-name': 'ask' }],
    ['resources/read', { uri: 'loopgate://requests/1' }, { 'mcp-name': 'loopgate://requests/1' }],
    ['tasks/get', { taskId: 't1' }, { 'mcp-name': 't1' }],
    ['tools/list', { name: 'ask' }, {}],
    ['tools/call', { name: 'frage–ä' }, { 'mcp-name': '=?base64?ZnJhZ2XigJPDpA==?=' }],
    ['tools/call', { name: ' ask' }, { 'mcp-name': '=?base64?IGFzaw==?=' }],
    ['tools/call', { name: '=?base64?eA==?=' }, { 'mcp-name': '=?base64?PT9iYXNlNjQ/ZUE9PT89?=' }],
  ])('of %s with %j in 2026-07-28 mirror its body', (method, params, named) => {
    expect(headersOf(request({ ...params, _meta }, method))).toEqual({
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...named,
    })
  })

  test('are none before', () => {
    expect(headersOf(request({ name: 'ask' }))).toEqual({})
  })
})

describe('a call', () => {
  test.each([
    [{ arguments: { idempotency_key: 'k' } }, false],
    [{ _meta: { 'claudecode/toolUseId': 't' } }, false],
    [{ _meta: { 'loopgate/call': 'c' } }, false],
    [{ arguments: { message: 'x' }, _meta: { progressToken: 1 } }, true],
  ])('with %j needs a name: %s', (params, expected) => {
    expect(hasNoCallId(request(params))).toBe(expected)
  })

  test('that is sent again keeps its name, has another id, and waits no longer than its client wanted', () => {
    const call = new Call(request({ arguments: { wait_seconds: 30 }, _meta: { a: 1 } }), 'n')
    expect(call.message).toMatchObject({ id: 1, params: { _meta: { a: 1, 'loopgate/call': 'n' } } })
    call.again(45)
    const { id, params } = call.message
    expect(id).not.toBe(1)
    expect(params).toMatchObject({ _meta: { a: 1, 'loopgate/call': 'n' } })
    const { wait_seconds: seconds } = part(params, 'arguments')
    expect(seconds).toBeGreaterThan(29)
    expect(seconds).toBeLessThan(30)
  })

  test('that is sent again goes on with its progress where it was', () => {
    const call = new Call(request({}), undefined)
    const tell = (progress: number) => {
      const params = { progressToken: 1, progress, total: 45 }
      const told: Message = { jsonrpc: '2.0', method: 'notifications/progress', params }
      return call.tell(told)
    }
    expect([tell(0), tell(10)]).toMatchObject([{ params: { progress: 0, total: 45 } }, {}])
    call.again(undefined)
    expect(tell(0)).toEqual({
      jsonrpc: '2.0',
      method: 'notifications/progress',
      params: { progressToken: 1, progress: 11 },
    })
    expect(tell(10)).toMatchObject({ params: { progress: 21 } })
  })
})

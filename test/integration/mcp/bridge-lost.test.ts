import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Bridge } from '../../../src/bridge/bridge.ts'
import { Endpoint } from '../../../src/bridge/endpoint.ts'
import type { Message } from '../../../src/bridge/messages.ts'
import { eventually } from '../../support/eventually.ts'

/** The server is back within a minute, or it is not: minutes pass as a test says. */

const ID = 1
const CALL = {
  jsonrpc: '2.0',
  id: ID,
  method: 'tools/call',
  params: {
    name: 'permission_prompt',
    arguments: { tool_name: 'Bash', input: { command: 'ls' } },
    _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' },
  },
} as const

const ALLOWED = { content: [{ type: 'text', text: '{"behavior":"allow"}' }] }
const DENIED = { content: [{ text: expect.stringContaining('"behavior":"deny"') }] }

interface Attempt {
  readonly id: string | number
  readonly response: ServerResponse
}

/** Of somebody else's making, as a proxy or a server that is killed would be. */
let server: Server
let attempts: Attempt[]
/** What is done with an attempt when it comes. */
let take: (attempt: Attempt) => unknown
let answers: Message[]
let bridge: Bridge

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  attempts = []
  take = () => undefined
  answers = []
  server = createServer(async (request, response) => {
    const text = (await request.toArray()).join('')
    const attempt = { id: JSON.parse(text).id, response }
    attempts.push(attempt)
    await take(attempt)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const endpoint = new Endpoint(new URL(`http://127.0.0.1:${port}/mcp`), undefined)
  const write = (message: Message | readonly Message[]) => answers.push(message as Message)
  bridge = new Bridge({ endpoint, write, log: () => undefined })
})

afterEach(async () => {
  vi.useRealTimers()
  await bridge.end(AbortSignal.timeout(100))
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
})

const pass = (seconds: number) => vi.advanceTimersByTime(seconds * 1_000)

/** Waits for an attempt, and begins to answer it. */
async function hold(count: number): Promise<ServerResponse> {
  await eventually(() => attempts.length).toBe(count)
  const { response } = attempts[count - 1] as Attempt
  await begin(response)
  return response
}

/** Begins an answer, and waits until the bridge has heard of it. */
async function begin(response: ServerResponse): Promise<void> {
  const params = { count: attempts.length }
  const told = { jsonrpc: '2.0', method: 'notifications/progress', params }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.write(`data: ${JSON.stringify(told)}\n\n`)
  await eventually(() => answers.at(-1)).toEqual(told)
}

describe('a call whose connection is lost', () => {
  test('a second time, minutes after the first, is sent again for another minute', async () => {
    bridge.receive(JSON.stringify(CALL))
    ;(await hold(1)).destroy()
    const again = await hold(2)
    pass(300)
    take = ({ id, response }) => {
      if (attempts.length < 5) return response.writeHead(503).end()
      const answer = { jsonrpc: '2.0', id, result: ALLOWED }
      return response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify(answer))
    }
    again.destroy()
    await eventually(() => answers.at(-1)).toEqual({ jsonrpc: '2.0', id: ID, result: ALLOWED })
  })

  test.each<[string, (response: ServerResponse) => unknown]>([
    ['is away', (response) => response.writeHead(503).end()],
    [
      'breaks down at every attempt',
      async (response) => {
        await begin(response)
        pass(0.5)
        response.destroy()
      },
    ],
  ])('to a server that then %s is given up after a minute', async (_, fail) => {
    bridge.receive(JSON.stringify(CALL))
    const first = await hold(1)
    take = ({ response }) => {
      pass(31)
      return fail(response)
    }
    first.destroy()
    await eventually(() => answers.at(-1)).toMatchObject({ id: ID, result: DENIED })
    expect(attempts).toHaveLength(3)
  })
})

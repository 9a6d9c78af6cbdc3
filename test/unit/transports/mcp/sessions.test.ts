import { expect, test } from 'vitest'
import type { Connection } from '../../../../src/transports/mcp/connection.ts'
import { LeftQuestions } from '../../../../src/transports/mcp/left-questions.ts'
import type { McpParts } from '../../../../src/transports/mcp/parts.ts'
import { McpSessions } from '../../../../src/transports/mcp/sessions.ts'
import { anAgent } from '../../../support/builders.ts'
import { type Core, startCore } from '../../../support/builders-core.ts'

const MAX_LIVE = 3

const connection: Connection = {
  principal: anAgent(),
  sessionId: undefined,
  gone: new AbortController().signal,
}

const silence = () => undefined
const silent = { debug: silence, info: silence, warn: silence, error: silence }

function open({ hub, clock, stores }: Core): McpSessions {
  const { signal: draining } = new AbortController()
  const callbacks = { register: () => Promise.reject(new Error('no callbacks here')) }
  const context = { hub, callbacks, clock, draining, left: new LeftQuestions(clock) }
  const parts: McpParts = {
    ...{ tools: [], listed: [], logger: silent, version: '1' },
    context: { ...context, defaults: { timeoutSeconds: 300 }, logger: silent },
  }
  return new McpSessions(parts, stores.mcpSessions, MAX_LIVE)
}

const BODY = {
  ...{ jsonrpc: '2.0', id: 1, method: 'initialize' },
  params: {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 't', version: '1' },
  },
}

/** What `initialize` is answered, and the id that it gives. */
async function begin(sessions: McpSessions) {
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
  }
  const request = new Request('http://mcp.invalid/mcp', { method: 'POST', headers })
  return sessions.begin(connection, request, BODY, async (response) => ({
    text: await response.text(),
    id: response.headers.get('mcp-session-id') ?? '',
  }))
}

test('beyond as many as a process holds, all in use, a new one is answered, and works', async () => {
  await using core = await startCore()
  const sessions = open(core)
  const { promise: over, resolve: end } = Promise.withResolvers<void>()
  const uses: Promise<void>[] = []
  for (let i = 0; i < MAX_LIVE; i++) {
    const { id } = await begin(sessions)
    const entered = await sessions.enter(connection, id)
    if (entered) uses.push(over.then(entered.leave))
  }
  expect(uses).toHaveLength(MAX_LIVE)
  const { text, id } = await begin(sessions)
  expect(text).toContain('"protocolVersion":"2025-11-25"')
  expect(await sessions.enter(connection, id)).toBeDefined()
  end()
  await Promise.all(uses)
  await sessions.close()
})

test('one that nobody used for five minutes is let go, and made again when it is used', async () => {
  await using core = await startCore()
  const sessions = open(core)
  const { id } = await begin(sessions)
  const enter = async () => {
    const entered = await sessions.enter(connection, id)
    entered?.leave()
    return entered?.session
  }
  const first = await enter()
  core.clock.advance(240_000)
  expect(await enter()).toBe(first)
  for (let minute = 0; minute < 7; minute++) {
    core.clock.advance(60_000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  const again = await enter()
  expect(again?.id).toBe(id)
  expect(again).not.toBe(first)
  await sessions.close()
})

test('beyond as many as a process holds, those that come back together are all served, each made once', async () => {
  await using core = await startCore()
  const before = open(core)
  const ids: string[] = []
  for (let i = 0; i < 6 * MAX_LIVE; i++) ids.push((await begin(before)).id)
  await before.close()
  const sessions = open(core)
  const come = async () => Promise.all(ids.map((id) => sessions.enter(connection, id)))
  const [first, second] = [await come(), await come()]
  expect(first.map((entered) => entered?.session.id)).toEqual(ids)
  expect(second.map((entered) => entered?.session)).toEqual(
    first.map((entered) => entered?.session),
  )
  for (const entered of [...first, ...second]) entered?.leave()
  await sessions.close()
})

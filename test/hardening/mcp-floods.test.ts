import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app.ts'
import { callModern, initialize, openSession, post, viewOf } from '../support/mcp-attacks.ts'

/** Over MCP: what one client may take of the server has a bound, and says so. */

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app[Symbol.asyncDispose]())

/** The same id in so many spellings. */
const spellings = (id: string, count: number): string[] => {
  const letters = [...id.matchAll(/[a-f]/g)].map(({ index }) => index).slice(0, 8)
  return Array.from({ length: count }, (_, n) =>
    [...id].map((one, i) => ((n >> letters.indexOf(i)) & 1 ? one.toUpperCase() : one)).join(''),
  )
}

/** Some ids have too few letters for so many spellings. */
async function askedWithManyNames(count: number): Promise<string[]> {
  for (;;) {
    const input = { message: 'Followed?', wait_seconds: 0 }
    const { request_id } = viewOf(await callModern(app.url, 'request_human_input', input))
    const names = spellings(request_id, count)
    if (new Set(names).size === count) return names
  }
}

describe('A71: one session', () => {
  test('follows at most 100 open requests, however they are named, and all at once', async () => {
    const session = await openSession(app.url)
    const named = await askedWithManyNames(140)
    const subscribe = (id: string, n: number) => ({
      ...{ jsonrpc: '2.0', id: n, method: 'resources/subscribe' },
      params: { uri: `loopgate://requests/${id}` },
    })
    const all = named.map(subscribe)
    const said = await Promise.all([
      post(app.url, all.slice(0, 70), session),
      post(app.url, all.slice(70), session),
    ])
    const refused = said.flatMap(({ messages }) => messages).filter(({ error }) => error)
    expect(refused).toHaveLength(40)
    const { error } = refused[0] ?? {}
    expect(error?.code).toBe(-32_602)
    expect(error?.message).toContain('at most 100 open requests')
  })
})

test('A71: what a client says of itself when it begins is kept, and so must be short', async () => {
  const long = { clientInfo: { description: 'x'.repeat(33_000) } }
  const { messages, headers } = await post(app.url, initialize(long))
  expect(headers.get('mcp-session-id')).toBeNull()
  expect(messages[0]?.error?.message).toContain('at most 32 KiB')
  const deep = { capabilities: { experimental: { a: { b: '\uD800' } } } }
  expect((await post(app.url, initialize(deep))).messages[0]?.error).toBeDefined()
})

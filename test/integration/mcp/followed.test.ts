import { beforeAll, expect, test } from 'vitest'
import { McpClient } from '../../support/readers/mcp.ts'
import { serve } from '../../support/readers/server.ts'

const app = serve('pglite', { MAX_CONCURRENT_REQUESTS: '200' })
const MAX_FOLLOWED = 100
const UPDATED = 'notifications/resources/updated'

beforeAll(() => app().register(), 30_000)

const uriOf = async () => `loopgate://requests/${(await app().ask()).request_id}`
const cancel = (uri: string) =>
  app().post('/hitl/cancel', { request_id: uri.slice(uri.lastIndexOf('/') + 1) })

test('a resource that is subscribed to twice at the same moment is told of once', async () => {
  await using client = await McpClient.open(app())
  const standing = await client.listen()
  const [twice, after] = [await uriOf(), await uriOf()]
  const batch = [twice, twice, after].map((uri, id) => ({
    ...{ jsonrpc: '2.0', id, method: 'resources/subscribe', params: { uri } },
  }))
  const headers = {
    accept: 'application/json, text/event-stream',
    'content-type': 'application/json',
    'mcp-session-id': client.sessionId,
  }
  const sent = { method: 'POST', headers, body: JSON.stringify(batch) }
  await (await fetch(`${app().url}/mcp`, sent)).text()
  for (const uri of [twice, after]) await cancel(uri)
  await standing.messages.find(({ params }) => params?.['uri'] === after)
  const told = standing.notifications(UPDATED).map(({ params }) => params?.['uri'])
  expect(told).toEqual([twice, after])
})

test('beyond a hundred that are open, the next is refused with the reason', async () => {
  await using client = await McpClient.open(app())
  const subscribe = (uri: string) => client.request('resources/subscribe', { uri }).answer()
  const uris = await Promise.all(Array.from({ length: MAX_FOLLOWED + 1 }, uriOf))
  const last = uris.pop() ?? ''
  await Promise.all(uris.map(subscribe))
  await expect(subscribe(last)).rejects.toMatchObject({
    code: -32_602,
    message: expect.stringContaining('a session follows at most 100 open requests'),
  })
  // What is settled changes no more, and makes room.
  await cancel(uris[50] ?? '')
  await subscribe(last)
}, 30_000)

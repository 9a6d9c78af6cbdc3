import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { expect, test } from 'vitest'
import { serve } from '../../support/readers/server.ts'

const app = serve('pglite')

test('an answer that is larger than what a reader may have waiting arrives whole', async () => {
  await app().register()
  const metadata = { plan: 'x'.repeat(30_000) }
  const asked = []
  for (let i = 0; i < 60; i++) {
    asked.push((await app().ask({ message: 'm'.repeat(19_000), metadata })).request_id)
  }
  const client = new Client({ name: 'test', version: '1.0.0' })
  await client.connect(new StreamableHTTPClientTransport(new URL(`${app().url}/mcp`)) as Transport)
  const name = 'list_pending_requests'
  const { structuredContent } = await client.callTool({ name }, undefined, { timeout: 10_000 })
  expect(structuredContent).toMatchObject({ count: asked.length })
  await client.close()
}, 30_000)

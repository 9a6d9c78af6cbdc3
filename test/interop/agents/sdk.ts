import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { type Agent, type AgentKind, CLIENT, PATIENCE_MS, toldIn } from './agent.ts'

/** The first line of the official SDK, which most clients are made with. */
export const sdk: AgentKind = {
  name: '@modelcontextprotocol/sdk',
  connect: (url) => connectSdk(new StreamableHTTPClientTransport(new URL(url)) as Transport),
}

export async function connectSdk(transport: Transport): Promise<Agent> {
  const client = new Client(CLIENT)
  await client.connect(transport)
  return {
    tools: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name, input, timeout = PATIENCE_MS) =>
      toldIn(await client.callTool({ name, arguments: input }, undefined, { timeout })),
    [Symbol.asyncDispose]: () => client.close(),
  }
}

import {
  Client,
  StreamableHTTPClientTransport,
  type VersionNegotiationMode,
} from '@modelcontextprotocol/client'
import { must } from '../report.ts'
import { type AgentKind, CLIENT, PATIENCE_MS, toldIn } from './agent.ts'

export const MODERN = '2026-07-28'

/** The second line of the official SDK, in each way in which it finds out what a server speaks. */
export const clients: readonly AgentKind[] = [
  kind('legacy', 'legacy', 'legacy'),
  kind('auto', 'auto', 'modern'),
  kind(MODERN, { pin: MODERN }, 'modern'),
]

function kind(name: string, mode: VersionNegotiationMode, era: 'legacy' | 'modern'): AgentKind {
  return {
    name: `@modelcontextprotocol/client, ${name}`,
    async connect(url) {
      const client = new Client(CLIENT, { versionNegotiation: { mode } })
      await client.connect(new StreamableHTTPClientTransport(new URL(url)))
      must(client.getProtocolEra() === era, `speaks ${client.getProtocolEra()}, not ${era}`)
      return {
        tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
        call: async (tool, input, timeout = PATIENCE_MS) =>
          toldIn(await client.callTool({ name: tool, arguments: input }, { timeout })),
        [Symbol.asyncDispose]: () => client.close(),
      }
    },
  }
}

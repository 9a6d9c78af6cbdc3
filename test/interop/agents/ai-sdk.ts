import { createMCPClient } from '@ai-sdk/mcp'
import { must } from '../report.ts'
import { type AgentKind, PATIENCE_MS, toldIn } from './agent.ts'

/** What agents made with Vercel's AI SDK speak. */
export const aiSdk: AgentKind = {
  name: '@ai-sdk/mcp',
  async connect(url) {
    const client = await createMCPClient({ transport: { type: 'http', url } })
    const tools = await client.tools()
    return {
      tools: async () => Object.keys(tools),
      async call(name, input, patienceMs = PATIENCE_MS) {
        const tool = tools[name]
        must(tool !== undefined, `no tool ${name}`)
        const abortSignal = AbortSignal.timeout(patienceMs)
        const call = { toolCallId: 'call', messages: [], context: {}, abortSignal }
        return toldIn(await tool.execute(input, call))
      },
      [Symbol.asyncDispose]: () => client.close(),
    }
  },
}

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import type { AgentKind } from './agent.ts'
import { connectSdk } from './sdk.ts'

const SCRIPT = join(import.meta.dirname, '../node_modules/mcp-remote/dist/proxy.js')

/** The bridge by which desktop clients reach servers over HTTP. */
export const mcpRemote: AgentKind = {
  name: 'mcp-remote',
  async connect(url) {
    const home = await mkdtemp(join(tmpdir(), 'loopgate-mcp-remote-'))
    const agent = await connectSdk(
      new StdioClientTransport({
        command: process.execPath,
        args: [SCRIPT, url, '--transport', 'http-only', '--silent'],
        env: { PATH: process.env['PATH'] ?? '', HOME: home, MCP_REMOTE_CONFIG_DIR: home },
        stderr: 'ignore',
      }),
    )
    return {
      ...agent,
      async [Symbol.asyncDispose]() {
        await agent[Symbol.asyncDispose]()
        await rm(home, { recursive: true, force: true })
      },
    }
  },
}

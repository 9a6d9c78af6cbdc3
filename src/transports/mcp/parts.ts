import type { Log } from '../../core/ports.ts'
import type { Tool, ToolContext } from './tool.ts'

/** What the revisions of MCP have in common. */
export interface McpParts {
  readonly tools: readonly Tool[]
  readonly context: ToolContext
  readonly logger: Log
  readonly version: string
}

export const serverInfo = (version: string) => ({ name: 'loopgate', title: 'Loopgate', version })

/** An error of the protocol, as JSON-RPC 2.0 has it (section 5.1). */
export class JsonRpcFailure extends Error {
  readonly code: number
  readonly data: unknown

  constructor(code: number, message: string, data?: unknown) {
    super(message)
    this.code = code
    this.data = data
  }
}

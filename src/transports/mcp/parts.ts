import type { Tool, ToolContext, ToolJson } from './tool.ts'

/** What the revisions of MCP have in common. */
export interface McpParts {
  readonly tools: readonly Tool[]
  /** The same as `tools/list` says them. */
  readonly listed: readonly ToolJson[]
  readonly context: ToolContext
  readonly version: string
}

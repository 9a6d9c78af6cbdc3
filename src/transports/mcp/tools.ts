import { approvalTools } from './approval-tools.ts'
import { callbackTool } from './callback-tool.ts'
import { permissionTool } from './permission-tool.ts'
import { questionTools } from './question-tools.ts'
import { type Tool, type ToolJson, toToolJson } from './tool.ts'

/** The registry: every tool, for every revision of MCP. */
export const tools: readonly Tool[] = [
  ...questionTools,
  callbackTool,
  ...approvalTools,
  permissionTool,
]

/** As `tools/list` says it. */
export const listTools = (): readonly ToolJson[] => tools.map(toToolJson)

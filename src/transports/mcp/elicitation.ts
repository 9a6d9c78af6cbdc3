import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import type { RequestId } from '@modelcontextprotocol/sdk/types.js'
import { toAnswer, toForm } from './form.ts'
import type { ToolCall } from './tool.ts'

/** setTimeout takes no more. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1

/** Undefined when the client shows no forms. */
export function elicitation(server: Server, requestId: RequestId): ToolCall['askBeside'] {
  if (!server.getClientCapabilities()?.elicitation?.form) return undefined
  return async (request, signal) => {
    const options = { relatedRequestId: requestId, signal, timeout: MAX_TIMEOUT_MS }
    return toAnswer(request, await server.elicitInput(toForm(request), options))
  }
}

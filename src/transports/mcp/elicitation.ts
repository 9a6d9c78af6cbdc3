import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import type { RequestId } from '@modelcontextprotocol/sdk/types.js'
import type { Answer, HitlRequest } from '../../core/request.ts'
import type { InlineAsking } from './tool.ts'

/** setTimeout takes no more. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1

/** A question as a form (elicitation, form mode): one field, `answer`. */
export function toForm({ question }: HitlRequest) {
  const labels = question.options.map(({ label }) => label)
  const answer =
    labels.length > 0
      ? { type: 'string' as const, title: 'Answer', enum: labels }
      : { type: 'string' as const, title: 'Answer', maxLength: 20_000 }
  return {
    message: question.message,
    requestedSchema: { type: 'object' as const, properties: { answer }, required: ['answer'] },
  }
}

/** What came back with `accept`. Whoever declines or closes the form has not answered. */
export function toAnswer(
  { question }: HitlRequest,
  result: { readonly action?: unknown; readonly content?: unknown },
): Answer | undefined {
  const { answer } = (result.content ?? {}) as { readonly answer?: unknown }
  if (result.action !== 'accept' || typeof answer !== 'string') return undefined
  return question.options.length > 0 ? { option: answer } : { response: answer }
}

/** Undefined when the client shows no forms. */
export function elicitation(server: Server, requestId: RequestId): InlineAsking | undefined {
  if (!server.getClientCapabilities()?.elicitation?.form) return undefined
  const client = server.getClientVersion()
  return {
    clientName: client?.title ?? client?.name ?? 'an MCP client',
    async ask(request, signal) {
      const options = { relatedRequestId: requestId, signal, timeout: MAX_TIMEOUT_MS }
      return toAnswer(request, await server.elicitInput(toForm(request), options))
    },
  }
}

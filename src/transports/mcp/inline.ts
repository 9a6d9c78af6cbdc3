import { LoopgateError } from '../../core/errors.ts'
import { type Person, type Principal, principalKey } from '../../core/principal.ts'
import { type HitlRequest, isInlineAllowed } from '../../core/request.ts'
import type { ToolCall, ToolContext } from './tool.ts'

/** Rounds of judging an answer again because the reviewers were changed at that moment. */
const MAX_ROUNDS = 3

/**
 * Asks the person at the client beside everybody else, when the session lets that person answer. The
 * first answer counts, wherever it comes from; who declines or closes the question has not answered
 * it. Returns what stops asking.
 */
export function answerInline(
  context: ToolContext,
  call: ToolCall,
  request: HitlRequest,
): () => void {
  if (!call.inline || !isInlineAllowed(request.question.reviewers)) return () => undefined
  const over = new AbortController()
  const signal = AbortSignal.any([over.signal, call.signal])
  void settleInline(context, call, request, signal).catch((error: unknown) => {
    // Somebody else was faster, or the client is gone.
    if (signal.aborted || error instanceof LoopgateError) return
    context.logger.warn({ err: error }, 'the person at an MCP client could not be asked')
  })
  return () => over.abort()
}

async function settleInline(
  { hub }: ToolContext,
  { inline, principal }: ToolCall,
  request: HitlRequest,
  signal: AbortSignal,
): Promise<void> {
  const answer = await inline?.ask(request, signal)
  if (!inline || !answer || signal.aborted) return
  const person = personAt(principal, inline.clientName)
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const { reviewers } = await hub.session(principal, request.question.sessionId)
    if (!isInlineAllowed(reviewers)) return
    const stored = { request, settledBy: null }
    if (await hub.decideWhile(reviewers, person, stored, answer)) return
  }
}

/** Known only as whoever sits at a client that has this credential. */
const personAt = (principal: Principal, clientName: string): Person => ({
  type: 'person',
  tenant: principal.tenant,
  channel: 'mcp',
  id: principalKey(principal),
  name: `the user of ${clientName}`,
})

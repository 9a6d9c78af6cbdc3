import { LoopgateError } from '../../core/errors.ts'
import { type Person, type Principal, principalKey } from '../../core/principal.ts'
import { type Answer, type HitlRequest, INLINE, isInlineAllowed } from '../../core/request.ts'
import { visiblePart } from '../../protocol/fields.ts'
import { parseDecision } from '../../protocol/requests.ts'
import { formText } from './form.ts'
import type { ToolCall, ToolContext } from './tool.ts'

/** Rounds of judging an answer again because the reviewers were changed at that moment. */
const MAX_ROUNDS = 3
/** Characters of a client's name. */
const MAX_NAME = 100

/** Whether the client is to put the question to its person before it calls again. */
export const asksBetween = ({ asksBetween, resumed }: ToolCall, request: HitlRequest): boolean =>
  asksBetween === true &&
  !resumed &&
  request.state.status === 'pending' &&
  isInlineAllowed(request.question.reviewers)

/**
 * Asks the person at the client beside everybody else, when the session lets that person answer. The
 * first answer counts, wherever it comes from; who declines or closes the question has not answered
 * it. Returns what stops asking.
 */
export function askBeside(context: ToolContext, call: ToolCall, request: HitlRequest): () => void {
  const ask = call.askBeside
  if (!ask || !isInlineAllowed(request.question.reviewers)) return () => undefined
  const over = new AbortController()
  const signal = AbortSignal.any([over.signal, call.signal])
  const settle = async () => {
    const answer = await ask(request, signal)
    if (answer && !signal.aborted) await decideInline(context, call, request, answer)
  }
  void settle().catch((error: unknown) => {
    const isLate = error instanceof LoopgateError && error.code === 'REQUEST_ALREADY_SETTLED'
    if (signal.aborted || isLate) return
    context.logger.warn({ err: error }, 'an answer at an MCP client was not taken')
  })
  return () => over.abort()
}

/**
 * What the person at the client answered, if the session lets that person answer, then and now.
 * @throws {LoopgateError} as parseDecision and Hub.decideWhile.
 */
export async function decideInline(
  { hub }: ToolContext,
  { principal, clientName }: ToolCall,
  request: HitlRequest,
  given: Answer,
): Promise<HitlRequest> {
  const answer = { ...parseDecision(given), shown: formText(request.question) }
  const person = personAt(principal, clientName)
  const stored = { request, settledBy: null }
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const { reviewers } = await hub.session(principal, request.question.sessionId)
    const isAllowed = isInlineAllowed(reviewers) && isInlineAllowed(request.question.reviewers)
    if (!isAllowed) break
    const decided = await hub.decideWhile(reviewers, person, stored, answer)
    if (decided) return decided
  }
  return request
}

/** Known only as whoever sits at a client that has this credential, and says its own name. */
function personAt(principal: Principal, clientName: string): Person {
  const name = [...visiblePart(clientName.toWellFormed())].slice(0, MAX_NAME).join('')
  return {
    type: 'person',
    tenant: principal.tenant,
    channel: INLINE.channel,
    id: principalKey(principal),
    name: `the user of ${name || 'an MCP client'}`,
  }
}

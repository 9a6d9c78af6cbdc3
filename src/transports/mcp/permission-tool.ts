import * as z from 'zod'
import { invalid } from '../../core/errors.ts'
import type { HitlRequest } from '../../core/request.ts'
import { codePoints, id, parse } from '../../protocol/fields.ts'
import { toLoopgateError } from '../../protocol/problem.ts'
import { MAX_MESSAGE } from '../../protocol/requests.ts'
import { ask, awaitAnswer, winnerOf } from './asking.ts'
import { CALL_ID } from './call.ts'
import { ASKS, type Tool, type ToolCall, type ToolContext, textResult } from './tool.ts'

const permission = z.object({
  tool_name: id,
  input: z.record(z.string(), z.json()).meta({ jsonSchema: { type: 'object' } }),
  tool_use_id: id.optional(),
})

const OPTIONS = [
  { label: 'Allow', effect: 'approve' },
  { label: 'Deny', effect: 'reject' },
]

type Verdict =
  | { readonly behavior: 'allow'; readonly updatedInput: Readonly<Record<string, unknown>> }
  | { readonly behavior: 'deny'; readonly message: string }

/**
 * The approver of a headless Claude Code (`--permission-prompt-tool`). Its answer is one text block with
 * a verdict; whatever goes wrong is a denial that says so.
 */
export const permissionTool: Tool = {
  name: 'permission_prompt',
  title: 'Approve the use of a tool',
  description:
    'Do not call this: Claude Code does, as its --permission-prompt-tool, to ask a person whether a tool may ' +
    'be used.',
  input: permission,
  annotations: ASKS,
  canTakeLong: false,
  async call(context, call, input) {
    const verdict = await decide(context, call, input).catch((thrown: unknown): Verdict => {
      const { code, message } = toLoopgateError(thrown)
      return deny(`Nobody was asked, so it is denied. ${code}: ${message}`)
    })
    return textResult(JSON.stringify(verdict))
  },
}

async function decide(context: ToolContext, call: ToolCall, given: unknown): Promise<Verdict> {
  const { tool_name, input, tool_use_id } = parse(permission, given)
  const useId = tool_use_id !== undefined && CALL_ID.test(tool_use_id) ? tool_use_id : call.callId
  // As JSON, in which no value can pass for another field.
  const message = `Allow ${tool_name}?\n\n${JSON.stringify(input, null, 2)}`
  if (codePoints(message) > MAX_MESSAGE) {
    const limit = `at most ${MAX_MESSAGE} characters`
    throw invalid('/input', `is too long to be shown to a person, ${limit}: use smaller steps`)
  }
  const asked = await ask(context, call, 'permission', {
    message,
    options: OPTIONS,
    // What is allowed is this use: a later one finds no question that was left.
    ...(useId !== undefined && { idempotency_key: `permission:${useId}` }),
  })
  const { expiresAt } = asked.request.question
  // Both by the clock of the database, which is the one that counts; a little longer, to see it expire.
  const seconds = (expiresAt.getTime() - asked.request.question.createdAt.getTime()) / 1_000 + 5
  try {
    const waited = await awaitAnswer(context, call, asked, seconds)
    const seen = waited.state.outcome === null ? await withdraw(context, call, waited) : waited
    if (seen.state.outcome === 'approved') return { behavior: 'allow', updatedInput: input }
    return deny(reasonOf(context, seen))
  } catch (thrown) {
    const { code, message } = toLoopgateError(thrown)
    return deny(
      `A person was asked, and the answer is not known, so it is denied. ${code}: ${message}`,
    )
  }
}

/**
 * Nobody waits any longer, and who presses later must not believe that it was allowed. Whoever was
 * faster has decided it.
 */
async function withdraw(
  { hub }: ToolContext,
  { principal, signal }: ToolCall,
  request: HitlRequest,
): Promise<HitlRequest> {
  // The client left: its repeated call finds the question.
  if (signal.aborted) return request
  return hub.cancel(principal, request.question.id).then(() => request, winnerOf)
}

const deny = (message: string): Verdict => ({ behavior: 'deny', message })

const NOBODY = 'Nobody answered in time, so it is denied. No person said no.'

function reasonOf({ draining }: ToolContext, { state }: HitlRequest): string {
  switch (state.outcome) {
    case 'rejected':
      return `A person denied this.${state.comment === null ? '' : ` Comment: ${state.comment}`}`
    case 'answered':
      return `A person did not allow this, and answered: ${state.response}`
    case 'expired':
      return NOBODY
    case 'canceled':
      return 'The question was withdrawn before anybody answered, so it is denied. No person said no.'
    default:
      return draining.aborted
        ? 'The server stopped before anybody answered, so it is denied. No person said no.'
        : NOBODY
  }
}

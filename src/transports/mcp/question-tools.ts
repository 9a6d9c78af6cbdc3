import * as z from 'zod'
import type { Session } from '../../core/ports.ts'
import type { HitlRequest } from '../../core/request.ts'
import { id } from '../../protocol/fields.ts'
import { questionFields } from '../../protocol/requests.ts'
import { toView } from '../../protocol/view.ts'
import { viewFields } from '../../protocol/view-schema.ts'
import { type Asked, ask, awaitAnswer, winnerOf } from './asking.ts'
import { asksBetween } from './inline.ts'
import { viewResult } from './next-step.ts'
import {
  ASKS,
  type CallResult,
  defineTool,
  LOOKS,
  structured,
  type Tool,
  type ToolCall,
  type ToolContext,
} from './tool.ts'

/** Below the minute after which most clients give a call up. */
export const DEFAULT_WAIT_SECONDS = 45
/** Below the five minutes of silence after which even patient clients do. */
const MAX_WAIT_SECONDS = 280

const waitSeconds = z
  .number()
  .min(0)
  .transform((seconds) => Math.min(seconds, MAX_WAIT_SECONDS))

const view = z.object(viewFields)
const viewAndStep = z.object({
  ...viewFields,
  next_step: z.string().describe('What to do now.'),
})

const requestId = id.describe('As request_human_input answered it.')

const asking = {
  input: z.object({
    ...questionFields,
    session_id: id.optional().describe('Only needed when there are several sessions.'),
    client_id: id.optional(),
    wait_seconds: waitSeconds
      .optional()
      .describe(
        `Seconds to wait for the answer: ${DEFAULT_WAIT_SECONDS} unless said, at most ${MAX_WAIT_SECONDS}, 0 to come back at once.`,
      ),
  }),
  output: viewAndStep,
  annotations: ASKS,
  canTakeLong: true,
} satisfies Partial<Tool>

const isTask = ({ task }: ToolCall, { state }: HitlRequest, waitSeconds: number): boolean =>
  task === 'wanted' || (task === 'taken' && state.status === 'pending' && waitSeconds > 0)

/** The link by which somebody joins a session that nobody answers for, while there is something to answer. */
const linkOf = async ({ hub }: ToolContext, session: Session, { state }: HitlRequest) =>
  state.status === 'pending' ? hub.invite(session) : undefined

/** A task has no place for the link, without which nobody would ever answer. */
async function taskOf(
  context: ToolContext,
  { task }: ToolCall,
  { request, session }: Asked,
): Promise<CallResult> {
  const link = task === 'taken' ? await linkOf(context, session, request) : undefined
  return link === undefined ? { task: request } : viewResult(context, request, link)
}

const requestHumanInput = (name: string, description: string) =>
  defineTool({
    ...asking,
    name,
    title: 'Ask a person',
    description,
    async call(context, call, { wait_seconds = DEFAULT_WAIT_SECONDS, ...question }) {
      const asked = await ask(context, call, 'call', question)
      if (wait_seconds > 0 && asksBetween(call, asked.request)) return { asks: asked.request }
      if (isTask(call, asked.request, wait_seconds)) return taskOf(context, call, asked)
      const seen = await awaitAnswer(context, call, asked, wait_seconds)
      return viewResult(context, seen, await linkOf(context, asked.session, seen))
    },
  })

/** Questions to people: asking, looking, waiting, withdrawing. */
export const questionTools: readonly Tool[] = [
  requestHumanInput(
    'request_human_input',
    'Ask a person to decide or to answer, and wait for it. Use it before anything that can not be undone or that ' +
      'others will notice (deploy, delete, pay, send), and when only a person can know. Only outcome "approved" ' +
      'is an approval: rejected, answered, expired, canceled and pending are not. When it comes back pending, ' +
      'go on with other work and call check_request_status; the question stays open.',
  ),
  requestHumanInput(
    'hitl_request',
    'The older name of request_human_input, and the same. Call request_human_input instead.',
  ),
  defineTool({
    name: 'check_request_status',
    title: 'Look for the answer',
    description:
      'What became of a question: pending, or how it ended. With wait_seconds it waits for the answer. ' +
      'Only outcome "approved" is an approval.',
    input: z.object({
      request_id: requestId,
      wait_seconds: waitSeconds
        .optional()
        .describe(`Seconds to wait for the answer, at most ${MAX_WAIT_SECONDS}; 0 unless said.`),
    }),
    output: viewAndStep,
    annotations: LOOKS,
    canTakeLong: true,
    async call(context, call, { request_id, wait_seconds = 0 }) {
      const request = await context.hub.get(call.principal, request_id)
      if (isTask(call, request, wait_seconds)) return { task: request }
      const seen = await awaitAnswer(context, call, { request, body: undefined }, wait_seconds)
      return viewResult(context, seen)
    },
  }),
  defineTool({
    name: 'list_pending_requests',
    title: 'List open questions',
    description: 'The questions of yours that nobody has answered yet, oldest first.',
    input: z.object({}),
    output: z.object({ requests: z.array(view), count: z.int() }),
    annotations: LOOKS,
    canTakeLong: false,
    async call({ hub }, { principal }) {
      const requests = (await hub.listPending(principal)).map(toView)
      return structured({ requests, count: requests.length })
    },
  }),
  defineTool({
    name: 'cancel_request',
    title: 'Withdraw a question',
    description:
      'Withdraws a question that is not needed any more, so that nobody answers it in vain. One that is ' +
      'settled already stays as it is, and is returned.',
    input: z.object({ request_id: requestId }),
    output: view,
    annotations: {
      readOnlyHint: false,
      destructiveHint: true,
      idempotentHint: true,
      openWorldHint: true,
    },
    canTakeLong: false,
    async call({ hub, left }, { principal }, { request_id }) {
      const settled = await hub.cancel(principal, request_id).catch(winnerOf)
      left.told(request_id)
      return structured({ ...toView(settled) })
    },
  }),
]

import { createHmac } from 'node:crypto'
import * as z from 'zod'
import { invalid } from '../../core/errors.ts'
import type { Session } from '../../core/ports.ts'
import type { HitlRequest } from '../../core/request.ts'
import { id, text } from '../../protocol/fields.ts'
import { ask } from './asking.ts'
import { ASKS, defineTool, LOOKS, structured, type Tool } from './tool.ts'

/** request_approval and check_approval, as agents that were written for LoopPause know them. */

const DEFAULT_HOURS = 24
const MAX_HOURS = 168

const OPTIONS = [
  { label: 'Approve', effect: 'approve' },
  { label: 'Reject', effect: 'reject' },
]

/** Their word for how a question ended. */
const STATUS = {
  pending: 'pending',
  decided: 'responded',
  expired: 'timed_out',
  canceled: 'expired',
} as const

const response = z.object({
  decision: z.enum(['approved', 'rejected']).describe('Anything but approved is not an approval.'),
  comment: z.string().nullable(),
  fields: z.object({}),
  responder: z.string(),
  responded_at: z.string(),
  channel: z.string(),
  nonce: z.string(),
  signature: z.string(),
})

export const approvalTools: readonly Tool[] = [
  defineTool({
    name: 'request_approval',
    title: 'Ask for an approval',
    description:
      'Asks a person to approve or reject an action, and comes back at once. Call check_approval with the ' +
      'pause_id until it says responded, and do the action only when the decision is "approved".',
    input: z.object({
      action_description: text(4_000).describe('What you want to do, in one sentence.'),
      action_details: z.union([z.string(), z.record(z.string(), z.json())]).meta({
        jsonSchema: {
          type: 'string',
          description: 'Everything the person needs to decide: on what, with which values, why.',
        },
      }),
      timeout_hours: z
        .number()
        .min(1)
        .max(MAX_HOURS)
        .optional()
        .describe(`Hours until it expires: 1 to ${MAX_HOURS}, ${DEFAULT_HOURS} unless said.`),
      recipient_email: text(320).optional().describe('Somebody to ask by e-mail as well.'),
      recipient_slack: text(200).optional().describe('Somebody to ask in Slack as well.'),
    }),
    output: z.object({
      pause_id: z.string(),
      status: z.enum(['pending', 'responded', 'timed_out', 'expired']),
      expires_at: z.string(),
      MANDATORY_NEXT_STEP: z.string(),
    }),
    annotations: ASKS,
    canTakeLong: false,
    async call(context, call, input) {
      const { action_description, action_details: details, timeout_hours = DEFAULT_HOURS } = input
      const isText = typeof details === 'string'
      const { recipient_email: email, recipient_slack: slack } = input
      const { request } = await ask(
        context,
        call,
        'approval',
        {
          message: isText ? `${action_description}\n\n${details}`.trimEnd() : action_description,
          options: OPTIONS,
          timeout_seconds: Math.round(timeout_hours * 3_600),
          metadata: {
            ...(isText ? {} : details),
            ...(email !== undefined && { recipient_email: email }),
            ...(slack !== undefined && { recipient_slack: slack }),
          },
        },
        [...(email === undefined ? [] : ['email']), ...(slack === undefined ? [] : ['slack'])],
      )
      return structured({
        pause_id: request.question.id,
        status: STATUS[request.state.status],
        expires_at: request.question.expiresAt.toISOString(),
        MANDATORY_NEXT_STEP:
          `Do not do the action yet. Call check_approval with pause_id "${request.question.id}" until its ` +
          'status is not "pending", and go on only when response.decision is "approved".',
      })
    },
  }),
  defineTool({
    name: 'check_approval',
    title: 'Look for the approval',
    description:
      'What became of request_approval: pending, responded (see response.decision), timed_out (nobody ' +
      'answered) or expired (it was withdrawn). Only response.decision "approved" is an approval.',
    input: z.object({ pause_id: id.describe('As request_approval answered it.') }),
    output: z.object({
      status: z.enum(['pending', 'responded', 'timed_out', 'expired']),
      pause_id: z.string().optional(),
      agent_id: z.string().optional(),
      created_at: z.string().optional(),
      expires_at: z.string().optional(),
      response: response.nullable().optional(),
    }),
    annotations: LOOKS,
    canTakeLong: false,
    async call({ hub, left }, { principal }, { pause_id }) {
      const request = await hub.get(principal, pause_id)
      const { question, state } = request
      if (state.status === 'pending') return structured({ status: STATUS.pending })
      left.told(question.id)
      const session = await hub.session(principal, question.sessionId)
      return structured({
        pause_id: question.id,
        agent_id: question.clientId,
        status: STATUS[state.status],
        created_at: question.createdAt.toISOString(),
        expires_at: question.expiresAt.toISOString(),
        response: signedResponse(request, session),
      })
    },
  }),
]

/**
 * What the person said, signed with the session's whole webhook_secret as text: `sha256=` and the hex
 * HMAC-SHA256 of the JSON of the other fields, in the alphabetical order of their names. Null when
 * nobody decided.
 */
function signedResponse({ question, state }: HitlRequest, { webhookSecret }: Session) {
  const { decidedBy, outcome, settledAt } = state
  if (!decidedBy || !settledAt) return null
  if (outcome !== 'approved' && outcome !== 'rejected') {
    throw invalid('/pause_id', 'is no approval, and was answered; use check_request_status')
  }
  const hmac = (message: string) =>
    createHmac('sha256', webhookSecret).update(message).digest('hex')
  const fields = {
    channel: decidedBy.channel,
    comment: state.comment,
    decision: outcome,
    fields: {},
    // The same for ever, as the decision is.
    nonce: hmac(`nonce:${question.id}`).slice(0, 32),
    responded_at: settledAt.toISOString(),
    responder: decidedBy.name,
  }
  return { ...fields, signature: `sha256=${hmac(JSON.stringify(fields))}` }
}

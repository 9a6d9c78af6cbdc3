import type { HitlRequest } from '../../core/request.ts'
import { toView } from '../../protocol/view.ts'
import { structured, type ToolContext, type ToolResult } from './tool.ts'

/**
 * The view, and in one or two sentences what a model does next.
 * @param link by which a reviewer joins the session, when nobody is there yet.
 */
export function viewResult({ left }: ToolContext, request: HitlRequest, link?: string): ToolResult {
  if (request.state.status !== 'pending') left.told(request.question.id)
  return structured({ ...toView(request), next_step: nextStep(request, link) })
}

function nextStep(request: HitlRequest, link: string | undefined): string {
  switch (request.state.outcome) {
    case null:
      return pendingStep(request, link)
    case 'approved':
      return (
        'A person approved this: see decided_by, and check_request_status confirms it. Do exactly what ' +
        'was asked, and nothing beyond it.'
      )
    case 'rejected':
      return 'A person said no. Do not do it, and do not ask the same again; see comment for a reason.'
    case 'answered':
      return 'A person answered, and this is not an approval. Read response, and act on what it says.'
    case 'expired':
      return 'Nobody answered in time. This is not an approval: do not do it. Ask again if it is still needed.'
    case 'canceled':
      return 'The question was withdrawn before anybody answered. This is not an approval.'
    default:
      return request.state.outcome satisfies never
  }
}

function pendingStep({ question, state }: HitlRequest, link: string | undefined): string {
  const { delivery } = state
  const failed = delivery.filter(({ status }) => status === 'failed')
  const reasons = failed.map(({ channel, error }) => `${channel}: ${error}`).join('; ')
  const unreached =
    failed.length === delivery.length
      ? ` Nobody was told of it${reasons === '' ? '' : ` (${reasons})`}: tell the user to answer on the console page of Loopgate.`
      : ''
  const joining =
    link === undefined
      ? ''
      : ` Nobody answers for this session yet: give the user this link, by which a reviewer joins: ${link}`
  return (
    `Not answered yet. Do other work, or wait with check_request_status (request_id ` +
    `"${question.id}", wait_seconds 45). Do not go on as if it was approved.${unreached}${joining}`
  )
}

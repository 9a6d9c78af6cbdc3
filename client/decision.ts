import type { RequestView, WireOutcome } from '../src/protocol/types.ts'
import { malformed } from './errors.ts'

interface Settled {
  readonly requestId: string
  /** The answer: the label of the chosen option, or the text. */
  readonly response: string | null
  readonly comment: string | null
  /** Null when no person decided: it expired, or was canceled. */
  readonly decidedBy: RequestView['decided_by']
  readonly view: RequestView
  /** The place in the session's log after this decision. */
  readonly cursor: string
}

/** How a request ended. `approved` is true only when a person approved this very request. */
export type Decision =
  | (Settled & { readonly outcome: 'approved'; readonly approved: true })
  | (Settled & {
      readonly outcome: Exclude<WireOutcome, 'approved'>
      readonly approved: false
    })

/**
 * The decision in a view that was checked, or undefined while it is pending.
 * @throws {LoopgateError} MALFORMED_ANSWER when the view is another request's, or contradicts itself.
 */
export function toDecision(
  view: RequestView,
  asked: Pick<RequestView, 'request_id' | 'session_id'>,
): Decision | undefined {
  const { request_id: requestId, outcome } = view
  if (requestId !== asked.request_id || view.session_id !== asked.session_id) {
    throw malformed('an answer about another request')
  }
  if (outcome === null) return undefined
  const settled: Settled = {
    requestId,
    response: view.response,
    comment: view.comment,
    decidedBy: view.decided_by,
    view,
    cursor: view.cursor,
  }
  const isApproved = outcome === 'approved' && view.approved === true && view.status === 'completed'
  if (isApproved) return { ...settled, outcome, approved: true }
  if (outcome === 'approved' || view.approved) throw malformed('a decision that contradicts itself')
  return { ...settled, outcome, approved: false }
}

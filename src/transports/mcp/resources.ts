import type { Hub } from '../../core/hub.ts'
import type { Principal } from '../../core/principal.ts'
import type { HitlRequest } from '../../core/request.ts'
import type { Subscription } from '../../core/subscription.ts'
import { toView } from '../../protocol/view.ts'
import type { ToolContext } from './tool.ts'

const PREFIX = 'loopgate://requests/'
const MIME = 'application/json'

export const TEMPLATES = [
  {
    uriTemplate: `${PREFIX}{request_id}`,
    name: 'request',
    title: 'A question and what became of it',
    description: 'The request as check_request_status shows it.',
    mimeType: MIME,
  },
]

/** Resources that one client may follow at a time. */
export const MAX_FOLLOWED = 100

/** @throws {LoopgateError} REQUEST_NOT_FOUND, also for what is no resource of ours. */
export const requestAt = (hub: Hub, principal: Principal, uri: string): Promise<HitlRequest> =>
  hub.get(principal, uri.startsWith(PREFIX) ? uri.slice(PREFIX.length) : '')

export const toResource = ({ question }: HitlRequest) => ({
  uri: `${PREFIX}${question.id}`,
  name: question.id,
  title: question.message.slice(0, 100),
  mimeType: MIME,
})

export function toContents({ left }: ToolContext, uri: string, request: HitlRequest) {
  if (request.state.status !== 'pending') left.told(request.question.id)
  return { contents: [{ uri, mimeType: MIME, text: JSON.stringify(toView(request)) }] }
}

/** Tells of each change of the request from now on. Ends with the request. */
export function follow(
  hub: Hub,
  principal: Principal,
  request: HitlRequest,
  { changed, ended }: { changed(): void; ended?(): void },
): Promise<Subscription> {
  return hub.subscribe(principal, { requestId: request.question.id }, request.cursor, {
    started: () => undefined,
    event: changed,
    drained: () => Promise.resolve(),
    ended: () => ended?.(),
  })
}

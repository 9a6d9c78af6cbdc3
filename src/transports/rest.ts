import type { FastifyReply, FastifyRequest } from 'fastify'
import * as z from 'zod'
import type { CardWork } from '../core/card.ts'
import type { Session } from '../core/ports.ts'
import { id, parse } from '../protocol/fields.ts'
import {
  parseRegistration,
  parseSubmission,
  pendingQuery,
  requestBody,
  requestQuery,
  sessionQuery,
} from '../protocol/requests.ts'
import { toView } from '../protocol/view.ts'
import {
  authenticate,
  principalOf,
  type Transport,
  type TransportContext,
  type TransportDefinition,
} from './transport.ts'
import { stillAuthorized, whileHeld } from './waiting.ts'

const requestParams = z.object({ id })

/** The routes that agents ask by, under the names that users of the Go Loopgate know. */
export const rest: TransportDefinition = {
  name: 'rest',
  create(context): Transport {
    const { hub, http, auth, deliveries } = context
    const onRequest = authenticate(auth)

    for (const path of ['/hitl/register', '/sessions/register']) {
      http.post(path, { onRequest }, async (request) => {
        const principal = principalOf(request)
        const session = await hub.register(principal, parseRegistration(request.body))
        return {
          success: true,
          session_id: session.id,
          message: 'Session registered successfully',
          webhook_secret: session.webhookSecret,
          link_url: (await hub.invite(session)) ?? null,
        }
      })
    }

    http.post('/hitl/request', { onRequest }, (request, reply) => submit(context, request, reply))

    http.get('/hitl/status', { onRequest }, async (request) => {
      const { session_id } = parse(sessionQuery, request.query)
      return toStatus(await hub.session(principalOf(request), session_id))
    })

    http.post('/hitl/deactivate', { onRequest }, async (request) => {
      const { session_id } = parse(sessionQuery, request.body)
      await hub.deactivate(principalOf(request), session_id)
      return { success: true, message: 'Session deactivated successfully' }
    })

    http.get('/hitl/pending', { onRequest }, async (request) => {
      const { session_id } = parse(pendingQuery, request.query)
      const pending = await hub.listPending(principalOf(request), session_id)
      return { pending_requests: pending.map(toView), count: pending.length }
    })

    http.post('/hitl/cancel', { onRequest }, async (request) => {
      const { request_id } = parse(requestBody, request.body)
      await hub.cancel(principalOf(request), request_id)
      return { success: true, message: 'Request canceled successfully' }
    })

    http.get('/api/requests/:id/cards', { onRequest }, async (request) => {
      const found = await deliveries.list(
        principalOf(request),
        parse(requestParams, request.params).id,
      )
      return { cards: found.map(toCardView) }
    })

    return { name: 'rest', close: async () => undefined }
  },
}

async function submit(context: TransportContext, request: FastifyRequest, reply: FastifyReply) {
  const { hub, defaults } = context
  const principal = principalOf(request)
  const { wait = preferredWait(request) } = parse(requestQuery, request.query)
  const key = request.headers['idempotency-key']
  const submission = parseSubmission(request.body, defaults, key?.toString())
  const { request: asked, replayed } = await hub.submit(principal, submission)
  if (replayed) reply.header('idempotent-replayed', 'true')
  if (wait === undefined) return { success: true, ...toView(asked) }
  if (request.headers['prefer'] !== undefined) reply.header('preference-applied', `wait=${wait}`)
  const signal = whileHeld(context, reply)
  const seen = await hub.settled(principal, asked, wait * 1000, signal)
  stillAuthorized(signal)
  return { success: true, ...toView(seen) }
}

/** RFC 7240, section 4.3. A preference that can not be read is ignored (section 2). */
function preferredWait({ headers }: FastifyRequest): number | undefined {
  const seconds = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,9})"?(?:$|[,;\s])/i.exec(
    headers['prefer']?.toString() ?? '',
  )?.[1]
  return seconds === undefined ? undefined : parse(requestQuery, { wait: seconds }).wait
}

/** `telegram_id` as users know it: the one address that the Telegram channel has. */
function toStatus(session: Session) {
  const address = session.reviewers['telegram']?.address ?? null
  return {
    id: session.id,
    client_id: session.clientId,
    telegram_id: address === null ? null : Number(address),
    active: session.active,
    created_at: session.createdAt.toISOString(),
  }
}

const toCardView = ({ type, channel, status, attempts, error, nextAttemptAt }: CardWork) => ({
  ...{ type, channel, status, attempts, error },
  next_attempt_at: nextAttemptAt?.toISOString() ?? null,
})

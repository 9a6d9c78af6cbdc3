import type { FastifyRequest } from 'fastify'
import * as z from 'zod'
import type { Callback } from '../../core/callback.ts'
import { id, parse } from '../../protocol/fields.ts'
import {
  authenticate,
  principalOf,
  type Transport,
  type TransportDefinition,
} from '../transport.ts'

const params = z.object({ id })

/**
 * Callbacks over HTTP: what became of them, sending them again, and the key that verifies them.
 * The posting itself is the core's to time and the sender's to do.
 */
export const webhook: TransportDefinition = {
  name: 'webhook',
  create({ callbacks, http, auth, webhookKey }): Transport {
    const onRequest = authenticate(auth)
    const idOf = (request: FastifyRequest) => parse(params, request.params).id

    http.get('/.well-known/webhook-key', () => ({ public_key: webhookKey }))

    http.get('/api/requests/:id/callbacks', { onRequest }, async (request) => {
      const found = await callbacks.list(principalOf(request), idOf(request))
      return { callbacks: found.map(toCallbackView) }
    })

    http.post('/api/requests/:id/callbacks/resend', { onRequest }, async (request) => {
      const found = await callbacks.resend(principalOf(request), idOf(request))
      return { success: true, callbacks: found.map(toCallbackView) }
    })

    return { name: 'webhook', close: async () => undefined }
  },
}

const toCallbackView = (callback: Callback) => ({
  webhook_id: callback.id,
  url: callback.url,
  status: callback.status,
  disabled: callback.disabled,
  error: callback.error,
  next_attempt_at: callback.nextAttemptAt?.toISOString() ?? null,
  attempts: callback.attempts.map(({ number, at, statusCode, error, durationMs }) => ({
    number,
    at: at.toISOString(),
    status_code: statusCode,
    error,
    duration_ms: durationMs,
  })),
})

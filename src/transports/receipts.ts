import * as z from 'zod'
import { principalKey } from '../core/principal.ts'
import { parse } from '../protocol/fields.ts'
import { requestBody } from '../protocol/requests.ts'
import { authenticate, principalOf, type Transport, type TransportDefinition } from './transport.ts'

/** A rotation publishes the key that will sign long before it does. */
const CACHE_SECONDS = 300

const consumption = requestBody.extend({ digest: z.string().max(200) })

/** The keys that verify receipts, for anybody; and spending an approval, for those who asked. */
export const receipts: TransportDefinition = {
  name: 'receipts',
  create({ http, auth, approvals, receiptKeys }): Transport {
    http.get('/.well-known/jwks.json', async (_request, reply) => {
      reply
        .type('application/jwk-set+json')
        .header('cache-control', `public, max-age=${CACHE_SECONDS}`)
      return reply.send(JSON.stringify(await receiptKeys.jwks()))
    })

    http.post('/hitl/consume', { onRequest: authenticate(auth) }, async (request) => {
      const { request_id, digest } = parse(consumption, request.body)
      const principal = principalOf(request)
      await approvals.consume(principal.tenant, request_id, digest, principalKey(principal))
      return { success: true }
    })

    return { name: 'receipts', close: async () => undefined }
  },
}

import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { Update } from 'grammy/types'
import * as z from 'zod'
import { invalid, LoopgateError } from '../../core/errors.ts'
import type { Attempts } from './attempts.ts'
import { WEBHOOK_PATH } from './settings.ts'

/** Updates are larger than what agents may send: a message quotes the one it replies to. */
const MAX_UPDATE_BYTES = 1024 * 1024

const updateId = z.object({ update_id: z.int() })

/**
 * Telegram's own way in. The secret is checked before the body is read (Bot API, setWebhook).
 *
 * 2xx confirms the update, so it is answered after the commit. Everything else makes Telegram send it
 * again; never with a Retry-After of 150 s or more, which would make it drop a press.
 */
export function addWebhookRoute(http: FastifyInstance, secret: string, attempts: Attempts): void {
  http.register((scope, _options, registered) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser(
      'application/json',
      { parseAs: 'string', bodyLimit: MAX_UPDATE_BYTES },
      (_request, body, done) => {
        try {
          done(null, JSON.parse(body.toString()))
        } catch {
          done(invalid('', 'is not JSON'))
        }
      },
    )
    scope.post(
      WEBHOOK_PATH,
      {
        bodyLimit: MAX_UPDATE_BYTES,
        onRequest: async ({ headers }) => {
          const given = headers['x-telegram-bot-api-secret-token']
          if (typeof given !== 'string' || !isSame(given, secret)) {
            throw new LoopgateError('UNAUTHORIZED', 'this is not from Telegram')
          }
        },
      },
      async (request) => {
        const { success } = updateId.safeParse(request.body)
        if (!success) throw invalid('/update_id', 'must be a whole number')
        if (await attempts.handle(request.body as Update)) return {}
        throw new LoopgateError('UNAVAILABLE', 'not saved; send it again', { retryAfterSeconds: 1 })
      },
    )
    registered()
  })
}

function isSame(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}

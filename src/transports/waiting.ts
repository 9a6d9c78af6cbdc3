import type { FastifyReply } from 'fastify'
import { LoopgateError } from '../core/errors.ts'
import { principalOf, type TransportContext } from './transport.ts'

/**
 * Aborted when the client is gone, the server begins to stop, or whoever asks is not let in any
 * more: nobody waits longer than that.
 */
export const whileHeld = (context: TransportContext, reply: FastifyReply): AbortSignal =>
  AbortSignal.any([whileThere(context, reply), context.draining])

/** The same, while the server stops as well. */
export function whileThere(
  { authorizations }: Pick<TransportContext, 'authorizations'>,
  reply: FastifyReply,
): AbortSignal {
  const over = new AbortController()
  const release = authorizations.hold(principalOf(reply.request), () =>
    over.abort(new LoopgateError('UNAUTHORIZED', 'the credential is not valid any more')),
  )
  reply.raw.once('close', () => {
    release()
    over.abort()
  })
  if (reply.raw.destroyed) over.abort()
  return over.signal
}

/** @throws {LoopgateError} UNAUTHORIZED when who waited is not let in any more. */
export function stillAuthorized({ reason }: AbortSignal): void {
  if (reason instanceof LoopgateError) throw reason
}

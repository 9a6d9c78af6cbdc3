import type { FastifyReply } from 'fastify'
import type { TransportContext } from './transport.ts'

/** Aborted when the client is gone, or the server begins to stop: nobody waits longer than that. */
export function whileHeld({ draining }: TransportContext, reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  if (reply.raw.destroyed) gone.abort()
  return AbortSignal.any([gone.signal, draining])
}

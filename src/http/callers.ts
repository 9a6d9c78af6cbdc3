import type { FastifyRequest } from 'fastify'

/**
 * Who calls, known before the body is read.
 *
 * @param identify throws for whoever may not come in.
 */
export function callers<Caller extends object>(
  identify: (request: FastifyRequest) => Promise<Caller>,
) {
  const known = new WeakMap<FastifyRequest, Caller>()
  return {
    onRequest: async (request: FastifyRequest): Promise<void> => {
      known.set(request, await identify(request))
    },
    /** @throws when a route forgot the hook, which is a bug. */
    of(request: FastifyRequest): Caller {
      const caller = known.get(request)
      if (!caller) throw new Error('this route has no onRequest hook')
      return caller
    },
  }
}

import { randomBytes } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { TicketStore } from '../core/account.ts'
import { LoopgateError } from '../core/errors.ts'
import type { Authenticator } from '../core/ports.ts'
import type { Principal } from '../core/principal.ts'
import { digestOf } from './auth.ts'
import { knockOf } from './knock.ts'

/** How long a browser may take from the answer to opening its stream. */
const LIFETIME_SECONDS = 30

export interface TicketOptions {
  readonly auth: Authenticator
  readonly tickets: TicketStore
}

/** A ticket stands for whoever asks, once, in the address of a stream: a browser sends no headers there. */
export function addTicketRoute(http: FastifyInstance, { auth, tickets }: TicketOptions): void {
  const principals = new WeakMap<FastifyRequest, Principal>()
  // Who is asking is known before the body is read.
  const onRequest = async (request: FastifyRequest) => {
    principals.set(request, await auth.identify(knockOf(request)))
  }
  http.post('/api/tickets', { onRequest }, async (request, reply) => {
    const principal = principals.get(request)
    if (!principal) throw new LoopgateError('UNAUTHORIZED')
    const ticket = randomBytes(32).toString('base64url')
    await tickets.issue(digestOf(ticket), principal, LIFETIME_SECONDS)
    return reply.code(201).send({ ticket })
  })
}

import { randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { TicketStore } from '../core/account.ts'
import { knockOf } from '../core/knock.ts'
import type { Authenticator } from '../core/ports.ts'
import { digestOf } from './auth.ts'
import { callers } from './callers.ts'

/** How long a browser may take from the answer to opening its stream. */
const LIFETIME_SECONDS = 30

export interface TicketOptions {
  readonly auth: Authenticator
  readonly tickets: TicketStore
}

/** A ticket stands for whoever asks, once, in the address of a stream: a browser sends no headers there. */
export function addTicketRoute(http: FastifyInstance, { auth, tickets }: TicketOptions): void {
  const principals = callers((request) => auth.identify(knockOf(request)))
  http.post('/api/tickets', { onRequest: principals.onRequest }, async (request, reply) => {
    const ticket = randomBytes(32).toString('base64url')
    await tickets.issue(digestOf(ticket), principals.of(request), LIFETIME_SECONDS)
    return reply.code(201).send({ ticket })
  })
}

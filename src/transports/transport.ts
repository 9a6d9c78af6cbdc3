import type { Server } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Authorizations } from '../core/authorizations.ts'
import type { Callbacks } from '../core/callbacks.ts'
import type { Deliveries } from '../core/delivery.ts'
import type { LoopgateError } from '../core/errors.ts'
import type { Hub } from '../core/hub.ts'
import { knockOf } from '../core/knock.ts'
import type { McpSessionStore } from '../core/mcp-session.ts'
import type { Authenticator, Clock, Log } from '../core/ports.ts'
import type { Principal } from '../core/principal.ts'
import type { ApprovalStore } from '../core/receipt.ts'
import type { SubmissionDefaults } from '../protocol/requests.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by `authenticate`, before the body is read. */
    principal: Principal | null
  }
}

export interface TransportContext {
  readonly hub: Hub
  readonly http: FastifyInstance
  readonly auth: Authenticator
  /** Tells when somebody who was let in, and stays, is not let in any more. */
  readonly authorizations: Pick<Authorizations, 'hold'>
  readonly clock: Clock
  readonly logger: Log
  /**
   * Two WebSocket servers on one HTTP server answer each other's upgrades, so each says which are
   * its own.
   */
  readonly upgrades: {
    /** The server to attach to, for all paths that begin with the prefix. */
    claim(prefix: string): Server
    /** What emits `upgrade` for the path, and nothing else of a server. */
    share(path: string): Server
  }
  readonly defaults: SubmissionDefaults
  /** Answers what went wrong as its status and headers say; the body is the caller's. */
  refuse(thrown: Error, request: FastifyRequest, reply: FastifyReply): LoopgateError
  readonly mcpSessions: McpSessionStore
  readonly version: string
  readonly deliveries: Deliveries
  readonly callbacks: Callbacks
  readonly approvals: ApprovalStore
  /** The public keys that verify receipts (RFC 7517). */
  readonly receiptKeys: { jwks(): Promise<object> }
  /** The public key of the `v1a` signatures. */
  readonly webhookKey: string
  /** Origins of browsers besides our own. */
  readonly allowedOrigins: readonly string[]
  /** Aborted when the server begins to stop: whoever waits is answered. */
  readonly draining: AbortSignal
  /** A stream was opened (1) or is gone (-1). */
  connections(transport: string, change: 1 | -1): void
}

/**
 * How agents receive. A transport knows the core and the wire, and no other transport.
 *
 * Factories open nothing but routes.
 */
export interface Transport {
  readonly name: string
  /**
   * Ends the streams, so that clients come back elsewhere: spread over `spreadMs` when there are
   * many. What `draining` says comes first, and is the same for all transports.
   */
  close(spreadMs: number): Promise<void>
}

export interface TransportDefinition {
  readonly name: string
  create(context: TransportContext): Transport
}

/** The hook of every route for agents: who is asking is known before the body is read. */
export function authenticate(auth: Authenticator) {
  return async (request: FastifyRequest): Promise<void> => {
    request.principal = await auth.identify(knockOf(request))
  }
}

/** The same for streams, which browsers open without headers: there a ticket counts, too. */
export function authenticateStream(auth: Authenticator) {
  return async (request: FastifyRequest): Promise<void> => {
    const { ticket } = request.query as { readonly ticket?: unknown }
    // One that is given twice is none.
    const given = ticket === undefined ? {} : { ticket: typeof ticket === 'string' ? ticket : '' }
    request.principal = await auth.identify({ ...knockOf(request), ...given })
  }
}

/** @throws when a route forgot the hook, which is a bug. */
export function principalOf(request: FastifyRequest): Principal {
  if (!request.principal) throw new Error('this route has no authenticate hook')
  return request.principal
}

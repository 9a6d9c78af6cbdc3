import type { FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'
import { knockOf } from '../core/knock.ts'
import type { Authenticator } from '../core/ports.ts'
import { isFromThisMachine } from './auth.ts'

export interface HealthOptions {
  readonly version: string
  readonly auth: Authenticator
  readonly registry: Registry
  /** Rejects when the database does not answer. */
  readonly ping: () => Promise<void>
  /** What each channel says of itself. */
  readonly channels: () => Readonly<Record<string, string>>
  readonly isDraining: () => boolean
  /** Whether other processes are heard; undefined when there can be none. */
  readonly isListening: () => boolean | undefined
}

/** /health for people and old clients, /livez and /readyz for supervisors, /metrics for Prometheus. */
export function addHealthRoutes(http: FastifyInstance, options: HealthOptions): void {
  const { version, auth, registry, ping, channels, isDraining, isListening } = options

  http.get('/health', async (_request, reply) => {
    const isUp = await answers(ping)
    return reply.code(isUp ? 200 : 503).send({
      status: isUp ? 'healthy' : 'unhealthy',
      service: 'loopgate',
      version,
      database: isUp ? 'up' : 'away',
      ...listenState(isListening()),
      channels: channels(),
    })
  })

  http.get('/livez', async () => ({ status: 'ok' }))

  http.get('/readyz', async (_request, reply) => {
    const reason = isDraining() ? 'draining' : (await answers(ping)) ? undefined : 'database away'
    return reply
      .code(reason === undefined ? 200 : 503)
      .send(reason === undefined ? { status: 'ready' } : { status: 'not ready', reason })
  })

  http.get('/metrics', async (request, reply) => {
    const knock = knockOf(request)
    if (!isFromThisMachine(knock)) await auth.identify(knock)
    return reply.type(registry.contentType).send(await registry.metrics())
  })
}

const listenState = (isListening: boolean | undefined) =>
  isListening === undefined ? {} : { listen: isListening ? 'up' : 'down' }

async function answers(ping: () => Promise<void>): Promise<boolean> {
  try {
    await ping()
    return true
  } catch {
    // Why is in the log of whoever needed the database.
    return false
  }
}

import type { Server } from 'node:http'
import { systemClock } from './clock.ts'
import type { Log } from './core/ports.ts'

/** What a stop has to do with, by what it asks of each. */
export interface Stoppable {
  readonly draining: AbortController
  readonly transports: readonly { close(spreadMs: number): Promise<void> }[]
  readonly channels: readonly { stop(): Promise<void> }[]
  readonly http: { readonly server: Server; close(): Promise<unknown> }
  readonly upgrades: { destroyAll(): void }
  /** What works in the background. */
  readonly workers: readonly { stop(): Promise<unknown> }[]
  readonly hub: { stop(): void }
  readonly authorizations: { stop(): void }
  readonly bus: { stop(): Promise<unknown> } | undefined
  readonly usage: { flush(): Promise<void> }
  readonly logger: Log
}

/** How long what is in work may take after the grace, when nobody outside waits for it any more. */
const LAST_MS = 3_000

/**
 * The reverse of starting. New work is refused from the first moment; those who are here are told
 * and leave at a pace, in half of the grace; who is still here when it is over is cut off. Then
 * what works in the background ends. Never rejects, and ends within the grace and a few seconds.
 */
export async function stopAll(parts: Stoppable, graceMs: number): Promise<void> {
  const { draining, transports, channels, http, upgrades, workers, hub, bus, logger } = parts
  const all = async (stops: readonly (Promise<unknown> | undefined)[]) => {
    for (const { reason } of (await Promise.allSettled(stops)) as PromiseRejectedResult[]) {
      if (reason !== undefined) logger.warn({ err: reason }, 'a part did not stop well')
    }
  }
  draining.abort()
  const drained = (async () => {
    const leaving = transports.map((transport) => transport.close(graceMs / 2))
    await all([...leaving, ...channels.map((channel) => channel.stop())])
    await all([http.close()])
  })()
  await within(graceMs, drained)
  http.server.closeAllConnections()
  upgrades.destroyAll()
  await within(LAST_MS, all([drained, ...workers.map((worker) => worker.stop())]))
  hub.stop()
  parts.authorizations.stop()
  await within(LAST_MS, all([bus?.stop(), parts.usage.flush()]))
}

/** Resolves with the promise, or when the time is over. */
async function within(ms: number, promise: Promise<void>): Promise<void> {
  const { promise: over, resolve } = Promise.withResolvers<void>()
  const cancel = systemClock.after(ms, resolve)
  await Promise.race([promise, over])
  cancel()
}

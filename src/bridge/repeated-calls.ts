import { randomUUID } from 'node:crypto'
import { type Call, hasNoCallId } from './call.ts'
import { type Params, part, type Request } from './messages.ts'

/** A call that comes back later than this asks anew. */
const KEPT_MS = 15 * 60_000
const MAX_KEPT = 100

/**
 * The names of calls that ended without an answer: most clients give up after a minute, and the model then
 * calls again with the same arguments. Such a call gets the same id, once, and finds its question.
 */
export class RepeatedCalls {
  readonly #kept = new Map<string, { readonly callId: string; readonly until: number }>()

  /** The id for a call: one that was kept, or a new one; undefined when it needs none of ours. */
  callIdFor(request: Request): string | undefined {
    if (!hasNoCallId(request)) return undefined
    const { params } = request
    const key = keyOf(params)
    const kept = this.#kept.get(key)
    this.#kept.delete(key)
    return kept && kept.until > performance.now() ? kept.callId : randomUUID()
  }

  keep({ request, callId }: Call): void {
    if (callId === undefined) return
    const key = keyOf(request.params)
    this.#kept.delete(key)
    this.#kept.set(key, { callId, until: performance.now() + KEPT_MS })
    const [oldest = key] = this.#kept.keys()
    if (this.#kept.size > MAX_KEPT) this.#kept.delete(oldest)
  }
}

/** What is asked, and not how long the call may wait for it. */
function keyOf(params: Params | undefined): string {
  const { wait_seconds: _, ...asked } = part(params, 'arguments')
  return JSON.stringify([params?.['name'], asked])
}

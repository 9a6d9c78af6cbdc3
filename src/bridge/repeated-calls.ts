import type { Call } from './call.ts'
import { type Params, part, type Request } from './messages.ts'
import { showsSettled } from './settled.ts'

/** A call that comes back later than this asks anew. */
const KEPT_MS = 15 * 60_000
const MAX_KEPT = 100

/**
 * The ids of calls that ended without an answer: most clients give up after a minute, and the model then
 * calls again with the same arguments. Such a call gets the same id, once, and finds its question.
 *
 * By such an id the server gives an answer as often as it is asked for. So none is kept any longer once the
 * client has read how a question ended: it may be the one of the call, and an approval is for one call alone.
 * Which calls a question is of is not known here, and to forget too many does no harm: the server remembers
 * them itself as long as it runs, and asks anew after that.
 */
export class RepeatedCalls {
  readonly #kept = new Map<string, { readonly callId: string; readonly until: number }>()
  #readAt = Number.NEGATIVE_INFINITY

  /** The id that was kept for such a call. It is nobody else's then. */
  take({ params }: Request): string | undefined {
    const key = keyOf(params)
    const kept = this.#kept.get(key)
    this.#kept.delete(key)
    return kept && kept.until > performance.now() ? kept.callId : undefined
  }

  keep({ request, callId, startedAt }: Call): void {
    if (callId === undefined || startedAt <= this.#readAt) return
    const key = keyOf(request.params)
    this.#kept.delete(key)
    this.#kept.set(key, { callId, until: performance.now() + KEPT_MS })
    const [oldest = key] = this.#kept.keys()
    if (this.#kept.size > MAX_KEPT) this.#kept.delete(oldest)
  }

  /** The client gets a result. */
  read(result: Params): void {
    if (!showsSettled(result)) return
    this.#kept.clear()
    this.#readAt = performance.now()
  }
}

/** What is asked, and not how long the call may wait for it. */
function keyOf(params: Params | undefined): string {
  const { wait_seconds: _, ...asked } = part(params, 'arguments')
  return JSON.stringify([params?.['name'], asked])
}

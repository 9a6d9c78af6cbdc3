import type { Envelope, RequestView } from '../src/protocol/types.ts'
import { type Decision, toDecision } from './decision.ts'
import { LoopgateError } from './errors.ts'
import type { Feeds, Listener } from './feed.ts'

export interface WaiterContext {
  readonly feeds: Feeds
  /** Reads the request as it stands now. */
  look(requestId: string, signal: AbortSignal): Promise<RequestView>
}

/**
 * The decision on a request, as soon as there is one.
 *
 * With `since`, the cursor of the view, it is read from the session's log after it. Without, and
 * whenever the log could not be continued, the request is looked at once the place in the log is
 * known: what comes later is heard.
 * @throws {LoopgateError} and the signal's reason, as soon as it is aborted.
 */
export async function untilDecided(
  context: WaiterContext,
  asked: RequestView,
  since: string | undefined,
  signal: AbortSignal,
): Promise<Decision> {
  signal.throwIfAborted()
  const known = toDecision(asked, asked)
  if (known) return known
  const waiter = new Waiter(asked, context)
  const abort = () => waiter.abort(signal.reason)
  signal.addEventListener('abort', abort)
  const { isFirst, leave } = context.feeds.join(asked.session_id, waiter, since)
  try {
    if (!isFirst) waiter.look()
    return await waiter.decision
  } finally {
    signal.removeEventListener('abort', abort)
    leave()
    waiter.stop()
  }
}

class Waiter implements Listener {
  readonly decision: Promise<Decision>
  readonly #asked: RequestView
  readonly #context: WaiterContext
  readonly #over = new AbortController()
  #resolve: (decision: Decision) => void = () => undefined
  #reject: (reason: unknown) => void = () => undefined

  constructor(asked: RequestView, context: WaiterContext) {
    this.#asked = asked
    this.#context = context
    this.decision = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  placed(continues: boolean): void {
    if (!continues) this.look()
  }

  event({ request_id, data }: Envelope): void {
    if (request_id === this.#asked.request_id) this.#consider(data)
  }

  failed(error: unknown): void {
    const isLost = error instanceof LoopgateError && error.code === 'SESSION_NOT_FOUND'
    this.#reject(isLost ? lost(error) : error)
  }

  abort(reason: unknown): void {
    this.#reject(reason)
  }

  /** Nobody waits any more. */
  stop(): void {
    this.#over.abort()
  }

  /** Looks at the request itself, beside the log. */
  look(): void {
    const { signal } = this.#over
    this.#context
      .look(this.#asked.request_id, signal)
      .then((view) => this.#consider(view))
      .catch((error: unknown) => this.#reject(error))
  }

  #consider(view: RequestView): void {
    try {
      const decision = toDecision(view, this.#asked)
      if (decision) this.#resolve(decision)
    } catch (error) {
      this.#reject(error)
    }
  }
}

/** A request can not be there when its session is not: the server has lost its database. */
const lost = (cause: LoopgateError): LoopgateError =>
  new LoopgateError('REQUEST_NOT_FOUND', 'the server no longer knows this request', {
    status: 404,
    cause,
  })

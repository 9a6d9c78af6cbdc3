import { LoopgateError } from '../core/errors.ts'
import { type Event, formatCursor, parseSince, type Since } from '../core/event.ts'
import type { Hub } from '../core/hub.ts'
import type { Clock, Position } from '../core/ports.ts'
import type { Principal } from '../core/principal.ts'
import type { EndReason, Reader, Subscription } from '../core/subscription.ts'
import { parse } from '../protocol/fields.ts'
import { pollQuery, toTarget } from '../protocol/requests.ts'
import { toEnvelope, toView } from '../protocol/view.ts'
import { authenticate, principalOf, type Transport, type TransportDefinition } from './transport.ts'
import { stillAuthorized, whileHeld } from './waiting.ts'

/** Events in one answer. The cursor in it continues where it ends. */
const PAGE = 100

/** Polling, and long-polling with `wait`: by request the view, by session what happened. */
export const poll: TransportDefinition = {
  name: 'poll',
  create(context): Transport {
    const { hub, http, auth, clock } = context
    http.get('/hitl/poll', { onRequest: authenticate(auth) }, async (request, reply) => {
      const { wait = 0, since, ...named } = parse(pollQuery, request.query)
      const target = toTarget(named)
      const principal = principalOf(request)
      const signal = whileHeld(context, reply)
      if ('requestId' in target) {
        const asked = await hub.get(principal, target.requestId)
        const seen = await hub.settled(principal, asked, wait * 1000, signal)
        stillAuthorized(signal)
        return toView(seen)
      }
      const page = new PageReader()
      await page.read(hub, principal, target, parseSince(since))
      if (wait > 0) await page.wait(clock, wait * 1000, signal)
      stillAuthorized(signal)
      return page.answer()
    })
    return { name: 'poll', close: async () => undefined }
  },
}

/** Takes one page of events: those that are there, or else the next one that comes. */
class PageReader implements Reader {
  readonly #events: Event[] = []
  readonly #ended = Promise.withResolvers<void>()
  #position: Position | undefined
  #subscription: Subscription | undefined
  #isWaiting = false
  #isGone = false

  async read(
    hub: Hub,
    principal: Principal,
    target: { readonly sessionId: string },
    since: Since,
  ): Promise<void> {
    await hub.subscribe(principal, target, since, this)
  }

  /** Until there is an event, the time is over, or the signal is aborted. */
  async wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
    if (this.#events.length > 0 || !this.#position?.recovered) return
    this.#isWaiting = true
    const leave = () => this.#leave()
    const cancel = clock.after(ms, leave)
    signal.addEventListener('abort', leave)
    if (signal.aborted) leave()
    await this.#ended.promise
    cancel()
    signal.removeEventListener('abort', leave)
  }

  /** @throws {LoopgateError} CURSOR_GONE when the cursor could not be continued. */
  answer() {
    this.#leave()
    if (!this.#position?.recovered || this.#isGone) {
      throw new LoopgateError(
        'CURSOR_GONE',
        'the log can not be continued from this cursor; since=earliest reads all that is kept',
      )
    }
    const last = this.#events.at(-1)?.cursor ?? this.#position.cursor
    return { events: this.#events.map(toEnvelope), cursor: formatCursor(last), recovered: true }
  }

  started(position: Position, subscription: Subscription): void {
    this.#position = position
    this.#subscription = subscription
    if (!position.recovered) this.#leave()
  }

  event(event: Event): void {
    this.#events.push(event)
    if (this.#isWaiting || this.#events.length === PAGE) this.#leave()
  }

  drained(): Promise<void> {
    return Promise.resolve()
  }

  ended(reason: EndReason): void {
    this.#isGone = reason === 'gone'
    this.#ended.resolve()
  }

  #leave(): void {
    this.#subscription?.end('left')
  }
}

import type { Envelope, WireEventType } from '../src/protocol/types.ts'
import type { Feeds, Listener } from './feed.ts'

/** What `on` can be told: one type of event, or `*` for all. */
export type EventName = WireEventType | '*'

export type EnvelopeOf<Name extends EventName> = Name extends WireEventType
  ? Envelope & { readonly type: Name }
  : Envelope

export interface SubscribeOptions {
  /** The session to read; the one registered last when it is left out. */
  readonly sessionId?: string | undefined
  /** The log could not be continued: events may be missing. What the server has kept follows. */
  readonly onGap?: (() => void) | undefined
  /** The subscription is over. Without it, the error is thrown where nobody catches it. */
  readonly onError?: ((error: unknown) => void) | undefined
}

/** Ends the subscription when called. */
export interface Unsubscribe {
  (): void
  /** Resolves when the subscription is in place: what happens from then on is heard. */
  readonly ready: Promise<void>
}

/** Gives a session's events to a listener until it leaves. */
export function subscribe<Name extends EventName>(
  feeds: Feeds,
  sessionId: string,
  name: Name,
  listener: (envelope: EnvelopeOf<Name>) => void,
  { onGap, onError = throwUncaught }: SubscribeOptions,
): { readonly ready: Promise<void>; leave(): void } {
  let settle: { resolve(): void; reject(error: unknown): void } | undefined
  const ready = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject }
  })
  // Whoever does not look at it hears of the failure by onError.
  ready.catch(() => undefined)
  let isPlaced = false
  const subscriber: Listener = {
    placed: (continues) => {
      if (isPlaced && !continues) guarded(() => onGap?.())
      isPlaced = true
      settle?.resolve()
    },
    event: (envelope) => {
      if (isOf(envelope, name)) guarded(() => listener(envelope))
    },
    failed: (error) => {
      settle?.reject(error)
      guarded(() => onError(error))
    },
  }
  const { leave } = feeds.join(sessionId, subscriber)
  return { ready, leave }
}

const isOf = <Name extends EventName>(
  envelope: Envelope,
  name: Name,
): envelope is EnvelopeOf<Name> => name === '*' || envelope.type === name

/** A listener's mistake is its own: it reaches the process, and no other listener. */
function guarded(call: () => void): void {
  try {
    call()
  } catch (error) {
    throwUncaught(error)
  }
}

function throwUncaught(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}

import { createHash } from 'node:crypto'
import type { Envelope, RequestView, WireEffect } from '../../src/protocol/types.ts'

/** What somebody saw of a request's state. */
export interface Seen {
  readonly status: string
  readonly outcome: string | null
  readonly approved: boolean
  readonly response: string | null
  readonly decidedBy: string | null
  readonly respondedAt: string | null
  /** Stands for the bytes of its receipt. */
  readonly receipt: string | null
}

export type Act = 'press' | 'reply' | 'decide' | 'cancel'

interface Said {
  readonly at: number
  readonly request: string
  readonly act: Act
  readonly by: string
  /** The label or the text; empty for a cancel. */
  readonly says: string
}

export interface Heard {
  /** The cursor: epoch, dash, number. */
  readonly id: string
  readonly type: string
  readonly session: string
  readonly request: string
  readonly seen: Seen
}

/** A line of the history. Only what was acknowledged to somebody, or tried by somebody, is in it. */
export type Fact =
  | {
      readonly t: 'asked'
      readonly at: number
      readonly request: string
      readonly session: string
      /** Everything that was asked, as one text. */
      readonly content: string
      readonly effects: Readonly<Record<string, WireEffect>>
      /** Whether its outcome is to be posted. */
      readonly isCalledBack: boolean
    }
  | ({ readonly t: 'tried' } & Said)
  | ({ readonly t: 'counted' } & Said)
  | {
      readonly t: 'resumed'
      readonly at: number
      readonly reader: string
      readonly since: string
      readonly recovered: boolean
      readonly way: string
      readonly process: number
    }
  | ({ readonly t: 'heard'; readonly at: number; readonly reader: string } & Heard)
  | {
      readonly t: 'saw'
      readonly at: number
      readonly request: string
      readonly content: string
      readonly seen: Seen
    }
  | ({
      readonly t: 'called'
      readonly at: number
      readonly webhookId: string
      /** The session that was to be called back there. */
      readonly to: string
      /** Why the post could not be verified; null when it could. */
      readonly problem: string | null
    } & Heard)
  | { readonly t: 'fault'; readonly at: number; readonly name: string; readonly detail: string }

/** What holds when everything is quiet again. */
export interface Final {
  readonly requests: readonly {
    readonly request: string
    readonly content: string
    readonly expiresAt: string
    readonly seen: Seen
    /** Whether the server knows that a card of it was sent. */
    readonly isDelivered: boolean
    /** What its receipt says to a JOSE library; null without one. */
    readonly receipt: { readonly authentic: boolean; readonly outcome: string } | null
  }[]
  /** Every session's whole log, as each process tells it. */
  readonly logs: readonly { readonly session: string; readonly events: readonly Heard[] }[]
  /** Who read a session from its beginning to the end. */
  readonly readers: readonly { readonly reader: string; readonly session: string }[]
  readonly cards: readonly {
    readonly request: string
    readonly text: string
    readonly buttons: number
    /**
     * Whether it showed the outcome only after somebody had pressed it: the answer to its sending
     * was lost, so that nobody could know of it.
     */
    readonly isTouched: boolean
  }[]
  /** What faults saw themselves, of requests of their own. */
  readonly complaints: readonly string[]
  /** Which secret was found where. */
  readonly leaks: readonly string[]
  /** What a process still holds although nobody is there: connections, or that it ended by itself. */
  readonly leftovers: readonly string[]
}

export const seenOf = (view: RequestView): Seen => ({
  status: view.status,
  outcome: view.outcome,
  approved: view.approved,
  response: view.response,
  decidedBy: view.decided_by?.id ?? null,
  respondedAt: view.responded_at,
  receipt:
    view.receipt && createHash('sha256').update(view.receipt).digest('base64url').slice(0, 12),
})

export const contentOf = (view: RequestView): string =>
  JSON.stringify([
    ...[view.session_id, view.client_id, view.message, view.request_type],
    ...[view.options.map(({ label, effect }) => [label, effect]), view.metadata],
    ...[view.created_at, view.expires_at],
  ])

export const heardOf = ({ id, type, session_id, request_id, data }: Envelope): Heard => ({
  ...{ id, type, session: session_id, request: request_id },
  seen: seenOf(data),
})

import type { Question, State } from './request.ts'

/**
 * A place in a session's log, after the event of the same id. `seq` counts the session's events by
 * one. `epoch` names the start of the server that wrote the event and the session, so that a cursor
 * of another session, or of a history that was undone by restoring a backup, is recognised.
 */
export interface Cursor {
  readonly epoch: string
  readonly seq: number
}

export type EventType =
  | 'request.created'
  | 'request.delivered'
  | 'request.undelivered'
  | 'request.decided'
  | 'request.expired'
  | 'request.canceled'

/** A fact in a session's log. */
export interface Event {
  readonly cursor: Cursor
  readonly type: EventType
  readonly at: Date
  readonly question: Question
  /** Where the request stood as of this event. */
  readonly state: State
}

/** What a cursor is to those outside: `<epoch>-<seq>`. */
export function formatCursor({ epoch, seq }: Cursor): string {
  return `${epoch}-${seq}`
}

/** A cursor that nobody here can have given out is undefined, and can not be continued. */
export function parseCursor(text: string): Cursor | undefined {
  const [, epoch, seq] = /^([0-9a-z]{1,64})-(0|[1-9][0-9]{0,14})$/.exec(text) ?? []
  return epoch !== undefined && seq !== undefined ? { epoch, seq: Number(seq) } : undefined
}

/** Where a reader begins: after a cursor, with everything that is kept, or (undefined) from now on. */
export type Since = Cursor | 'earliest' | 'unknown' | undefined

/** `earliest`, a cursor, nothing; `unknown` for text that is no cursor of ours. */
export function parseSince(text: string | undefined): Since {
  if (text === undefined || text === '') return undefined
  return text === 'earliest' ? 'earliest' : (parseCursor(text) ?? 'unknown')
}

export const isTerminal = (event: Event): boolean => event.state.status !== 'pending'

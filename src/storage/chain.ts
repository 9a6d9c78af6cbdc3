import { type RawBuilder, sql } from 'kysely'

/**
 * The hash chain of a session's log: each event's hash covers the hash before it and everything that
 * the event says. It is computed by the statement that appends, under the lock of the session's row.
 */

/** The form of the text that is hashed. Another form is another number. */
const VERSION = 1

const ms = (time: string) => `(extract(epoch FROM ${time}) * 1000)::bigint`

/** The SQL of an event's parts; `request` names a row with the columns of `requests`. */
export interface EntryParts {
  readonly request: string
  readonly tenant: string
  readonly sessionId: string
  readonly requestId: string
  readonly seq: string
  readonly type: RawBuilder<unknown>
  readonly epoch: RawBuilder<unknown>
  readonly at: string
  readonly state: string
}

/**
 * An event as its hash covers it. Made once for a statement, as far as it can be: putting it together
 * each time takes longer than hashing.
 */
export function entryOf({ request, state, at, ...event }: EntryParts): RawBuilder<string> {
  // How it was settled is known from its last event on, and to no event before.
  const settled = `CASE WHEN ${state} ->> 'status' <> 'pending' THEN jsonb_build_array(
    ${request}.settled_by, ${request}.receipt_kid, ${request}.receipt_issuer,
    ${request}.shown_digest) END`
  const first = `${VERSION}, ${event.tenant}, ${event.sessionId}, ${event.requestId}, ${event.seq}`
  const last = `${ms(at)}, ${state}, ${request}.digest, ${ms(`${request}.created_at`)},
    ${ms(`${request}.expires_at`)}, ${request}.approval_ttl_seconds, ${settled}`
  return sql<string>`jsonb_build_array(${sql.raw(first)}, ${event.epoch}, ${event.type},
    ${sql.raw(last)})::text`
}

/** SHA-256, in hex, of the hash before it (empty for the first) and the entry. */
export const hashOf = (before: string, entry: RawBuilder<string>) =>
  sql<string>`encode(sha256(convert_to(${sql.raw(before)} || ${entry}, 'UTF8')), 'hex')`

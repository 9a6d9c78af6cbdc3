/** Of Claude Code, and of our own bridge; the same when the client repeats the call. */
const CALL_ID_KEYS = ['claudecode/toolUseId', 'loopgate/call']

export const CALL_ID = /^[A-Za-z0-9_-]{1,100}$/

/** What the client calls this call, from `_meta` of the request. */
export function callIdOf(meta: Readonly<Record<string, unknown>> | undefined): string | undefined {
  for (const key of CALL_ID_KEYS) {
    const value = meta?.[key]
    if (typeof value === 'string' && CALL_ID.test(value)) return value
  }
  return undefined
}

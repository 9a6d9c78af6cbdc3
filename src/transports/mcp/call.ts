import type { Connection } from './connection.ts'
import { CALL_ID_META, CLIENT_CALL_ID_META } from './discovery.ts'
import type { ToolCall } from './tool.ts'

export const CALL_ID = /^[A-Za-z0-9_-]{1,100}$/

/** What the client calls this call, from `_meta` of the request. */
export function callIdOf(meta: Readonly<Record<string, unknown>> | undefined): string | undefined {
  for (const key of [CLIENT_CALL_ID_META, CALL_ID_META]) {
    const value = meta?.[key]
    if (typeof value === 'string' && CALL_ID.test(value)) return value
  }
  return undefined
}

/** What came with a `tools/call`, in any revision. */
interface SentCall {
  readonly meta: Readonly<Record<string, unknown>> | undefined
  /** Aborted when the client cancels the call. */
  readonly cancelled?: AbortSignal
  readonly client?: { readonly name: string; readonly title?: string | undefined } | undefined
  notify?(progress: {
    readonly method: 'notifications/progress'
    readonly params: {
      readonly progressToken: string | number
      readonly progress: number
      readonly total: number
      readonly message: string
    }
  }): Promise<void>
}

/** A call as the tools see it: of a client that takes no tasks, and whose person can not be asked. */
export function toCall(
  { principal, sessionId, gone }: Connection,
  { meta, cancelled, client, notify }: SentCall,
): ToolCall {
  const progressToken = meta?.['progressToken']
  const isTold = typeof progressToken === 'string' || typeof progressToken === 'number'
  return {
    principal,
    sessionId,
    callId: callIdOf(meta),
    task: 'none',
    signal: cancelled ? AbortSignal.any([cancelled, gone]) : gone,
    progress(progress, total, message) {
      if (!isTold) return
      const params = { progressToken, progress, total, message }
      // Who can not be told is gone, and the signal says so.
      notify?.({ method: 'notifications/progress', params }).catch(() => undefined)
    },
    clientName: client?.title ?? client?.name ?? 'an MCP client',
  }
}

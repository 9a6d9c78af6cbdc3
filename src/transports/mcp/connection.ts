import type { Principal } from '../../core/principal.ts'

/** Who sent one HTTP request, and over which address. */
export interface Connection {
  readonly principal: Principal
  /** `?session_id=` of the address. */
  readonly sessionId: string | undefined
  /** Aborted when nobody reads the response any more, or may. */
  readonly gone: AbortSignal
}

/** What the SDKs carry from a request to its handler. The credential itself stays at the door. */
export interface CarriedAuth {
  token: string
  clientId: string
  scopes: string[]
  extra: { connection: Connection }
}

export const carry = (connection: Connection): CarriedAuth => ({
  token: '',
  clientId: '',
  scopes: [],
  extra: { connection },
})

/** @throws when a request came another way than through `carry`, which is a bug. */
export function carried(
  auth: { readonly extra?: Record<string, unknown> } | undefined,
): Connection {
  const connection = auth?.extra?.['connection']
  if (connection === undefined) throw new Error('an MCP request without its connection')
  return connection as Connection
}

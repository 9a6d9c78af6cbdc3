import type { Principal } from './principal.ts'

/** What a client of MCP said when it began, and follows: enough to go on in another process. */
export interface McpSession {
  readonly id: string
  /** The params of `initialize`. */
  readonly initialize: object
  /** URIs of the resources whose changes it wants to hear of. */
  readonly subscriptions: readonly string[]
}

/** A session is its principal's alone: for everybody else it does not exist. */
export interface McpSessionStore {
  /** Also forgets the sessions of the tenant that were left longest ago, beyond a bound. */
  create(principal: Principal, session: McpSession): Promise<void>
  /** Notes that it is used, to the minute. */
  find(principal: Principal, id: string): Promise<McpSession | undefined>
  /** Notes that it is used, or what it follows now. */
  update(id: string, subscriptions: readonly string[]): Promise<void>
  delete(id: string): Promise<void>
}

import { expect } from 'vitest'
import type { RequestView } from '../../../src/protocol/types.ts'
import { type Account, type MadeKey, makeKey, openAccount } from '../../support/accounts.ts'
import type { TestApp } from '../../support/app.ts'
import {
  BareClient,
  type ClientOptions,
  McpClient,
  ModernClient,
  type ToolClient,
  type ToolResult,
} from '../../support/readers/mcp.ts'

/** What a tool that asks answers. */
export type ViewAndStep = RequestView & { readonly next_step: string }

/** A tenant of its own: a person, and the key of an agent. */
export class Seat {
  readonly app: TestApp
  readonly account: Account
  readonly key: MadeKey

  private constructor(app: TestApp, account: Account, key: MadeKey) {
    this.app = app
    this.account = account
    this.key = key
  }

  static async open(app: TestApp, key: object = {}): Promise<Seat> {
    const account = await openAccount(app)
    return new Seat(app, account, await makeKey(app, account, key))
  }

  /** Another agent of the same tenant. */
  async beside(): Promise<Seat> {
    return new Seat(this.app, this.account, await makeKey(this.app, this.account))
  }

  client(options: ClientOptions = {}): Promise<McpClient> {
    return McpClient.open(this.app, { headers: this.key.headers, ...options })
  }

  modern(options: ClientOptions = {}): ModernClient {
    return new ModernClient(this.app, { headers: this.key.headers, ...options })
  }

  bare(options: ClientOptions = {}): BareClient {
    return new BareClient(this.app, { headers: this.key.headers, ...options })
  }

  /** Registers a session as the agent, or as the person. */
  async register(session_id: string, fields: object = {}, headers = this.key.headers) {
    const body = { session_id, client_id: 'agent', ...fields }
    return this.app.post<Record<string, string>>('/hitl/register', body, headers)
  }

  async deactivate(session_id: string): Promise<void> {
    await this.app.post('/hitl/deactivate', { session_id }, this.key.headers)
  }

  async decide({ request_id }: { request_id: string }, answer: object): Promise<RequestView> {
    const path = `/api/requests/${request_id}/decision`
    const { status, body } = await this.app.post(path, answer, this.account.headers)
    if (status !== 200) throw new Error(`decide: ${JSON.stringify(body)}`)
    return body
  }

  async view({ request_id }: { request_id: string }): Promise<RequestView> {
    return (await this.app.get(`/hitl/poll?request_id=${request_id}`, this.key.headers)).body
  }

  async pending(): Promise<readonly RequestView[]> {
    const path = '/hitl/pending'
    const { body } = await this.app.get<{ pending_requests: RequestView[] }>(path, this.key.headers)
    return body.pending_requests
  }

  /** The one question that is open, as soon as there is one. */
  async asked(count = 1): Promise<RequestView> {
    await expect.poll(() => this.pending(), { timeout: 10_000, interval: 10 }).toHaveLength(count)
    return (await this.pending()).at(-1) as RequestView
  }
}

/** A client of each revision, by its name. */
export const CLIENTS: Readonly<
  Record<string, (seat: Seat, options?: ClientOptions) => Promise<ToolClient>>
> = {
  '2025-11-25': (seat, options) => seat.client(options),
  '2026-07-28': async (seat, options) => seat.modern(options),
  bare: async (seat, options) => seat.bare(options),
}

export const viewOf = ({ structuredContent, content }: ToolResult): ViewAndStep => {
  if (!structuredContent) throw new Error(content[0]?.text)
  return structuredContent as unknown as ViewAndStep
}

/** What a model is told of an error. */
export function errorOf({ isError, content }: ToolResult): string {
  const [{ text } = { text: '' }] = content
  if (isError !== true) throw new Error(`no error: ${text}`)
  return text
}

export const OPTIONS = ['Yes', 'No', 'Later']
export const NOW = { wait_seconds: 0 } as const

/** Open streams of MCP, by the server's own count. */
export async function streams(app: TestApp): Promise<number> {
  const text = await (await fetch(`${app.url}/metrics`)).text()
  return Number(/loopgate_stream_connections\{transport="mcp"\} (\d+)/.exec(text)?.[1] ?? 0)
}

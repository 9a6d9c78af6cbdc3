import { isDeepStrictEqual } from 'node:util'
import type { JsonValue } from '@modelcontextprotocol/ext-tasks/core'
import { must } from '../report.ts'

/** What an agent is told of a question: the view, and what to do next. */
export interface Told {
  readonly request_id: string
  readonly status: string
  readonly outcome: string | null
  readonly response: string | null
  readonly decided_by: { readonly channel: string; readonly id: string } | null
  readonly next_step: string
}

/** The arguments of a call. */
export type Input = Readonly<Record<string, JsonValue>>

/** A connection of somebody else's making. */
export interface Agent extends AsyncDisposable {
  /** The names of the tools that it found. */
  tools(): Promise<readonly string[]>
  /**
   * Calls a tool and waits for its result.
   * @param patienceMs how long, after which the client gives up in its own way
   * @throws whatever its client throws when the connection is lost, and a Disproof when the result
   *   is an error or not of the form that every tool's is
   */
  call(tool: string, input: Input, patienceMs?: number): Promise<Told>
}

/** A client, and how it is connected to a server. */
export interface AgentKind {
  readonly name: string
  connect(url: string): Promise<Agent>
}

export const CLIENT = { name: 'loopgate-interop', version: '1.0.0' } as const

/** Longer than anything here waits: what is shown is what the server does, not what the client gives up. */
export const PATIENCE_MS = 60_000

/** What a result says, which it says twice. @throws {Disproof} when it is an error, or says two things. */
export function toldIn(result: unknown): Told {
  const { isError, structuredContent, content } = result as {
    readonly isError?: boolean
    readonly structuredContent?: Told
    readonly content?: readonly { readonly type: string; readonly text?: string }[]
  }
  const text = content?.find(({ type }) => type === 'text')?.text
  must(isError !== true, `an error: ${text}`)
  must(structuredContent !== undefined && text !== undefined, `no view: ${JSON.stringify(result)}`)
  must(
    isDeepStrictEqual(JSON.parse(text), structuredContent),
    `the text is not the structured content:\n${text}\n${JSON.stringify(structuredContent)}`,
  )
  return structuredContent
}

import { isDeepStrictEqual } from 'node:util'
import * as z from 'zod'
import type { Callbacks } from '../../core/callbacks.ts'
import type { LoopgateError } from '../../core/errors.ts'
import type { Hub } from '../../core/hub.ts'
import type { Clock, Log } from '../../core/ports.ts'
import type { Principal } from '../../core/principal.ts'
import type { Answer, HitlRequest } from '../../core/request.ts'
import { parse } from '../../protocol/fields.ts'
import { toLoopgateError } from '../../protocol/problem.ts'
import type { SubmissionDefaults } from '../../protocol/requests.ts'
import { INVALID_PARAMS } from './codes.ts'
import { JsonRpcFailure } from './json-rpc.ts'
import type { LeftQuestions } from './left-questions.ts'

/** What the tools work with, the same for every call. */
export interface ToolContext {
  readonly hub: Hub
  readonly callbacks: Pick<Callbacks, 'register'>
  readonly clock: Clock
  readonly defaults: SubmissionDefaults
  readonly logger: Log
  readonly left: LeftQuestions
  /** Aborted when the server begins to stop: whoever waits is answered. */
  readonly draining: AbortSignal
}

/** One call, whichever revision of MCP it came by. */
export interface ToolCall {
  readonly principal: Principal
  /** `?session_id=` of the address that the client connected to. */
  readonly sessionId: string | undefined
  /** What the client calls this call, the same when it repeats it. */
  readonly callId: string | undefined
  /**
   * Whether a client may be given a task instead of the answer: `wanted`, and it gets one; `taken`,
   * and it gets one when it would wait.
   */
  readonly task: 'none' | 'taken' | 'wanted'
  /** Aborted when the client does not wait for the answer any more. The question stays open. */
  readonly signal: AbortSignal
  /** Tells a client that wants to know. `progress` grows from call to call. */
  progress(progress: number, total: number, message: string): void
  readonly clientName: string
  /**
   * Asks the person at the client while others are asked, too; undefined when the client can not.
   * Resolves to undefined when the person did not answer.
   */
  readonly askBeside?:
    | ((request: HitlRequest, signal: AbortSignal) => Promise<Answer | undefined>)
    | undefined
  /** Whether the client can ask its person itself: a tool then returns `asks`, and the client calls again. */
  readonly asksBetween?: boolean
  /** Set when it has done that. */
  readonly resumed?: Resumed | undefined
}

/** A question that the client put to its person, and what came of it. */
export interface Resumed {
  readonly request: HitlRequest
  /** Undefined when the person did not answer. */
  readonly answer: Answer | undefined
}

interface ContentBlock {
  readonly type: 'text'
  readonly text: string
}

/** CallToolResult of MCP, as far as every revision has it. */
export interface ToolResult {
  readonly content: readonly ContentBlock[]
  readonly structuredContent?: Readonly<Record<string, unknown>>
  readonly isError?: true
}

/**
 * What came of a call: a result, a question that the client follows as a task, or one that it puts to
 * its person before it calls again.
 */
export type CallResult =
  | ToolResult
  | { readonly task: HitlRequest }
  | { readonly asks: HitlRequest }

interface Annotations {
  readonly readOnlyHint: boolean
  readonly destructiveHint: boolean
  readonly idempotentHint: boolean
  readonly openWorldHint: boolean
}

/** Of a tool that asks a person: each call is a question of its own. */
export const ASKS: Annotations = {
  readOnlyHint: false,
  destructiveHint: false,
  idempotentHint: false,
  openWorldHint: true,
}

/** Of a tool that looks at what is there. */
export const LOOKS: Annotations = {
  readOnlyHint: true,
  destructiveHint: false,
  idempotentHint: true,
  openWorldHint: false,
}

/** A tool, for every revision of MCP. */
export interface Tool {
  readonly name: string
  readonly title: string
  /** For a model: what it is for, and what to do with the answer. */
  readonly description: string
  readonly input: z.ZodType
  /** Undefined when the answer is text alone. */
  readonly output?: z.ZodType
  readonly annotations: Annotations
  /** Whether it can take long, and a client may get a task for it. */
  readonly canTakeLong: boolean
  /** @throws {LoopgateError} which the model is told. */
  call(context: ToolContext, call: ToolCall, input: unknown): Promise<CallResult>
}

/** A tool whose arguments are checked before it sees them. */
export function defineTool<Input extends z.ZodType>(
  tool: Omit<Tool, 'call' | 'input'> & {
    readonly input: Input
    call(context: ToolContext, call: ToolCall, input: z.output<Input>): Promise<CallResult>
  },
): Tool {
  return {
    ...tool,
    call: (context, call, input) => tool.call(context, call, parse(tool.input, input ?? {})),
  }
}

/** The same as structured content and as JSON text, for clients that read only one of them. */
export const structured = (value: Readonly<Record<string, unknown>>): ToolResult => ({
  content: [{ type: 'text', text: JSON.stringify(value) }],
  structuredContent: value,
})

export const textResult = (text: string): ToolResult => ({ content: [{ type: 'text', text }] })

/** What a model can do about an error, where the error does not say it itself. */
const ADVICE: Readonly<Partial<Record<LoopgateError['code'], string>>> = {
  REQUEST_NOT_FOUND: 'Call list_pending_requests to see which questions are open.',
  SESSION_NOT_FOUND:
    'Name another session_id, or none; the address of this server may name one, too (?session_id=). Sessions are made with POST /hitl/register.',
  IDEMPOTENCY_MISMATCH: 'Ask with another idempotency_key, or with the same arguments as before.',
  TOO_MANY_PENDING: 'Wait until some are answered, or cancel those that are not needed any more.',
  UNAVAILABLE: 'Nothing was decided. Call again in a few seconds.',
  INTERNAL: 'Nothing was decided. Call again, and tell the operator if it stays.',
}

/** An error as a model reads it. Nothing that failed is an approval. */
export function errorResult({ code, message }: LoopgateError): ToolResult {
  const sentence = /[.!?]$/.test(message) ? message : `${message}.`
  const advice = ADVICE[code] === undefined ? '' : ` ${ADVICE[code]}`
  return {
    content: [{ type: 'text', text: `${code}: ${sentence}${advice}` }],
    isError: true,
  }
}

export interface ToolJson {
  readonly name: string
  readonly title: string
  readonly description: string
  readonly inputSchema: ObjectSchema
  readonly outputSchema?: ObjectSchema
  readonly annotations: Annotations
}

type ObjectSchema = { readonly type: 'object' } & Readonly<Record<string, unknown>>

/** As `tools/list` says it. Schemas are JSON Schema 2020-12. */
export const toToolJson = (tool: Tool): ToolJson => ({
  name: tool.name,
  title: tool.title,
  description: tool.description,
  inputSchema: toJsonSchema(tool.input, 'input'),
  ...(tool.output && { outputSchema: toJsonSchema(tool.output, 'output') }),
  annotations: tool.annotations,
})

function toJsonSchema(schema: z.ZodType, io: 'input' | 'output'): ObjectSchema {
  const json = z.toJSONSchema(schema, {
    io,
    override: ({ zodSchema, jsonSchema }) => {
      const told = z.globalRegistry.get(zodSchema)?.['jsonSchema']
      if (told === undefined) return
      for (const key of Object.keys(jsonSchema)) delete jsonSchema[key]
      Object.assign(jsonSchema, told)
    },
  })
  const { $defs: _, ...whole } = json
  // Of what was replaced nothing is left but the definitions that it referred to.
  return portable(JSON.stringify(whole).includes('"$ref"') ? json : whole) as ObjectSchema
}

/**
 * The same schema for model APIs that know one type a schema (OpenAPI 3.0, Gemini), and take a schema
 * that says nothing for a mistake.
 */
function portable(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(portable)
  if (typeof node !== 'object' || node === null) return node
  const parts = Object.entries(node).map(([key, part]): [string, unknown] => {
    if (key === 'type' && Array.isArray(part)) return ['anyOf', part.map((type) => ({ type }))]
    const isAnything = key === 'additionalProperties' && isDeepStrictEqual(part, {})
    return [key, isAnything || portable(part)]
  })
  return Object.fromEntries(parts)
}

/**
 * Calls a tool by name. What goes wrong in the tool is a result.
 * @throws {JsonRpcFailure} for a name that no tool has (MCP, tools, "Error Handling").
 */
export async function callTool(
  tools: readonly Tool[],
  context: ToolContext,
  call: ToolCall,
  { name, input }: { readonly name: string; readonly input: unknown },
): Promise<CallResult> {
  const tool = tools.find((one) => one.name === name)
  if (!tool) {
    const known = tools.map((one) => one.name).join(', ')
    throw new JsonRpcFailure(
      INVALID_PARAMS,
      `there is no tool ${JSON.stringify(name)}; there are ${known}`,
    )
  }
  try {
    return await tool.call(context, call, input)
  } catch (thrown) {
    const error = toLoopgateError(thrown)
    if (error.code === 'INTERNAL') {
      context.logger.error({ err: error.cause ?? error, tool: name }, 'a tool failed')
    }
    return errorResult(error)
  }
}

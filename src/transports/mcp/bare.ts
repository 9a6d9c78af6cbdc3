import type { LoopgateError } from '../../core/errors.ts'
import { toLoopgateError, toProblem } from '../../protocol/problem.ts'
import { toCall } from './call.ts'
import {
  INTERNAL_ERROR,
  INVALID_PARAMS,
  INVALID_REQUEST,
  METHOD_NOT_FOUND,
  PARSE_ERROR,
  SERVER_ERROR,
} from './codes.ts'
import type { Connection } from './connection.ts'
import { INSTRUCTIONS } from './discovery.ts'
import { JsonRpcFailure } from './json-rpc.ts'
import type { McpParts } from './parts.ts'
import { callTool } from './tool.ts'

/**
 * JSON-RPC as old Loopgate clients send it: one object without `jsonrpc`, without a handshake, and
 * answered in kind.
 */

/** What old clients negotiated. */
const LEGACY_VERSION = '2024-11-05'

interface BareError {
  readonly code: number
  readonly message: string
  readonly data?: unknown
}

type BareAnswer =
  | { readonly result: unknown; readonly id: unknown }
  | { readonly error: BareError; readonly id: unknown }

/** Whether a body is none of the revisions that MCP has: no message of it says `jsonrpc`. */
export const isBare = (body: unknown): boolean =>
  Array.isArray(body)
    ? body.length === 0 || body.some(isBare)
    : !isObject(body) || !('jsonrpc' in body)

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** JSON-RPC 2.0, section 4. */
const isId = (value: unknown): boolean =>
  value === null || typeof value === 'string' || typeof value === 'number'

export const bareCapabilities = (version: string) => ({
  capabilities: { tools: {}, resources: { subscribe: true } },
  serverInfo: { name: 'loopgate', version },
})

/** Always an answer: one whose `id` is missing has a null one. */
export async function answerBare(
  parts: McpParts,
  connection: Connection,
  body: unknown,
): Promise<BareAnswer> {
  const { id: given = null, method, params = {} } = isObject(body) ? body : {}
  const id = isId(given) ? given : null
  try {
    if (!isObject(body)) throw new JsonRpcFailure(INVALID_REQUEST, 'a request must be an object')
    if (!isId(given)) throw new JsonRpcFailure(INVALID_REQUEST, 'id must be a string or a number')
    if (typeof method !== 'string') {
      throw new JsonRpcFailure(INVALID_REQUEST, 'method must be a string')
    }
    if (!isObject(params)) throw new JsonRpcFailure(INVALID_PARAMS, 'params must be an object')
    return { result: await perform(parts, connection, method, params), id }
  } catch (error) {
    return { error: toBareError(error), id }
  }
}

async function perform(
  { tools, listed, context, version }: McpParts,
  connection: Connection,
  method: string,
  params: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  switch (method) {
    case 'initialize':
      return {
        protocolVersion: LEGACY_VERSION,
        ...bareCapabilities(version),
        instructions: INSTRUCTIONS,
      }
    case 'notifications/initialized':
    case 'ping':
      return {}
    case 'tools/list':
      return { tools: listed }
    case 'tools/call': {
      const { name, arguments: input, _meta } = params
      if (typeof name !== 'string')
        throw new JsonRpcFailure(INVALID_PARAMS, 'name must be a string')
      const call = toCall(connection, { meta: isObject(_meta) ? _meta : undefined })
      return callTool(tools, context, call, { name, input })
    }
    default:
      throw new JsonRpcFailure(METHOD_NOT_FOUND, `there is no method ${JSON.stringify(method)}`)
  }
}

function toBareError(thrown: unknown): BareError {
  if (thrown instanceof JsonRpcFailure) return { code: thrown.code, message: thrown.message }
  return toJsonRpcError(thrown)
}

/** What went wrong before anybody looked at the method. */
export function toJsonRpcError(thrown: unknown): BareError {
  const error = toLoopgateError(thrown)
  return { code: codeOf(error), message: error.message, data: toProblem(error) }
}

function codeOf({ code, status, details }: LoopgateError): number {
  if (code === 'INVALID_INPUT') {
    return details.issues?.some(({ path }) => path === '') ? PARSE_ERROR : INVALID_PARAMS
  }
  return status < 500 ? SERVER_ERROR : INTERNAL_ERROR
}

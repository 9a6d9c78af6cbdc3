import { toLoopgateError, toProblem } from '../../protocol/problem.ts'

/** JSON-RPC 2.0, section 5.1. From -32000 to -32099 are the server's own. */
export const PARSE_ERROR = -32_700
export const INVALID_REQUEST = -32_600
export const METHOD_NOT_FOUND = -32_601
export const INVALID_PARAMS = -32_602
export const INTERNAL_ERROR = -32_603
export const SERVER_ERROR = -32_000

/** An error of the protocol, as JSON-RPC 2.0 has it (section 5.1). */
export class JsonRpcFailure extends Error {
  readonly code: number
  readonly data: unknown

  constructor(code: number, message: string, data?: unknown) {
    super(message)
    this.code = code
    this.data = data
  }
}

/** The answer to what nobody looked at. */
export const refusal = (status: number, code: number, message: string): Response =>
  Response.json({ jsonrpc: '2.0', error: { code, message }, id: null }, { status })

/** An error of ours where MCP has no result to say it in. */
export function toFailure(thrown: unknown, data?: object): JsonRpcFailure {
  const error = toLoopgateError(thrown)
  const code = error.status < 500 ? INVALID_PARAMS : INTERNAL_ERROR
  return new JsonRpcFailure(code, error.message, data ?? toProblem(error))
}

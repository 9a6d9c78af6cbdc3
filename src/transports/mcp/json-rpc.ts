import { toLoopgateError, toProblem } from '../../protocol/problem.ts'
import { INTERNAL_ERROR, INVALID_PARAMS } from './codes.ts'

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

import * as z from 'zod'

/** Where a message of MCP 2026-07-28 names its revision. Earlier ones have nothing like it. */
const REVISION_META = 'io.modelcontextprotocol/protocolVersion'

export type Id = string | number
export type Params = Readonly<Record<string, unknown>>

export interface Notification {
  readonly jsonrpc: '2.0'
  readonly method: string
  readonly params?: Params | undefined
}

export interface Request extends Notification {
  readonly id: Id
}

export interface RpcError {
  readonly code: number
  readonly message: string
  readonly data?: unknown
}

interface Success {
  readonly jsonrpc: '2.0'
  readonly id: Id
  readonly result: Params
}

/** Without an id when what it answers had none that could be read. */
interface Failure {
  readonly jsonrpc: '2.0'
  readonly id?: Id | null | undefined
  readonly error: RpcError
}

export type Response = Success | Failure
export type Message = Request | Notification | Response

const Id = z.union([z.string(), z.number()])
const Params = z.record(z.string(), z.unknown())
const Notification = z.looseObject({
  jsonrpc: z.literal('2.0'),
  method: z.string(),
  params: Params.optional(),
})
const Request = z.looseObject({ ...Notification.shape, id: Id })
const RpcError = z.looseObject({ code: z.number(), message: z.string() })
const Response = z.union([
  z.looseObject({ jsonrpc: z.literal('2.0'), id: Id, result: Params }),
  z.looseObject({ jsonrpc: z.literal('2.0'), id: Id.nullish(), error: RpcError }),
])

/** One message, by what must be done with it; undefined for what is none. */
export type Read =
  | { readonly type: 'request'; readonly message: Request }
  | { readonly type: 'notification'; readonly message: Notification }
  | { readonly type: 'response'; readonly message: Response }

export function readMessage(value: unknown): Read | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if (!('method' in value)) {
    const { data } = Response.safeParse(value)
    return data && { type: 'response', message: data }
  }
  if ('id' in value) {
    const { data } = Request.safeParse(value)
    return data && { type: 'request', message: data }
  }
  const { data } = Notification.safeParse(value)
  return data && { type: 'notification', message: data }
}

/** Undefined for what is no JSON. */
export function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** An error that was sent without being a message: with a broken id, or in the body of a refusal. */
export function readError(value: unknown): RpcError | undefined {
  if (typeof value !== 'object' || value === null || !('error' in value)) return undefined
  return RpcError.safeParse(value.error).data
}

/** The id to answer a broken message with. */
export function idOf(value: unknown): Id | null {
  const id = typeof value === 'object' && value !== null && 'id' in value ? value.id : null
  return Id.safeParse(id).data ?? null
}

/** An object of the params, such as `_meta` or `arguments`; empty when there is none. */
export const part = (params: Params | undefined, name: string): Params =>
  Params.safeParse(params?.[name]).data ?? {}

/** The revision that a message names itself, from 2026-07-28 on; undefined for the era of sessions. */
export function revisionOf({ params }: Notification): string | undefined {
  const revision = part(params, '_meta')[REVISION_META]
  return typeof revision === 'string' ? revision : undefined
}

export const succeed = (id: Id, result: Params): Response => ({ jsonrpc: '2.0', id, result })

export const fail = (id: Id | null, code: number, message: string): Response => ({
  jsonrpc: '2.0',
  id,
  error: { code, message },
})

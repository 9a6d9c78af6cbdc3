import * as z from 'zod'
import { invalid, LoopgateError } from '../core/errors.ts'
import { id, parse, since } from './fields.ts'
import { isTooDeep, MAX_DEPTH, parseJson } from './json.ts'
import { MAX_BODY_BYTES, targetFields } from './requests.ts'

/** What a client says on a WebSocket, one JSON object a frame. */

/** Chosen by the client, and given back with the answer. */
const frameId = z.union([id, z.int()])

const frame = z.discriminatedUnion(
  'type',
  [
    z.object({ type: z.literal('subscribe'), ...targetFields, since: since.optional() }),
    z.object({ type: z.literal('unsubscribe'), ...targetFields }),
    z.object({ type: z.literal('request'), id: frameId.optional(), body: z.unknown().optional() }),
    z.object({ type: z.literal('cancel'), id: frameId.optional(), request_id: id }),
  ],
  { error: 'must be subscribe, unsubscribe, request or cancel' },
)

export type ClientFrame = z.output<typeof frame>

/** @throws {LoopgateError} PAYLOAD_TOO_LARGE, INVALID_INPUT. */
export function readFrame(text: string): unknown {
  if (Buffer.byteLength(text) > MAX_BODY_BYTES + 1024) throw new LoopgateError('PAYLOAD_TOO_LARGE')
  // The body of a request lies one level deeper here than it does over HTTP.
  if (isTooDeep(text, MAX_DEPTH + 1)) throw invalid('', `is nested deeper than ${MAX_DEPTH} levels`)
  return parseJson(text)
}

/**
 * The body of a request is checked by whoever takes it, so that what is wrong is named by its place
 * in the body, as it is over HTTP.
 * @throws {LoopgateError} INVALID_INPUT.
 */
export function parseFrame(value: unknown): ClientFrame {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return parse(frame, value)
  }
  const { body, ...around } = value as { readonly body?: unknown }
  const parsed = parse(frame, around)
  return parsed.type === 'request' ? { ...parsed, body } : parsed
}

/** The id of a frame that could not be read, so that its sender knows which one it was. */
export function frameIdOf(value: unknown): string | number | undefined {
  if (typeof value !== 'object' || value === null || !('id' in value)) return undefined
  return frameId.safeParse(value.id).data
}

/** Socket.IO's `subscribe` and `unsubscribe`. */
export const subscribeBody = z.object({ ...targetFields, since: since.optional() })

/** A body that came on a socket is as large as one over HTTP may be. */
export function checkSize(body: unknown): void {
  const size = Buffer.byteLength(JSON.stringify(body) ?? '')
  if (size > MAX_BODY_BYTES) throw new LoopgateError('PAYLOAD_TOO_LARGE')
}

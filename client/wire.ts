import type {
  Envelope,
  Hello,
  RequestView,
  WireEventType,
  WireOutcome,
  WireStatus,
} from '../src/protocol/types.ts'
import { malformed } from './errors.ts'
import { isRecord } from './record.ts'

/**
 * What came from outside, checked before anything relies on it. A view that contradicts itself is
 * refused as a whole: no part of it can be believed.
 */

type Check = (value: unknown) => boolean

const isText: Check = (value) => typeof value === 'string'
const isName: Check = (value) => typeof value === 'string' && value !== ''
const isTextOrNull: Check = (value) => value === null || isText(value)
const isBoolean: Check = (value) => typeof value === 'boolean'
const isPersonOrNull: Check = (value) =>
  value === null ||
  (isRecord(value) && isText(value['channel']) && isText(value['id']) && isText(value['name']))

/** The outcomes that a status can have. */
const OUTCOMES: Readonly<Record<WireStatus, readonly (WireOutcome | null)[]>> = {
  pending: [null],
  completed: ['approved', 'rejected', 'answered'],
  timeout: ['expired'],
  canceled: ['canceled'],
}

const isStatus = (value: unknown): value is WireStatus =>
  typeof value === 'string' && Object.hasOwn(OUTCOMES, value)

const VIEW: Readonly<Record<keyof RequestView, Check>> = {
  request_id: isName,
  session_id: isName,
  client_id: isName,
  message: isText,
  request_type: isText,
  options: Array.isArray,
  metadata: isRecord,
  status: isStatus,
  outcome: isTextOrNull,
  completed: isBoolean,
  approved: isBoolean,
  response: isTextOrNull,
  comment: isTextOrNull,
  decided_by: isPersonOrNull,
  delivery: Array.isArray,
  created_at: isText,
  expires_at: isText,
  responded_at: isTextOrNull,
  timestamp: isText,
  cursor: isName,
  receipt: isTextOrNull,
}

/** @throws {LoopgateError} MALFORMED_ANSWER. */
export function readView(value: unknown): RequestView {
  if (!isRecord(value)) throw malformed('a request')
  for (const [field, check] of Object.entries(VIEW)) {
    if (!check(value[field])) throw malformed(`the field ${field} of a request`)
  }
  const { status, outcome, completed, approved } = value
  const isConsistent =
    isStatus(status) &&
    OUTCOMES[status].some((possible) => possible === outcome) &&
    completed === (status !== 'pending') &&
    approved === (outcome === 'approved')
  if (!isConsistent) throw malformed('a request that contradicts itself')
  return value as unknown as RequestView
}

/** Where a request stands after an event of each type. */
const STATUS_AFTER: Readonly<Record<WireEventType, WireStatus>> = {
  'request.created': 'pending',
  'request.delivered': 'pending',
  'request.undelivered': 'pending',
  'request.decided': 'completed',
  'request.expired': 'timeout',
  'request.canceled': 'canceled',
}

const isEventType = (value: unknown): value is WireEventType =>
  typeof value === 'string' && Object.hasOwn(STATUS_AFTER, value)

/**
 * An event, with the cursor after it. Without `envelope`, its type is one that a newer server has
 * and this client does not know.
 * @throws {LoopgateError} MALFORMED_ANSWER.
 */
export function readEvent(
  value: unknown,
  sessionId: string,
): { readonly cursor: string; readonly envelope?: Envelope } {
  if (!isRecord(value)) throw malformed('an event')
  const { id, type, session_id, request_id, timestamp } = value
  if (typeof id !== 'string' || id === '' || session_id !== sessionId) throw malformed('an event')
  if (!isEventType(type)) return { cursor: id }
  const data = readView(value['data'])
  const isConsistent =
    isText(timestamp) &&
    data.request_id === request_id &&
    data.session_id === sessionId &&
    data.status === STATUS_AFTER[type]
  if (!isConsistent) throw malformed('an event that contradicts itself')
  return { cursor: id, envelope: value as unknown as Envelope }
}

/** @throws {LoopgateError} MALFORMED_ANSWER. */
export function readHello(value: unknown): Hello {
  if (isRecord(value)) {
    const { cursor, recovered } = value
    if (typeof cursor === 'string' && cursor !== '' && typeof recovered === 'boolean') {
      return { cursor, recovered }
    }
  }
  throw malformed('the beginning of a stream')
}

/** @throws {LoopgateError} MALFORMED_ANSWER. */
export function readJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw malformed(what, cause)
  }
}

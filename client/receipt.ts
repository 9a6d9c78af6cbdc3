import canonicalize from 'canonicalize'
import { compactVerify, createLocalJWKSet, type JSONWebKeySet } from 'jose'
import type { ReceiptClaims, RequestView } from '../src/protocol/types.ts'
import { LoopgateError } from './errors.ts'
import { isRecord } from './record.ts'

export type { ReceiptClaims } from '../src/protocol/types.ts'

/** The keys that receipts are verified with (RFC 7517), as `/.well-known/jwks.json` lists them. */
export interface ReceiptKeys {
  readonly keys: readonly Readonly<Record<string, unknown>>[]
}

/** What an approval is about. */
export type Content = Pick<
  RequestView,
  'client_id' | 'message' | 'metadata' | 'options' | 'request_type' | 'session_id'
>

/** `sha-256:` and hex, over the RFC 8785 form of what was asked. */
export async function contentDigest(content: Content): Promise<string> {
  const { client_id, message, metadata, options, request_type, session_id } = content
  const fields = {
    ...{ client_id, message, metadata, request_type, session_id },
    options: options.map(({ label, effect }) => ({ label, effect })),
  }
  const bytes = new TextEncoder().encode(canonicalize(fields) ?? '')
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return `sha-256:${Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')}`
}

export const notVerified = (why: string, cause?: unknown): LoopgateError =>
  new LoopgateError('NOT_VERIFIED', `the receipt does not hold: ${why}`, { cause })

/**
 * The claims of a receipt that one of the keys has signed. Nothing that the receipt itself says
 * chooses the key or the algorithm, but which of the keys it is.
 * @throws {LoopgateError} NOT_VERIFIED.
 */
export async function readReceipt(receipt: string, keys: ReceiptKeys): Promise<ReceiptClaims> {
  // Its own type keeps other tokens out (RFC 8725, section 3.11).
  const { payload, protectedHeader: header } = await compactVerify(
    receipt,
    createLocalJWKSet(keys as unknown as JSONWebKeySet),
    { algorithms: ['EdDSA'] },
  ).catch((cause: Error) => {
    throw notVerified(`its signature is not one of the server's keys' (${cause.message})`, cause)
  })
  if (header.typ !== 'loopgate-decision+jwt') {
    throw notVerified(`it is a token of another type: ${JSON.stringify(header.typ)}`)
  }
  const others = Object.keys(header).filter((name) => !['alg', 'typ', 'kid'].includes(name))
  if (others.length > 0 || typeof header.kid !== 'string') {
    throw notVerified('its header is not that of a receipt')
  }
  const claims = parse(payload)
  if (!isClaims(claims)) throw notVerified('its claims are not those of a receipt')
  return claims
}

/** Why an authentic receipt is not an approval to act now; undefined when it is one. */
export function objection(
  { outcome, approved, exp = 0, request }: ReceiptClaims,
  expected: { readonly digest?: string | undefined; readonly now: number },
): string | undefined {
  if (!approved) return `it does not approve: ${outcome}`
  if (expected.now / 1000 >= exp) {
    return `it expired at ${new Date(exp * 1000).toISOString()}`
  }
  if (expected.digest !== undefined && expected.digest !== request.digest) {
    return `it is about something else: its digest is ${request.digest}, not ${expected.digest}`
  }
  return undefined
}

function parse(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload))
  } catch (cause) {
    throw notVerified('its claims can not be read', cause)
  }
}

const OUTCOMES: readonly unknown[] = ['approved', 'rejected', 'answered', 'expired', 'canceled']

const isText = (value: unknown): boolean => typeof value === 'string'
const isTextOrNull = (value: unknown): boolean => value === null || isText(value)
const isSeconds = (value: unknown): boolean => Number.isSafeInteger(value)

function isClaims(value: unknown): value is ReceiptClaims {
  if (!isRecord(value)) return false
  const { outcome, approved, exp, request } = value
  return (
    [value['iss'], value['aud'], value['sub'], value['jti']].every(isText) &&
    isSeconds(value['iat']) &&
    OUTCOMES.includes(outcome) &&
    approved === (outcome === 'approved') &&
    (approved ? isSeconds(exp) : exp === undefined) &&
    [value['response'], value['comment']].every(isTextOrNull) &&
    (value['decided_by'] === null || isRecord(value['decided_by'])) &&
    isRecord(request) &&
    [request['digest'], request['created_at'], request['expires_at']].every(isText) &&
    isTextOrNull(request['shown_digest'])
  )
}

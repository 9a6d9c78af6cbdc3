import { formatCursor } from '../core/event.ts'
import { APPROVAL_TTL_SECONDS, type Seal } from '../core/receipt.ts'
import type { HitlRequest } from '../core/request.ts'
import type { ReceiptClaims } from '../protocol/types.ts'

/** RFC 8725, section 3.11: no other kind of token can be taken for a receipt. */
export const RECEIPT_TYP = 'loopgate-decision+jwt'

/**
 * The claims of a settled request. They are made of what never changes again, in one order: signed
 * again they have the same bytes.
 */
export function claimsOf({ question, state, cursor }: HitlRequest, seal: Seal): ReceiptClaims {
  const { outcome, decidedBy, settledAt } = state
  if (outcome === null || settledAt === null) throw new Error('it is not settled')
  const iat = Math.floor(settledAt.getTime() / 1000)
  const approved = outcome === 'approved'
  return {
    iss: seal.issuer,
    aud: question.clientId,
    sub: question.id,
    // The event that settled it.
    jti: formatCursor(cursor),
    iat,
    ...(approved && { exp: iat + (seal.approvalTtlSeconds ?? APPROVAL_TTL_SECONDS) }),
    outcome,
    approved,
    response: state.response,
    comment: state.comment,
    decided_by: decidedBy && { channel: decidedBy.channel, id: decidedBy.id, name: decidedBy.name },
    request: {
      digest: seal.digest,
      shown_digest: seal.shownDigest,
      created_at: question.createdAt.toISOString(),
      expires_at: question.expiresAt.toISOString(),
    },
  }
}

import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import type { Question } from '../core/request.ts'

const sha256 = (text: string): string =>
  `sha-256:${createHash('sha256').update(text).digest('hex')}`

/** What an approval is about: the same for the request that was asked and for what is about to be done. */
export type Content = Pick<
  Question,
  'clientId' | 'message' | 'metadata' | 'options' | 'type' | 'sessionId'
>

/** `sha-256:` and hex, over the RFC 8785 form of the fields as agents see them. */
export function contentDigest(content: Content): string {
  const { clientId, message, metadata, options, type, sessionId } = content
  const fields = {
    client_id: clientId,
    message,
    metadata,
    options: options.map(({ label, effect }) => ({ label, effect })),
    request_type: type,
    session_id: sessionId,
  }
  return sha256(canonicalize(fields) ?? '')
}

/** `sha-256:` and hex, over text in UTF-8. */
export const textDigest = sha256

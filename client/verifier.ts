import { decodeProtectedHeader } from 'jose'
import type { RequestView } from '../src/protocol/types.ts'
import type { Session } from './calls.ts'
import type { Decision } from './decision.ts'
import { malformed } from './errors.ts'
import type { Question } from './options.ts'
import {
  type Content,
  contentDigest,
  notVerified,
  objection,
  type ReceiptClaims,
  type ReceiptKeys,
  readReceipt,
} from './receipt.ts'
import { isRecord } from './record.ts'

export interface VerifierOptions {
  /** The keys to trust. Without them, those that the server itself lists. */
  readonly keys?: ReceiptKeys | undefined
  /** What `iss` must be: the server's PUBLIC_URL. */
  readonly issuer?: string | undefined
}

type FetchKeys = (signal: AbortSignal) => Promise<unknown>

/** Says of a decision that its receipt proves it, or throws. In doubt it throws. */
export class Verifier {
  readonly #issuer: string | undefined
  readonly #given: ReceiptKeys | undefined
  readonly #fetchKeys: FetchKeys
  #fetched: ReceiptKeys | undefined

  constructor({ keys, issuer }: VerifierOptions, fetchKeys: FetchKeys) {
    this.#given = keys
    this.#issuer = issuer
    this.#fetchKeys = fetchKeys
  }

  /** @throws {LoopgateError} NOT_VERIFIED, or why the keys could not be fetched. */
  async check(decision: Decision, content: Content, signal: AbortSignal): Promise<void> {
    const { receipt } = decision.view
    if (receipt === null) throw notVerified('there is none')
    const claims = await this.#read(receipt, signal)
    const why =
      this.#isAnothers(claims, decision, content) ??
      (decision.approved ? objection(claims, { now: Date.now() }) : undefined)
    if (why !== undefined) throw notVerified(why)
    const digest = await contentDigest(content)
    if (claims.request.digest !== digest) {
      throw notVerified(`what was asked has the digest ${digest}, not ${claims.request.digest}`)
    }
  }

  #isAnothers(claims: ReceiptClaims, decision: Decision, content: Content): string | undefined {
    if (this.#issuer !== undefined && claims.iss !== this.#issuer) {
      return `it is of another server: ${claims.iss}`
    }
    if (claims.sub !== decision.requestId) return `it is of another request: ${claims.sub}`
    if (claims.aud !== content.client_id) return `it is for another client: ${claims.aud}`
    return says(claims) === says(decision.view) ? undefined : 'it says something else'
  }

  /** Keys are fetched again for one that is not known: the server may have begun to use it. */
  async #read(receipt: string, signal: AbortSignal): Promise<ReceiptClaims> {
    if (this.#given) return readReceipt(receipt, this.#given)
    if (this.#fetched && isListed(receipt, this.#fetched)) {
      return readReceipt(receipt, this.#fetched)
    }
    this.#fetched = readKeys(await this.#fetchKeys(signal))
    return readReceipt(receipt, this.#fetched)
  }
}

/**
 * What was asked, by the arguments alone. What a label means is the server's to say when it was not
 * declared: it stands in the view, and under the signature.
 */
export function contentOf(session: Session, question: Question, view: RequestView): Content {
  const options = (question.options ?? []).map((option, i) => {
    const { label, effect = undefined } = typeof option === 'string' ? { label: option } : option
    return { label, effect: effect ?? view.options[i]?.effect ?? 'other' }
  })
  return {
    client_id: session.clientId,
    session_id: session.sessionId,
    message: question.message,
    // As it was sent.
    metadata: JSON.parse(JSON.stringify(question.metadata ?? {})) as Content['metadata'],
    request_type: question.type ?? (options.length > 0 ? 'choice' : 'confirmation'),
    options,
  }
}

const says = (
  it:
    | Pick<ReceiptClaims, 'outcome' | 'approved' | 'response' | 'comment' | 'decided_by'>
    | RequestView,
): string => {
  const { outcome, approved, response, comment, decided_by: by } = it
  return JSON.stringify([outcome, approved, response, comment, by && [by.channel, by.id, by.name]])
}

/** What can not be read is not known either; it is refused where it is verified. */
function isListed(receipt: string, { keys }: ReceiptKeys): boolean {
  try {
    const { kid } = decodeProtectedHeader(receipt)
    return keys.some((key) => key['kid'] === kid)
  } catch {
    return false
  }
}

function readKeys(value: unknown): ReceiptKeys {
  if (isRecord(value) && Array.isArray(value['keys']) && value['keys'].every(isRecord)) {
    return { keys: value['keys'] }
  }
  throw malformed('the answer to /.well-known/jwks.json')
}

import type { HitlRequest, JsonObject } from './request.ts'

/** How long an approval may be acted on when the request does not say. */
export const APPROVAL_TTL_SECONDS = 900

/** What of a receipt is fixed by the statement that settles, beside the request itself. */
export interface Seal {
  /** The key that signs. */
  readonly kid: string
  /** The address of the server, as it was then. */
  readonly issuer: string
  /** Of what was asked: `sha-256:` and hex. */
  readonly digest: string
  /** Of the text that the reviewer's card showed; null when nothing was shown to anybody. */
  readonly shownDigest: string | null
  readonly approvalTtlSeconds: number | null
}

/** Makes receipts. The same request and seal MUST give the same bytes, whenever and wherever. */
export interface ReceiptSigner {
  /** What is settled from now on names this address. */
  issuer(): string
  /** Null when the key is not there any more, which is nobody's to mend here. */
  sign(request: HitlRequest, seal: Seal): Promise<string | null>
}

/** `current` signs, `next` will, `retired` did. The public halves of all are known for ever. */
export type KeyStatus = 'current' | 'next' | 'retired'

/** A key pair, as JWK with its private part. `kid` is its thumbprint (RFC 7638). */
export interface NewKey {
  readonly kid: string
  readonly jwk: JsonObject
}

/** A key as it stands in its row. */
export interface StoredKey extends NewKey {
  readonly status: KeyStatus
  readonly createdAt: Date
}

/** The keys that sign receipts and checkpoints, the same for every process on the database. */
export interface ReceiptKeyStore {
  /** Makes a current key and a next one where there is none. */
  ensure(make: () => Promise<NewKey>): Promise<void>
  /** Oldest first. */
  all(): Promise<readonly StoredKey[]>
  /** The next key is current from now on, the current one is retired, and the new one is next. */
  rotate(next: NewKey): Promise<void>
}

/** Spends approvals. */
export interface ApprovalStore {
  /**
   * Spends an approval, once, while it may be acted on by the clock of the database.
   * @throws {LoopgateError} REQUEST_NOT_FOUND, NOT_APPROVED, DIGEST_MISMATCH, ALREADY_CONSUMED,
   * APPROVAL_EXPIRED.
   */
  consume(tenant: string, requestId: string, digest: string, by: string): Promise<void>
}

import { createPrivateKey, type JsonWebKey, type KeyObject, sign } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose'
import type { Clock } from '../core/ports.ts'
import type { NewKey, ReceiptKeyStore, ReceiptSigner, Seal } from '../core/receipt.ts'
import type { HitlRequest, JsonObject } from '../core/request.ts'
import { claimsOf, RECEIPT_TYP } from './receipt.ts'
import { ALGORITHM } from './signed.ts'

/** Another process may have rotated. */
const LISTED_MS = 2_000
/** Receipts that are remembered: one event is read by many. */
const REMEMBERED = 1_000

/** A new Ed25519 pair, named by its thumbprint. */
export async function newKey(): Promise<NewKey> {
  const { privateKey } = await generateKeyPair(ALGORITHM, { crv: 'Ed25519', extractable: true })
  const jwk = await exportJWK(privateKey)
  return { kid: await calculateJwkThumbprint(jwk), jwk: jwk as JsonObject }
}

/** The public half, as it stands in a JWKS (RFC 7517). */
export function publicJwk({ kid, jwk }: NewKey): JWK {
  const { kty, crv, x } = jwk as { kty: string; crv: string; x: string }
  return { kty, crv, x, kid, alg: ALGORITHM, use: 'sig' }
}

/**
 * The keys of the database, which sign what is settled. Which one signs stands in the row of the
 * request: a rotation anywhere is known here as soon as something is settled after it.
 */
export class ReceiptKeys implements ReceiptSigner {
  readonly issuer: () => string
  readonly #store: ReceiptKeyStore
  readonly #clock: Clock
  readonly #known = new Map<string, KeyObject>()
  readonly #receipts = new Map<string, string>()
  #loading: Promise<void> | undefined
  #listed: { readonly at: number; readonly keys: readonly JWK[] } | undefined

  constructor(parts: { store: ReceiptKeyStore; clock: Clock; issuer: () => string }) {
    this.#store = parts.store
    this.#clock = parts.clock
    this.issuer = parts.issuer
  }

  /** Makes the keys, if nobody has yet. */
  async open(): Promise<void> {
    await this.#store.ensure(newKey)
    await this.#load()
  }

  /** The public keys that receipts of this database are, were or will be signed with. */
  async jwks(): Promise<{ readonly keys: readonly JWK[] }> {
    const isFresh = this.#listed && this.#clock.now() - this.#listed.at < LISTED_MS
    if (!isFresh) await this.#load()
    return { keys: this.#listed?.keys ?? [] }
  }

  async sign(request: HitlRequest, seal: Seal): Promise<string | null> {
    const claims = claimsOf(request, seal)
    const key = `${seal.kid} ${claims.sub} ${claims.jti}`
    const known = this.#receipts.get(key)
    if (known !== undefined) return known
    const receipt = await this.signAs(RECEIPT_TYP, claims, seal.kid)
    if (receipt !== null) this.#remember(key, receipt)
    return receipt
  }

  /**
   * A compact JWS of the type (RFC 7515, section 7.1). Null when there is no such key. Signed here and
   * now: by way of WebCrypto, as JOSE libraries do, it takes twice as long.
   */
  async signAs(typ: string, claims: object, kid: string): Promise<string | null> {
    if (!this.#known.has(kid)) await this.#load()
    const key = this.#known.get(kid)
    if (!key) return null
    const header = JSON.stringify({ alg: ALGORITHM, typ, kid })
    const input = `${base64url(header)}.${base64url(JSON.stringify(claims))}`
    return `${input}.${sign(null, Buffer.from(input), key).toString('base64url')}`
  }

  #remember(key: string, receipt: string): void {
    const [oldest] = this.#receipts.keys()
    if (this.#receipts.size >= REMEMBERED && oldest !== undefined) this.#receipts.delete(oldest)
    this.#receipts.set(key, receipt)
  }

  /** Once for all who wait for it. */
  #load(): Promise<void> {
    this.#loading ??= this.#read().finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #read(): Promise<void> {
    const keys = await this.#store.all()
    this.#listed = { at: this.#clock.now(), keys: keys.map(publicJwk) }
    for (const { kid, jwk } of keys) {
      if (!this.#known.has(kid)) this.#known.set(kid, toPrivateKey(jwk))
    }
  }
}

const base64url = (text: string): string => Buffer.from(text).toString('base64url')

const toPrivateKey = (jwk: JsonObject): KeyObject =>
  createPrivateKey({ key: jwk as JsonWebKey, format: 'jwk' })

import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { Webhook } from 'standardwebhooks'

/** RFC 8410: what stands before the 32 bytes of an Ed25519 private key in PKCS #8. */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')
const KEY_BYTES = 32

/**
 * Signs as Standard Webhooks 1.0.0 says: `v1` with the session's own secret, which only its agent
 * has, and `v1a` with the key of this deployment, which anybody can verify.
 */
export class Signer {
  readonly #key: KeyObject
  /** `whpk_` and base64. */
  readonly publicKey: string

  /** `secret` is 32 random bytes in base64url. */
  constructor(secret: string) {
    const seed = Buffer.from(secret, 'base64url')
    this.#key = createPrivateKey({
      key: Buffer.concat([PKCS8, seed]),
      format: 'der',
      type: 'pkcs8',
    })
    const spki = createPublicKey(this.#key).export({ format: 'der', type: 'spki' })
    this.publicKey = `whpk_${spki.subarray(-KEY_BYTES).toString('base64')}`
  }

  headers(id: string, at: Date, body: string, secret: string): Record<string, string> {
    const seconds = Math.floor(at.getTime() / 1000)
    const signed = Buffer.from(`${id}.${seconds}.${body}`)
    const v1a = sign(null, signed, this.#key).toString('base64')
    return {
      'webhook-id': id,
      'webhook-timestamp': String(seconds),
      'webhook-signature': `${new Webhook(secret).sign(id, at, body)} v1a,${v1a}`,
    }
  }
}

import { compactVerify, createLocalJWKSet, type JSONWebKeySet } from 'jose'

/** Ed25519 under the name that every JOSE library knows (RFC 8037). */
export const ALGORITHM = 'EdDSA'

/** The text that one of the keys has signed as a token of the type; undefined for whatever else. */
export async function readSigned(
  jws: string,
  typ: string,
  keys: JSONWebKeySet,
): Promise<string | undefined> {
  try {
    const { payload, protectedHeader } = await compactVerify(jws, createLocalJWKSet(keys), {
      algorithms: [ALGORITHM],
    })
    return protectedHeader.typ === typ ? new TextDecoder().decode(payload) : undefined
  } catch {
    return undefined
  }
}

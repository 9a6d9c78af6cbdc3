import { jwtVerify, SignJWT } from 'jose'
import * as z from 'zod'
import type { Person } from '../core/principal.ts'

const ISSUER = 'loopgate'
const AUDIENCE = 'loopgate:person'
const LIFETIME = '12h'

const claims = z.object({
  sub: z.string(),
  tenant: z.string(),
  channel: z.string(),
  name: z.string(),
  exp: z.number(),
})

/** Says who a person is, on the routes that are open to persons. Never given to an agent. */
export class PersonTokens {
  readonly #secret: Uint8Array

  constructor(secret: string) {
    this.#secret = new TextEncoder().encode(secret)
  }

  issue({ id, tenant, channel, name }: Person): Promise<string> {
    return new SignJWT({ tenant, channel, name })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject(id)
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setIssuedAt()
      .setExpirationTime(LIFETIME)
      .sign(this.#secret)
  }

  /** Undefined for whatever is not a token of ours that still holds. */
  async verify(token: string): Promise<Person | undefined> {
    try {
      const { payload } = await jwtVerify(token, this.#secret, {
        algorithms: ['HS256'],
        issuer: ISSUER,
        audience: AUDIENCE,
      })
      const { sub: id, tenant, channel, name, exp } = claims.parse(payload)
      return { type: 'person', tenant, channel, id, name, until: new Date(exp * 1_000) }
    } catch {
      return undefined
    }
  }
}

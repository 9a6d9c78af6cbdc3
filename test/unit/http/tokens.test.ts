import { decodeJwt, SignJWT, UnsecuredJWT } from 'jose'
import { describe, expect, test } from 'vitest'
import { PersonTokens } from '../../../src/http/tokens.ts'
import { aPerson } from '../../support/builders.ts'

const SECRET = 'a secret of at least 32 characters'
const tokens = new PersonTokens(SECRET)

const claims = { tenant: 'tenant-1', channel: 'console', name: 'Ann' }

/** A token as ours, but for what the test makes otherwise. */
function forge(
  over: { secret?: string; issuer?: string; audience?: string; at?: number; alg?: string } = {},
) {
  const now = Math.floor(Date.now() / 1_000) + (over.at ?? 0)
  return new SignJWT(claims)
    .setProtectedHeader({ alg: over.alg ?? 'HS256' })
    .setSubject('ann')
    .setIssuer(over.issuer ?? 'loopgate')
    .setAudience(over.audience ?? 'loopgate:person')
    .setIssuedAt(now)
    .setExpirationTime(now + 3_600)
    .sign(new TextEncoder().encode(over.secret ?? SECRET))
}

describe('a person’s token', () => {
  test('says who he is', async () => {
    const ann = aPerson({ id: 'ä:7', name: 'Ann 🚀', tenant: 't/1' })
    expect(await tokens.verify(await tokens.issue(ann))).toMatchObject(ann)
  })

  test('ends', async () => {
    const { iat = 0, exp = 0 } = decodeJwt(await tokens.issue(aPerson()))
    expect(exp - iat).toBe(12 * 3_600)
  })

  test('says until when it holds', async () => {
    const { until } = (await tokens.verify(await tokens.issue(aPerson()))) ?? {}
    const seconds = ((until?.getTime() ?? 0) - Date.now()) / 1_000
    expect(seconds).toBeGreaterThan(12 * 3_600 - 60)
    expect(seconds).toBeLessThanOrEqual(12 * 3_600)
  })

  test('of another process with the same secret holds', async () => {
    expect(await tokens.verify(await forge())).toMatchObject({ type: 'person', id: 'ann' })
  })

  test.each([
    ['signed with another secret', { secret: 'another secret of 32 characters!!' }],
    ['of another issuer', { issuer: 'somebody' }],
    ['for another audience', { audience: 'loopgate:agent' }],
    ['that has ended', { at: -7_200 }],
    ['of another algorithm', { alg: 'HS512' }],
  ])('R4: %s does not hold', async (_, over) => {
    expect(await tokens.verify(await forge(over))).toBeUndefined()
  })

  test('R4: that nobody signed does not hold', async () => {
    const unsigned = new UnsecuredJWT({ ...claims, sub: 'ann' })
      .setIssuer('loopgate')
      .setAudience('loopgate:person')
      .encode()
    expect(await tokens.verify(unsigned)).toBeUndefined()
  })

  test.each(['', 'a', 'a.b.c', '..', 'null', '{}'])('R4: %j is none', async (text) => {
    expect(await tokens.verify(text)).toBeUndefined()
  })

  test('R4: without all of its claims does not hold', async () => {
    const token = await new SignJWT({ tenant: 'tenant-1' })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject('ann')
      .setIssuer('loopgate')
      .setAudience('loopgate:person')
      .setExpirationTime('1h')
      .sign(new TextEncoder().encode(SECRET))
    expect(await tokens.verify(token)).toBeUndefined()
  })
})

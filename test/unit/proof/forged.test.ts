import { createHmac } from 'node:crypto'
import { CompactSign, type CryptoKey, importJWK, type JWK } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { objection, type ReceiptClaims, readReceipt } from '../../../client/receipt.ts'
import { newKey, publicJwk } from '../../../src/proof/keys.ts'
import { claimsOf, RECEIPT_TYP } from '../../../src/proof/receipt.ts'
import { aRequest } from '../../support/builders.ts'

const SEAL = {
  kid: 'k',
  issuer: 'https://gate.example.com',
  digest: `sha-256:${'0'.repeat(64)}`,
  shownDigest: null,
  approvalTtlSeconds: null,
}
const SETTLED = aRequest({
  state: {
    status: 'decided',
    outcome: 'approved',
    response: 'Deploy',
    decidedBy: { channel: 'console', id: 'ann', name: 'Ann' },
    settledAt: new Date('2026-01-02T03:05:00.999Z'),
  },
})
const CLAIMS = claimsOf(SETTLED, SEAL)

let jwk: JWK
let key: CryptoKey
let stranger: CryptoKey
let keys: { keys: JWK[] }

beforeAll(async () => {
  const [mine, another] = [await newKey(), await newKey()]
  jwk = publicJwk(mine)
  keys = { keys: [jwk, publicJwk(await newKey())] }
  key = (await importJWK(mine.jwk as JWK, 'EdDSA')) as CryptoKey
  stranger = (await importJWK(another.jwk as JWK, 'EdDSA')) as CryptoKey
})

const sign = (claims: object, header: object = {}, by = key) =>
  new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'EdDSA', typ: RECEIPT_TYP, kid: jwk.kid ?? '', ...header })
    .sign(by)

const base64url = (value: object | string) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

test('an authentic receipt says what was signed', async () => {
  expect(await readReceipt(await sign(CLAIMS), keys)).toEqual(CLAIMS)
})

describe('A40: is not authentic', () => {
  const header = { alg: 'EdDSA', typ: RECEIPT_TYP }
  const forgeries: Readonly<Record<string, () => Promise<string> | string>> = {
    'without a signature': () =>
      `${base64url({ ...header, alg: 'none', kid: jwk.kid })}.${base64url(CLAIMS)}.`,
    'signed with the public key as a secret': () => {
      const input = `${base64url({ ...header, alg: 'HS256', kid: jwk.kid })}.${base64url(CLAIMS)}`
      const secret = Buffer.from(jwk.x ?? '', 'base64url')
      return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
    },
    'signed by a stranger under our kid': () => sign(CLAIMS, {}, stranger),
    'with a key of its own in the header': () => sign(CLAIMS, { jwk: { ...jwk } }, stranger),
    'with a place to get keys from': () => sign(CLAIMS, { jku: 'https://evil.example/jwks.json' }),
    'with a certificate': () => sign(CLAIMS, { x5u: 'https://evil.example/x.pem' }),
    'with a kid that nobody knows': () => sign(CLAIMS, { kid: 'unknown' }),
    'with a kid that is a path': () => sign(CLAIMS, { kid: '../../../../dev/null' }),
    'with a kid that is no text': () => sign(CLAIMS, { kid: null as unknown as string }),
    'of another type': () => sign(CLAIMS, { typ: 'JWT' }),
    'of no type': () => sign(CLAIMS, { typ: undefined }),
    'of a checkpoint’s type': () => sign(CLAIMS, { typ: 'loopgate-checkpoint+jwt' }),
    'with an extension that must be understood': () => sign(CLAIMS, { crit: ['b64'], b64: true }),
    'with claims of something else': () => sign({ sub: 'ann', tenant: 'local' }),
    'approved by one claim alone': () => sign({ ...CLAIMS, outcome: 'rejected' }),
    'an approval for ever': () => sign({ ...CLAIMS, exp: undefined }),
    'a refusal with an end': () => sign({ ...CLAIMS, outcome: 'rejected', approved: false }),
    'for several': () => sign({ ...CLAIMS, aud: ['client-1', 'client-2'] }),
    'no token': () => 'approved',
    nothing: () => '',
  }

  test.each(Object.entries(forgeries))('what is %s', async (_, forge) => {
    await expect(readReceipt(await forge(), keys)).rejects.toMatchObject({ code: 'NOT_VERIFIED' })
  })

  test('what was altered in one byte, anywhere', async () => {
    const receipt = await sign(CLAIMS)
    const parts = receipt.split('.').map((part) => Buffer.from(part, 'base64url'))
    for (const [i, part] of parts.entries()) {
      for (let at = 0; at < part.length; at += 11) {
        const altered = parts.map((bytes, j) => {
          const copy = Buffer.from(bytes)
          if (i === j) copy.writeUInt8((copy.readUInt8(at) ^ 1) & 0xff, at)
          return copy.toString('base64url')
        })
        await expect(readReceipt(altered.join('.'), keys)).rejects.toMatchObject({
          code: 'NOT_VERIFIED',
        })
      }
    }
  })
})

describe('an authentic receipt', () => {
  const now = (seconds: number) => ({ now: seconds * 1000 })
  const { iat, exp = 0 } = CLAIMS

  test('says when it was settled, in whole seconds, and until when it may be acted on', () => {
    expect([iat, exp - iat]).toEqual([Date.parse('2026-01-02T03:05:00Z') / 1000, 900])
    expect(claimsOf(SETTLED, { ...SEAL, approvalTtlSeconds: 1 }).exp).toBe(iat + 1)
  })

  test('approves until then', () => {
    expect(objection(CLAIMS as ReceiptClaims, now(exp - 1))).toBeUndefined()
    expect(objection(CLAIMS as ReceiptClaims, now(exp))).toContain('expired at 2026-01-02T03:20:00')
  })

  test('A39: approves what was asked, and nothing else', () => {
    const other = { digest: `sha-256:${'1'.repeat(64)}`, ...now(iat) }
    expect(objection(CLAIMS as ReceiptClaims, { ...other, digest: SEAL.digest })).toBeUndefined()
    expect(objection(CLAIMS as ReceiptClaims, other)).toContain('about something else')
  })

  test.each(['rejected', 'answered', 'expired', 'canceled'] as const)(
    'of what was %s does not approve, and has no end',
    (outcome) => {
      const claims = claimsOf({ ...SETTLED, state: { ...SETTLED.state, outcome } }, SEAL)
      expect('exp' in claims).toBe(false)
      expect(objection(claims as ReceiptClaims, now(iat))).toBe(`it does not approve: ${outcome}`)
    },
  )
})

import {
  generateKeyPair,
  type JWTHeaderParameters,
  type JWTPayload,
  SignJWT,
  UnsecuredJWT,
} from 'jose'
import { describe, expect, test } from 'vitest'
import { bearer, openAccount } from '../support/accounts.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { WatchedServer } from '../support/hardening.ts'
import { ask } from '../support/readers/http.ts'
import { openSocketIo } from '../support/readers/socketio.ts'
import { FrameSocket } from '../support/readers/websocket.ts'
import { from, NOWHERE, startGuarded, type Tenant, twoTenants } from '../support/tenants.ts'

/** A63 and defects 28 and 34: tokens that a person was never given. */

const SECRET = 'the-secret-that-nobody-else-knows-01'

const here = twoTenants({ JWT_SECRET: SECRET })

const bytes = (text: string) => new TextEncoder().encode(text)

/** A token such as the server makes for a person of the tenant, with what is said changed. */
function forge(
  { account }: Pick<Tenant, 'account'>,
  {
    claims = {},
    header = {},
    secret = SECRET,
  }: {
    readonly claims?: JWTPayload
    readonly header?: Partial<JWTHeaderParameters>
    readonly secret?: string
  } = {},
): Promise<string> {
  return new SignJWT({ ...claimsOf(account), ...claims })
    .setProtectedHeader({ alg: 'HS256', ...header })
    .sign(bytes(secret), { crit: { x: true } })
}

function claimsOf({ id, username }: Tenant['account']): JWTPayload {
  const now = Math.floor(Date.now() / 1_000)
  return {
    ...{ sub: id, tenant: id, channel: 'console', name: username },
    ...{ iss: 'loopgate', aud: 'loopgate:person', iat: now, exp: now + 3_600 },
  }
}

const base64 = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

const now = () => Math.floor(Date.now() / 1_000)

/** Without one claim: JSON leaves out what is undefined. */
const without = (name: string) => ({ claims: { [name]: undefined } })

type Forgery = (ours: Tenant, app: TestApp) => string | Promise<string>

const SIGNED: readonly (readonly [string, Forgery])[] = [
  ...(['HS384', 'HS512'] as const).map(
    (alg) => [alg, (ours: Tenant) => forge(ours, { header: { alg } })] as const,
  ),
  ['time that is over', (ours) => forge(ours, { claims: { exp: now() - 1 } })],
  ['time that has not come', (ours) => forge(ours, { claims: { nbf: now() + 600 } })],
  ['no end', (ours) => forge(ours, without('exp'))],
  ['an end that is text', (ours) => forge(ours, { claims: { exp: '9999999999' as never } })],
  ['another issuer', (ours) => forge(ours, { claims: { iss: 'https://evil.example' } })],
  ['no issuer', (ours) => forge(ours, without('iss'))],
  ['another audience', (ours) => forge(ours, { claims: { aud: 'c1' } })],
  ['no audience', (ours) => forge(ours, without('aud'))],
  ['no subject', (ours) => forge(ours, without('sub'))],
  ['no tenant', (ours) => forge(ours, without('tenant'))],
  ['a list of tenants', (ours) => forge(ours, { claims: { tenant: [ours.account.id] } })],
  ['a tenant that is nobody', (ours) => forge(ours, { claims: { tenant: NOWHERE } })],
  ['the tenant of this machine', (ours) => forge(ours, { claims: { tenant: 'local' } })],
  [
    'an extension that must be known',
    (ours) => forge(ours, { header: { crit: ['x'], x: 1 } as never }),
  ],
]

const UNSIGNED: readonly (readonly [string, Forgery])[] = [
  ['no algorithm', ({ account }) => new UnsecuredJWT(claimsOf(account)).encode()],
  ...['none', 'None', 'NONE', 'nOnE', '', 'HS1', 'HMAC', 'undefined'].map(
    (alg) =>
      [
        `the algorithm "${alg}"`,
        async (ours: Tenant) => {
          const [, claims, signature] = (await forge(ours)).split('.')
          return `${base64({ alg })}.${claims}.${signature}`
        },
      ] as const,
  ),
  ['another secret', (ours) => forge(ours, { secret: 'a-secret-that-somebody-made-up-0123' })],
  [
    'the public key of webhooks as the secret',
    async (ours, app) => {
      const { body } = await app.get<{ public_key: string }>('/.well-known/webhook-key')
      return forge(ours, { secret: body.public_key })
    },
  ],
  [
    'a key pair',
    async ({ account }) => {
      const { privateKey } = await generateKeyPair('RS256')
      return new SignJWT(claimsOf(account)).setProtectedHeader({ alg: 'RS256' }).sign(privateKey)
    },
  ],
  [
    'a key of its own in the header',
    async ({ account }) => {
      const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true })
      const jwk = await crypto.subtle.exportKey('jwk', publicKey)
      const header = { alg: 'EdDSA', jwk: jwk as never }
      return new SignJWT(claimsOf(account)).setProtectedHeader(header).sign(privateKey)
    },
  ],
  ...(
    [
      { kid: '../../../../dev/null' },
      { kid: "' UNION SELECT 'x'--" },
      { jku: 'http://169.254.169.254/jwks.json' },
      { x5u: 'http://evil.example/key' },
    ] as const
  ).map(
    (header) =>
      [
        `the header ${JSON.stringify(header)}`,
        (ours: Tenant) => forge(ours, { header, secret: 'a-secret-that-somebody-made-up-0123' }),
      ] as const,
  ),
  [
    'claims that were changed',
    async (ours) => {
      const [header, , signature] = (await forge(ours)).split('.')
      const claims = { ...claimsOf(ours.account), tenant: here().theirs.account.id }
      return `${header}.${base64(claims)}.${signature}`
    },
  ],
  ['no signature', async (ours) => (await forge(ours)).replace(/[^.]*$/, '')],
  [
    'the signature of another',
    async (ours) => {
      const [own, other] = [await forge(ours), await forge(here().theirs)]
      return own.replace(/[^.]*$/, other.split('.')[2] ?? '')
    },
  ],
  ['one part too many', async (ours) => `${await forge(ours)}.x`],
  ['five parts', async (ours) => `${await forge(ours)}..`],
  ['JSON alone', ({ account }) => `.${base64(claimsOf(account))}.`],
  ['a claim that is no JSON', () => `${base64({ alg: 'HS256' })}.${base64('{"half"')}.x`],
]

let callers = 0

/** On every way in, each time from an address of its own: wrong ones of one are slowed down. */
async function expectRefused(token: string): Promise<void> {
  const { app, ours } = here()
  const caller = () => from(`2001:db8:${(++callers).toString(16)}::1`)
  const decision = `/api/requests/${ours.asked.request_id}/decision`
  const refused = { status: 401, body: { code: 'UNAUTHORIZED' } }
  for (const credential of [bearer(token), { 'x-api-key': token }]) {
    const headers = { ...credential, ...caller() }
    expect(await app.post(decision, { option: 'Yes' }, headers)).toMatchObject(refused)
    expect(await app.post('/api/user/apikeys', {}, headers)).toMatchObject(refused)
    expect(await app.post('/api/tickets', {}, headers)).toMatchObject(refused)
    expect(await app.get('/hitl/stream?session_id=same', headers)).toMatchObject(refused)
    await expect(FrameSocket.open(app.url, { headers })).rejects.toMatchObject({ status: 401 })
  }
  await expectNoSocketIo(token, caller())
}

async function expectNoSocketIo(token: string, extraHeaders: Record<string, string>) {
  const options = { auth: { token }, extraHeaders, transports: ['websocket'] }
  const opened = openSocketIo(here().app.url, options)
  await expect(opened).rejects.toMatchObject({ data: { code: 'UNAUTHORIZED' } })
}

test('a token that nobody changed opens what the forged ones do not', async () => {
  const { app, ours } = here()
  const headers = bearer(await forge(ours))
  expect((await app.get('/api/user/apikeys', headers)).status).toBe(200)
  await using socket = await FrameSocket.open(app.url, { headers })
  expect(await socket.first('hello')).toMatchObject({ type: 'hello' })
})

describe('A63, defect 34: a token is refused on every way in', () => {
  test.for(SIGNED)('rightly signed, with %s', async ([, make]) => {
    const token = await make(here().ours, here().app)
    here().server.keepSecret(token)
    await here().server.attack(() => expectRefused(token))
  })

  test.for(UNSIGNED)('not rightly signed: %s', async ([, make]) => {
    const token = await make(here().ours, here().app)
    here().server.keepSecret(token)
    await here().server.attack(() => expectRefused(token))
  })

  test('of 100 kB', () =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const token = await forge(ours, { claims: { padding: 'x'.repeat(75_000) } })
      expect(token.length).toBeGreaterThan(100_000)
      // Node itself refuses such headers (RFC 6585, section 5).
      const answer = await ask(`${app.url}/hitl/pending`, { headers: bearer(token) })
      expect(answer.status).toBe(431)
      await expectNoSocketIo(token, from('2001:db8:ffff::1'))
    }))
})

test('defect 28: each server makes a secret of its own, and keeps it for those on the same database', async () => {
  await using server = await startGuarded()
  await using other = await WatchedServer.start()
  const account = await openAccount(server.app)
  const env = { AUTH: 'required', DATABASE_URL: server.store.url ?? '' }
  await using beside = await startTestApp(env)
  server.keepSecret(account.token)
  const { token } = await openAccount(other.app, account.username)
  other.keepSecret(token)
  await server.attack(async () => {
    expect((await server.app.get('/hitl/pending', bearer(token))).status).toBe(401)
    expect((await other.app.get('/hitl/pending', account.headers)).status).toBe(401)
    expect((await beside.get('/hitl/pending', account.headers)).status).toBe(200)
  })
})

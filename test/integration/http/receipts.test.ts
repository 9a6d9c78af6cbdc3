import { createHash, createPublicKey, verify } from 'node:crypto'
import canonicalize from 'canonicalize'
import { createLocalJWKSet, createRemoteJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import { describe, expect, test, vi } from 'vitest'
import type { RequestView } from '../../../src/protocol/types.ts'
import { Line } from '../../support/readers/line.ts'
import { openServer, personOf, serve, startOn } from '../../support/readers/server.ts'
import { startReceiver } from '../../support/receiver.ts'

const TYP = 'loopgate-decision+jwt'

interface Claims {
  readonly request: { readonly digest: string; readonly shown_digest: string | null }
}

describe('a receipt', () => {
  const app = serve('pglite', { CALLBACK_ALLOW_PRIVATE: 'true' })

  test('is verified by a JOSE library with the keys that the server lists', async () => {
    const line = await Line.open(app())
    const decided = await line.settled({ approval_ttl_seconds: 60 })

    const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', app().url))
    const { payload } = await jwtVerify<Claims>(decided.receipt ?? '', keys, {
      typ: TYP,
      algorithms: ['EdDSA'],
      issuer: app().url,
      audience: line.clientId,
      subject: decided.request_id,
    })

    expect(payload).toMatchObject({ outcome: 'approved', approved: true, response: 'Yes' })
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(60)
    expect(payload.iat).toBe(Math.floor(Date.parse(decided.responded_at ?? '') / 1000))
  })

  test('is verified by node:crypto alone, and its digest is that of the view', async () => {
    const decided = await (await Line.open(app())).settled({ metadata: { z: 1.5, a: ['ü', null] } })
    const [header = '', payload = '', signature = ''] = (decided.receipt ?? '').split('.')
    const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString())
    const { body } = await app().get<JSONWebKeySet>('/.well-known/jwks.json')
    const jwk = body.keys.find(({ kid }) => kid === read(header).kid) ?? {}
    const isSigned = verify(
      null,
      Buffer.from(`${header}.${payload}`),
      createPublicKey({ key: jwk as Record<string, string>, format: 'jwk' }),
      Buffer.from(signature, 'base64url'),
    )
    expect(isSigned).toBe(true)
    expect(read(header)).toEqual({ alg: 'EdDSA', typ: TYP, kid: jwk.kid })
    const { client_id, message, metadata, options, request_type, session_id } = decided
    const content = { client_id, message, metadata, options, request_type, session_id }
    const hex = createHash('sha256')
      .update(canonicalize(content) ?? '')
      .digest('hex')
    expect(read(payload).request).toEqual({
      digest: `sha-256:${hex}`,
      shown_digest: null,
      created_at: decided.created_at,
      expires_at: decided.expires_at,
    })
  })

  test('that is altered by one byte anywhere is refused', async () => {
    const { receipt } = await (await Line.open(app())).settled()
    const { body } = await app().get<JSONWebKeySet>('/.well-known/jwks.json')
    const keys = createLocalJWKSet(body)
    const whole = receipt ?? ''
    await jwtVerify(whole, keys)
    let refused = 0
    for (let i = 0; i < whole.length; i += 7) {
      // The last character of a part may hold bits that stand for nothing.
      if (whole[i] === '.' || whole[i + 1] === '.' || i === whole.length - 1) continue
      const other = whole[i] === 'A' ? 'B' : 'A'
      const altered = `${whole.slice(0, i)}${other}${whole.slice(i + 1)}`
      await expect(jwtVerify(altered, keys)).rejects.toThrow()
      refused += 1
    }
    expect(refused).toBeGreaterThan(100)
  })

  test('is the same in every answer: the decision, the poll, the wait, the repeat, the refusal, the callback', async () => {
    await using receiver = await startReceiver()
    const line = await Line.open(app())
    const body = { message: 'Deploy?', options: ['Yes', 'No'], callback_url: receiver.url }
    const fields = { session_id: line.id, client_id: line.clientId, ...body }
    const key = { 'idempotency-key': `key-${line.id}` }
    const waiting = app().post('/hitl/request?wait=20', fields, key)
    const open = await vi.waitFor(async () => {
      const path = `/hitl/pending?session_id=${line.id}`
      const { body } = await app().get<{ pending_requests: RequestView[] }>(path)
      return body.pending_requests[0] ?? expect.fail('not asked yet')
    })
    const decided = await line.decide(open)
    const [post] = await receiver.received(1)
    const late = await app().post('/hitl/cancel', { request_id: decided.request_id })
    const answers = [
      (await waiting).body.receipt,
      (await app().view(decided.request_id)).receipt,
      (await app().post('/hitl/request', fields, key)).body.receipt,
      (await app().decide(decided.request_id, { option: 'Yes' })).body.receipt,
      late.body.request?.receipt,
      JSON.parse(post?.body ?? '{}').data.receipt,
    ]
    expect(decided.receipt).toMatch(/^eyJ/)
    expect(new Set(answers)).toEqual(new Set([decided.receipt]))
  })

  test('of what the person says to have been shown has its digest', async () => {
    const line = await Line.open(app())
    const { receipt } = await line.decide(await line.ask(), { option: 'Yes', shown: 'Deploy?' })
    const claims = JSON.parse(Buffer.from(receipt?.split('.')[1] ?? '', 'base64url').toString())
    const hex = createHash('sha256').update('Deploy?').digest('hex')
    expect(claims.request.shown_digest).toBe(`sha-256:${hex}`)
  })
})

test('a receipt keeps its issuer after a restart at another address, and the keys are kept', async () => {
  await using opened = await openServer('pglite')
  const line = await Line.open(opened.app)
  const { receipt, request_id } = await line.settled()
  const before = await opened.app.get('/.well-known/jwks.json')
  await opened.app[Symbol.asyncDispose]()
  await using again = await startOn(opened.place, { PUBLIC_URL: 'http://localhost:4711' })
  expect((await again.view(request_id)).receipt).toBe(receipt)
  expect((await again.get('/.well-known/jwks.json')).body).toEqual(before.body)
  const next = await (await Line.open(again)).settled()
  const { iss } = JSON.parse(Buffer.from(next.receipt?.split('.')[1] ?? '', 'base64url').toString())
  expect(iss).toBe('http://localhost:4711')
})

describe('the keys', () => {
  const app = serve('pglite', { AUTH: 'required' })

  test('are for anybody, may be kept for a while, and have no private part', async () => {
    const { status, headers, body } = await app().get<JSONWebKeySet>('/.well-known/jwks.json')
    expect([status, headers.get('cache-control')]).toEqual([200, 'public, max-age=300'])
    expect(headers.get('content-type')).toContain('json')
    expect(body.keys).toHaveLength(2)
    for (const key of body.keys) {
      expect(Object.keys(key).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x'])
    }
  })

  test('are not what an approval is spent with: that takes a credential', async () => {
    const { status } = await app().post('/hitl/consume', { request_id: 'x', digest: 'y' })
    expect(status).toBe(401)
  })
})

describe('POST /hitl/consume', () => {
  const app = serve('pglite')
  const consume = (view: RequestView, digest = digestOf(view), headers = {}) =>
    app().post<{ success?: boolean }>(
      '/hitl/consume',
      { request_id: view.request_id, digest },
      headers,
    )

  test('spends an approval once', async () => {
    const view = await (await Line.open(app())).settled()
    expect(await consume(view)).toMatchObject({ status: 200, body: { success: true } })
    const again = await consume(view)
    expect([again.status, again.body.code]).toEqual([409, 'ALREADY_CONSUMED'])
    expect(again.headers.get('content-type')).toContain('application/problem+json')
  })

  test('refuses what was not approved, and another digest', async () => {
    const line = await Line.open(app())
    const no = await line.decide(await line.ask(), { option: 'No' })
    const pending = await line.ask()
    const yes = await line.settled()
    expect((await consume(no)).body.code).toBe('NOT_APPROVED')
    expect((await consume(pending, digestOf(no))).body.code).toBe('NOT_APPROVED')
    const { status, body } = await consume(yes, digestOf(no).replace(/.$/, 'x'))
    expect([status, body.code]).toEqual([409, 'DIGEST_MISMATCH'])
  })

  test('knows nothing of what is another tenant’s, and names what is missing', async () => {
    const view = await (await Line.open(app())).settled()
    const stranger = { authorization: `Bearer ${await personOf(app(), 'theirs')}` }
    expect((await consume(view, digestOf(view), stranger)).body.code).toBe('REQUEST_NOT_FOUND')
    const { status, body } = await app().post('/hitl/consume', { request_id: view.request_id })
    expect([status, body.errors?.map(({ path }) => path)]).toEqual([400, ['/digest']])
  })
})

/** As an agent reads it from the receipt, or a digest of nothing. */
function digestOf({ receipt }: RequestView): string {
  const [, payload = ''] = (receipt ?? '').split('.')
  if (payload === '') return 'sha-256:0'
  return JSON.parse(Buffer.from(payload, 'base64url').toString()).request.digest
}

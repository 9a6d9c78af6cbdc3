import { createHmac } from 'node:crypto'
import { CompactSign, importJWK, type JWK } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Loopgate } from '../../client/index.ts'
import { contentDigest, type ReceiptKeys, readReceipt } from '../../client/receipt.ts'
import { verifyReceipt } from '../../src/commands/verify.ts'
import { newKey, publicJwk } from '../../src/proof/keys.ts'
import type { RequestView } from '../../src/protocol/types.ts'
import { WatchedServer } from '../support/hardening.ts'
import { startReceiver } from '../support/receiver.ts'

/** A39 and A40: what is done with a receipt that is another one's, used up, or no receipt at all. */

let server: WatchedServer
let keys: ReceiptKeys

beforeAll(async () => {
  server = await WatchedServer.start()
  await server.app.register()
  keys = (await server.app.get<ReceiptKeys>('/.well-known/jwks.json')).body
  const rows = await server.store.database.db.selectFrom('receipt_keys').selectAll().execute()
  const parts = rows.flatMap((row) => /"d":\s*"([\w-]+)"/.exec(JSON.stringify(row))?.[1] ?? [])
  expect(parts.length).toBeGreaterThan(0)
  server.keepSecret(...parts)
})
afterAll(() => server[Symbol.asyncDispose]())

async function approved(fields: object = {}): Promise<RequestView> {
  const { request_id } = await server.app.ask({ options: ['Yes', 'No'], ...fields })
  return (await server.app.decide(request_id, { option: 'Yes' })).body
}

const consume = ({ request_id }: RequestView, digest: string) =>
  server.app.post('/hitl/consume', { request_id, digest })

const verdict = (receipt: string, digest?: string) =>
  verifyReceipt(receipt, { jwks: `${server.app.url}/.well-known/jwks.json`, digest })

describe('A39: the approval of one thing does not approve another:', () => {
  const ASKED = { message: 'Pay 10 to Bob', metadata: { to: 'Bob', amount: 10 } }
  test.for<readonly [string, Partial<RequestView>]>([
    ['another message', { message: 'Pay 10 to Eve' }],
    ['another argument', { metadata: { to: 'Bob', amount: 1_000 } }],
    ['one argument more', { metadata: { to: 'Bob', amount: 10, now: true } }],
    ['an argument that is a text', { metadata: { to: 'Bob', amount: '10' } }],
    ['another meaning of the button', { options: [{ label: 'No', effect: 'approve' as const }] }],
    ['another session', { session_id: 's2' }],
    ['another client', { client_id: 'c2' }],
    ['another kind', { request_type: 'input' as const }],
  ])('%s', async ([, change]) => {
    const view = await approved(ASKED)
    const [right, wrong] = [await contentDigest(view), await contentDigest({ ...view, ...change })]
    await server.attack(async () => {
      const { status, body } = await consume(view, wrong)
      expect([status, body.code]).toEqual([409, 'DIGEST_MISMATCH'])
      expect(await verdict(view.receipt ?? '', wrong)).toMatchObject({
        exitCode: 1,
        text: expect.stringContaining('about something else'),
      })
    })
    expect(await verdict(view.receipt ?? '', right)).toMatchObject({ exitCode: 0 })
    expect(await consume(view, right)).toMatchObject({ status: 200 })
  })

  test('a client that verifies does not resolve when the server was asked something else', async () => {
    const view = await approved(ASKED)
    await using gate = new Loopgate({ url: server.app.url, verify: true })
    await gate.register({ sessionId: 's1', clientId: 'c1' })
    // What was decided under this key was another question: a proxy could have changed it on the way.
    const key = 'changed on the way'
    const { body } = await server.app.post('/hitl/request', {
      ...{ session_id: 's1', client_id: 'c1', message: 'Read a file', options: ['Yes', 'No'] },
      idempotency_key: key,
    })
    await server.app.decide(body.request_id, { option: 'Yes' })
    const question = { message: 'Delete a file', options: ['Yes', 'No'], idempotencyKey: key }
    await server.attack(() => expect(gate.request(question)).rejects.toThrow())
    expect(view.approved).toBe(true)
  })
})

describe('A40: an approval is spent once:', () => {
  test('twenty at once, one of them succeeds, and none later', async () => {
    const view = await approved()
    const digest = await contentDigest(view)
    const answers = await Promise.all(Array.from({ length: 20 }, () => consume(view, digest)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    const others = answers.filter(({ status }) => status !== 200)
    expect(new Set(others.map(({ body }) => body.code))).toEqual(new Set(['ALREADY_CONSUMED']))
    await server.attack(async () => {
      expect((await consume(view, digest)).body.code).toBe('ALREADY_CONSUMED')
    })
  })

  test.for([
    ['a refusal', { option: 'No' }],
    ['an open question', undefined],
  ] as const)('%s is not spent at all', async ([, answer]) => {
    const { request_id } = await server.app.ask({ options: ['Yes', 'No'] })
    if (answer) await server.app.decide(request_id, answer)
    const view = await server.app.view(request_id)
    const digest = await contentDigest(view)
    await server.attack(async () => {
      expect(await consume(view, digest)).toMatchObject({
        status: 409,
        body: { code: 'NOT_APPROVED' },
      })
    })
  })

  test('one that is over is neither spent nor verified', async () => {
    const view = await approved({ approval_ttl_seconds: 1 })
    const digest = await contentDigest(view)
    await expect
      .poll(async () => (await verdict(view.receipt ?? '')).exitCode, { timeout: 5_000 })
      .toBe(1)
    await server.attack(async () => {
      expect((await consume(view, digest)).body.code).toBe('APPROVAL_EXPIRED')
    })
  })
})

describe('A40: what is no receipt of this server is refused:', () => {
  const read = (part = '') => JSON.parse(Buffer.from(part, 'base64url').toString())
  const write = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

  /** The parts of a genuine one, read. */
  async function genuine() {
    const { receipt } = await approved()
    const [header, claims, signature] = (receipt ?? '').split('.')
    return { header: read(header), claims: read(claims), signature: signature ?? '' }
  }

  async function refused(forged: string): Promise<void> {
    await server.attack(async () => {
      await expect(readReceipt(forged, keys)).rejects.toMatchObject({ code: 'NOT_VERIFIED' })
      expect(await verdict(forged)).toMatchObject({ exitCode: 3 })
      // Nor is it a credential.
      const headers = { authorization: `Bearer ${forged}` }
      const path = '/api/requests/x/decision'
      expect((await server.app.post(path, { option: 'Yes' }, headers)).status).toBe(401)
    })
  }

  test('unsigned', async () => {
    const { header, claims } = await genuine()
    await refused(`${write({ ...header, alg: 'none' })}.${write(claims)}.`)
  })

  test('signed with the public key as a secret', async () => {
    const { header, claims } = await genuine()
    const jwk = keys.keys.find(({ kid }) => kid === header.kid)
    for (const secret of [Buffer.from(String(jwk?.['x']), 'base64url'), JSON.stringify(jwk)]) {
      const input = `${write({ ...header, alg: 'HS256' })}.${write(claims)}`
      const signature = createHmac('sha256', secret).update(input).digest('base64url')
      await refused(`${input}.${signature}`)
    }
  })

  test('changed in a claim, under the old signature', async () => {
    const { header, claims, signature } = await genuine()
    const changes = [
      { aud: 'c2' },
      { sub: '00000000-0000-4000-8000-000000000000' },
      { exp: claims.exp + 1_000_000 },
      { request: { ...claims.request, digest: `sha-256:${'0'.repeat(64)}` } },
      { decided_by: { channel: 'console', id: 'root', name: 'root' } },
    ]
    for (const change of changes) {
      await refused(`${write(header)}.${write({ ...claims, ...change })}.${signature}`)
    }
  })

  test('signed by a stranger, who brings or names the key, and nothing is fetched', async () => {
    await using receiver = await startReceiver()
    const { header, claims } = await genuine()
    const mine = await newKey()
    const key = await importJWK(mine.jwk as JWK, 'EdDSA')
    const sign = (more: object) =>
      new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
        .setProtectedHeader({ ...header, ...more })
        .sign(key)
    await refused(await sign({}))
    await refused(await sign({ kid: '../../../../dev/null' }))
    await refused(await sign({ kid: `' OR 1=1--` }))
    await refused(await sign({ jku: receiver.url }))
    await refused(await sign({ x5u: receiver.url }))
    await refused(await sign({ jwk: publicJwk(mine) }))
    await refused(await sign({ typ: 'JWT' }))
    expect(receiver.posts).toEqual([])
  })

  test('a token of a person, or garbage', async () => {
    const { authorization = '' } = await server.app.person()
    const token = authorization.replace('Bearer ', '')
    await expect(readReceipt(token, keys)).rejects.toMatchObject({ code: 'NOT_VERIFIED' })
    expect(await verdict(token)).toMatchObject({ exitCode: 3 })
    for (const garbage of ['', '.', '..', 'a.b.c', '{}', 'ey'.repeat(50_000)]) {
      await expect(readReceipt(garbage, keys)).rejects.toMatchObject({ code: 'NOT_VERIFIED' })
    }
  })

  test('a genuine one, as a credential', async () => {
    const { receipt, request_id } = await approved()
    const { request_id: open } = await server.app.ask({ options: ['Yes', 'No'] })
    expect(request_id).not.toBe(open)
    const headers = { authorization: `Bearer ${receipt}` }
    await server.attack(async () => {
      const path = `/api/requests/${open}/decision`
      expect((await server.app.post(path, { option: 'Yes' }, headers)).status).toBe(401)
    })
  })
})

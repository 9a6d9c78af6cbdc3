import { beforeEach, describe, expect, test } from 'vitest'
import { Loopgate, type LoopgateOptions, type ReceiptKeys } from '../../../client/index.ts'
import { newKey, publicJwk, ReceiptKeys as Signer } from '../../../src/proof/keys.ts'
import type { RequestView } from '../../../src/protocol/types.ts'
import { FakeClock } from '../../support/clock.ts'
import { serve } from '../../support/readers/server.ts'
import { APPROVED, FakeServer, QUESTION } from './fake-server.ts'
import { FAST, newSession } from './server.ts'

const OPTIONS = ['🚀 Deploy', { label: 'Ja', effect: 'approve' as const }, 'Hold']

describe('a client that verifies', () => {
  const app = serve('pglite')

  const open = (options: Partial<LoopgateOptions> = {}) =>
    new Loopgate({ url: app().url, timing: FAST, verify: true, ...options })

  const decided = async (gate: Loopgate, answer: object = { option: 'Ja' }, more = {}) => {
    const session = newSession()
    await gate.register(session)
    return gate.request({
      ...session,
      message: 'Deploy “v2”?\n',
      options: OPTIONS,
      metadata: { at: new Date(0), nothing: undefined, list: [1.5, 'ü'] },
      onAsked: ({ request_id }) => void app().decide(request_id, answer),
      ...more,
    })
  }

  test('resolves with what the receipt proves, and spends the approval once', async () => {
    await using gate = open()
    const decision = await decided(gate)
    expect(decision).toMatchObject({ approved: true, response: 'Ja' })
    await gate.consume(decision)
    await expect(gate.consume(decision)).rejects.toMatchObject({ code: 'ALREADY_CONSUMED' })
  })

  test('resolves with a refusal and with a text that are proved as well', async () => {
    await using gate = open()
    expect(await decided(gate, { option: 'Hold' })).toMatchObject({ outcome: 'rejected' })
    const text = await decided(gate, { response: 'later' }, { options: undefined, type: 'input' })
    expect(text).toMatchObject({ outcome: 'answered', response: 'later' })
  })

  test('verifies by the keys it is given, and by the issuer', async () => {
    const { body } = await app().get<ReceiptKeys>('/.well-known/jwks.json')
    await using gate = open({ verify: { keys: body, issuer: app().url } })
    expect((await decided(gate)).approved).toBe(true)
    await using wary = open({ verify: { issuer: 'https://gate.example.com' } })
    await expect(decided(wary)).rejects.toMatchObject({
      code: 'NOT_VERIFIED',
      message: expect.stringContaining(`another server: ${app().url}`),
    })
    const strangers = { keys: [publicJwk(await newKey())] }
    await using stranger = open({ verify: { keys: strangers } })
    await expect(decided(stranger)).rejects.toMatchObject({ code: 'NOT_VERIFIED' })
  })

  test('verifies a decision that is found again by its id', async () => {
    await using gate = open()
    const { requestId } = await decided(gate)
    await using later = open()
    expect(await later.decision(requestId)).toMatchObject({ approved: true })
  })

  test('does not verify what has expired', async () => {
    await using gate = open()
    const { requestId, view } = await decided(gate, undefined, { approvalTtlSeconds: 1 })
    const over = Date.parse(view.responded_at ?? '') + 2_000
    await expect
      .poll(() => Date.now(), { timeout: 5_000, interval: 100 })
      .toBeGreaterThanOrEqual(over)
    await expect(gate.decision(requestId)).rejects.toMatchObject({
      code: 'NOT_VERIFIED',
      message: expect.stringContaining('expired'),
    })
  })
})

describe('a client that verifies gives nothing', () => {
  let fake: FakeServer
  let signer: Signer
  let keys: ReceiptKeys
  let kid: string

  beforeEach(async () => {
    fake = await FakeServer.start()
    const made = [await newKey(), await newKey()].map((key) => {
      return { ...key, status: 'current' as const, createdAt: new Date() }
    })
    kid = made[0]?.kid ?? ''
    const store = {
      ensure: async () => undefined,
      all: async () => made,
      rotate: async () => undefined,
    }
    signer = new Signer({ store, clock: new FakeClock(), issuer: () => '' })
    keys = (await signer.jwks()) as ReceiptKeys
    fake.answer('GET /.well-known/jwks.json', keys)
    return () => fake[Symbol.asyncDispose]()
  })

  const DIGEST = 'sha-256:f1ee1d1b39fc3bb0dabb2d2cb5a9fdcdae6d5ea1dd17d9e2f3c0b0f22a1e6f3d'

  const claims = (over: object = {}) => ({
    ...{ iss: fake.url, aud: 'c1', sub: 'r1', jti: 'e-2', iat: 1, exp: 9_999_999_999 },
    ...{ outcome: 'approved', approved: true, response: 'yes', comment: null },
    decided_by: APPROVED.decided_by,
    request: { digest: DIGEST, shown_digest: null, created_at: 'x', expires_at: 'x' },
    ...over,
  })

  const ask = async (view: RequestView) => {
    fake.answer('POST /hitl/request', { success: true, ...view })
    await using gate = new Loopgate({ url: fake.url, timing: FAST, verify: true })
    return await gate.request(QUESTION)
  }

  const receipt = async (over: object = {}, typ = 'loopgate-decision+jwt') =>
    (await signer.signAs(typ, claims(over), kid)) ?? ''

  test('without a receipt', async () => {
    await expect(ask(APPROVED)).rejects.toMatchObject({
      code: 'NOT_VERIFIED',
      message: expect.stringContaining('there is none'),
    })
  })

  test.each([
    ['of another request', { sub: 'r2' }, 'another request'],
    ['for another client', { aud: 'c2' }, 'another client'],
    ['that says another answer', { response: 'no' }, 'something else'],
    ['of a refusal', { outcome: 'rejected', approved: false, exp: undefined }, 'something else'],
    ['that is over', { exp: 2 }, 'expired'],
    ['of another question', {}, 'has the digest'],
  ])('by a receipt %s', async (_, over, why) => {
    await expect(ask({ ...APPROVED, receipt: await receipt(over) })).rejects.toMatchObject({
      code: 'NOT_VERIFIED',
      message: expect.stringContaining(why),
    })
  })

  test('by a session’s token, by garbage, or by keys that can not be read', async () => {
    for (const text of [await receipt({}, 'JWT'), 'garbage', '']) {
      await expect(ask({ ...APPROVED, receipt: text })).rejects.toMatchObject({
        code: 'NOT_VERIFIED',
      })
    }
    fake.answer('GET /.well-known/jwks.json', { keys: 'all' })
    const view = { ...APPROVED, receipt: await receipt() }
    await expect(ask(view)).rejects.toMatchObject({ code: 'MALFORMED_ANSWER' })
    fake.answer('GET /.well-known/jwks.json', {}, 404)
    await expect(ask(view)).rejects.toMatchObject({ code: 'HTTP_404' })
  })
})

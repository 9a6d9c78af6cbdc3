import { createPublicKey, type JsonWebKey, verify } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { describe, expect, test, vi } from 'vitest'
import type { Envelope } from '../../../src/protocol/types.ts'
import type { TestApp } from '../../support/app.ts'
import type { DatabaseKind } from '../../support/database.ts'
import { eventually } from '../../support/eventually.ts'
import { Line } from '../../support/readers/line.ts'
import { openServer, serve, startOn } from '../../support/readers/server.ts'
import { type Posted, type Receiver, says, silent, startReceiver } from '../../support/receiver.ts'

const KINDS: readonly DatabaseKind[] = ['pglite', 'postgres']

interface CallbackView {
  readonly webhook_id: string
  readonly url: string
  readonly status: string
  readonly disabled: boolean
  readonly error: string | null
  readonly next_attempt_at: string | null
  readonly attempts: readonly {
    readonly number: number
    readonly at: string
    readonly status_code: number | null
    readonly error: string | null
  }[]
}

const callbacksOf = async (app: TestApp, id: string) =>
  (await app.get<{ callbacks: CallbackView[] }>(`/api/requests/${id}/callbacks`)).body.callbacks

const resend = (app: TestApp, id: string) =>
  app.post<{ callbacks: CallbackView[] }>(`/api/requests/${id}/callbacks/resend`, {})

const secretOf = async (line: Line) => {
  const { body } = await line.app.post<{ webhook_secret: string }>('/hitl/register', {
    session_id: line.id,
    client_id: line.clientId,
  })
  return body.webhook_secret
}

/** A request whose settlement was posted once. */
async function posted(line: Line, receiver: Receiver) {
  const asked = await line.ask({ callback_url: receiver.url })
  const decided = await line.decide(asked)
  const [post] = await receiver.received(1)
  if (!post) throw new Error('nothing was posted')
  return { asked, decided, post }
}

const envelopeOf = ({ body }: Posted) => JSON.parse(body) as Envelope

describe.each(KINDS)('a callback on %s', (kind) => {
  const app = serve(kind, { CALLBACK_ALLOW_PRIVATE: 'true' })

  test('posts the envelope of the decision', async () => {
    await using receiver = await startReceiver()
    const line = await Line.open(app())
    const { asked, decided, post } = await posted(line, receiver)
    const last = (await line.log()).at(-1)
    expect(envelopeOf(post)).toEqual(last)
    expect(envelopeOf(post)).toMatchObject({ type: 'request.decided', data: decided })
    expect(post.headers).toMatchObject({ 'content-type': 'application/json' })
    await eventually(() => callbacksOf(app(), asked.request_id)).toMatchObject([
      {
        ...{ webhook_id: post.headers['webhook-id'], url: receiver.url, status: 'delivered' },
        ...{ disabled: false, error: null, next_attempt_at: null },
        attempts: [{ number: 1, status_code: 200, error: null }],
      },
    ])
  })

  test('is signed so that the standardwebhooks library accepts it, and refuses what was altered', async () => {
    await using receiver = await startReceiver()
    const line = await Line.open(app())
    const { post } = await posted(line, receiver)
    const webhook = new Webhook(await secretOf(line))
    expect(webhook.verify(post.body, post.headers)).toEqual(envelopeOf(post))
    const altered: [string, Record<string, string>][] = [
      [post.body.replace('approved', 'rejected'), post.headers],
      [post.body, { ...post.headers, 'webhook-id': 'another' }],
      [post.body, { ...post.headers, 'webhook-timestamp': '1' }],
    ]
    for (const [body, headers] of altered) expect(() => webhook.verify(body, headers)).toThrow()
    const other = new Webhook(await secretOf(await Line.open(app())))
    expect(() => other.verify(post.body, post.headers)).toThrow()
  })

  test('is signed with the published key as v1a', async () => {
    await using receiver = await startReceiver()
    const { post } = await posted(await Line.open(app()), receiver)
    const { body: key } = await app().get<{ public_key: string }>('/.well-known/webhook-key')
    expect(key.public_key).toMatch(/^whpk_[A-Za-z0-9+/]{43}=$/)
    const raw = Buffer.from(key.public_key.slice('whpk_'.length), 'base64')
    const jwk: JsonWebKey = { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') }
    const publicKey = createPublicKey({ key: jwk, format: 'jwk' })
    const { headers, body } = post
    const [, v1a] = /(?:^| )v1a,(\S+)$/.exec(headers['webhook-signature'] ?? '') ?? []
    const signature = Buffer.from(v1a ?? '', 'base64')
    const isGenuine = (text: string) =>
      verify(
        null,
        Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${text}`),
        publicKey,
        signature,
      )
    expect(isGenuine(body)).toBe(true)
    expect(isGenuine(body.replace('approved', 'rejected'))).toBe(false)
  })

  test('is sent for a cancellation and for an expiry as well', async () => {
    await using receiver = await startReceiver()
    const line = await Line.open(app())
    const canceled = await line.ask({ callback_url: receiver.url })
    await app().post('/hitl/cancel', { request_id: canceled.request_id })
    const [first] = await receiver.received(1)
    await line.ask({ callback_url: receiver.url, timeout_seconds: 1 })
    const [, second] = await receiver.received(2)
    expect([first, second].map((post) => post && envelopeOf(post).type)).toEqual([
      ...['request.canceled', 'request.expired'],
    ])
  })

  test('that failed is owed again, with what went wrong', async () => {
    await using receiver = await startReceiver(says(500))
    const line = await Line.open(app())
    const { asked } = await posted(line, receiver)
    await eventually(() => callbacksOf(app(), asked.request_id)).toMatchObject([
      {
        status: 'owed',
        error: 'the receiver answered 500',
        next_attempt_at: expect.any(String),
        attempts: [{ number: 1, status_code: 500, error: 'the receiver answered 500' }],
      },
    ])
  })

  test('C2: that is sent again has the same id and a new signature', async () => {
    await using receiver = await startReceiver(says(500))
    const line = await Line.open(app())
    const { asked, post } = await posted(line, receiver)
    await eventually(
      async () => (await callbacksOf(app(), asked.request_id))[0]?.attempts.length,
    ).toBe(1)
    receiver.answer = says(204)
    expect(await resend(app(), asked.request_id)).toMatchObject({ status: 200 })
    const [, again] = await receiver.received(2)
    expect(again?.headers['webhook-id']).toBe(post.headers['webhook-id'])
    expect(again?.body).toBe(post.body)
    await eventually(() => callbacksOf(app(), asked.request_id)).toMatchObject([
      { status: 'delivered', error: null, attempts: [{ number: 1 }, { number: 2 }] },
    ])
  })

  test('C3: to a receiver that is gone ends, and nothing is posted there until a resend', async () => {
    await using receiver = await startReceiver(says(410))
    const line = await Line.open(app())
    const { asked } = await posted(line, receiver)
    const gone = { status: 'failed', disabled: true, next_attempt_at: null }
    await eventually(() => callbacksOf(app(), asked.request_id)).toMatchObject([
      { ...gone, attempts: [{ status_code: 410 }] },
    ])
    const next = await line.ask({ callback_url: receiver.url })
    await line.decide(next)
    await eventually(() => callbacksOf(app(), next.request_id)).toMatchObject([
      { ...gone, error: expect.stringContaining('410'), attempts: [] },
    ])
    receiver.answer = says(200)
    await resend(app(), next.request_id)
    await receiver.received(2)
    await eventually(() => callbacksOf(app(), next.request_id)).toMatchObject([
      { status: 'delivered', disabled: false },
    ])
    expect(receiver.posts).toHaveLength(2)
  })

  test('does not follow a redirect', async () => {
    await using receiver = await startReceiver()
    receiver.answer = says(302, { location: `http://127.0.0.1:${receiver.port}/elsewhere` })
    const line = await Line.open(app())
    const { asked } = await posted(line, receiver)
    await eventually(() => callbacksOf(app(), asked.request_id)).toMatchObject([
      { status: 'owed', error: '302: redirects are not followed' },
    ])
    expect(receiver.posts.map(({ path }) => path)).toEqual(['/hook'])
  })

  test('that a stopping server has in hand is the next one’s at once', async () => {
    await using receiver = await startReceiver(silent)
    const env = { CALLBACK_ALLOW_PRIVATE: 'true' }
    await using server = await openServer(kind, env)
    const { decided } = await posted(await Line.open(server.app), receiver)
    await server.app.app.stop()
    receiver.answer = says(200)
    await using next = await startOn(server.place, env)
    const [first, second] = await receiver.received(2)
    expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id'])
    await eventually(() => callbacksOf(next, decided.request_id)).toMatchObject([
      { status: 'delivered', attempts: [{ number: 1, status_code: 200 }] },
    ])
  })

  test('is nobody else’s to see or to send', async () => {
    const line = await Line.open(app())
    const { request_id } = await line.ask()
    expect(await callbacksOf(app(), request_id)).toEqual([])
    expect(await resend(app(), request_id)).toMatchObject({
      status: 404,
      body: { code: 'NOT_FOUND' },
    })
    const unknown = '00000000-0000-4000-8000-000000000000'
    const notFound = { status: 404, body: { code: 'REQUEST_NOT_FOUND' } }
    expect(await app().get(`/api/requests/${unknown}/callbacks`)).toMatchObject(notFound)
    expect(await resend(app(), unknown)).toMatchObject(notFound)
  })

  test('of an open request is waiting, and can not be sent', async () => {
    await using receiver = await startReceiver()
    const line = await Line.open(app())
    const { request_id } = await line.ask({ callback_url: receiver.url })
    expect(await callbacksOf(app(), request_id)).toMatchObject([
      { status: 'waiting', attempts: [], next_attempt_at: null },
    ])
    expect(await resend(app(), request_id)).toMatchObject({ status: 400 })
  })
})

// The clock of an embedded database is that of its process.
describe('a callback of a process whose clock is ten minutes wrong', () => {
  const app = serve('postgres', { CALLBACK_ALLOW_PRIVATE: 'true' })

  test.each([10, -10])('is dated by the database (%i min)', async (minutes) => {
    await using receiver = await startReceiver()
    const line = await Line.open(app())
    const secret = await secretOf(line)
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + minutes * 60_000 })
    const { post, asked } = await posted(line, receiver).finally(() => vi.useRealTimers())
    // It refuses what is more than five minutes off.
    expect(new Webhook(secret).verify(post.body, post.headers)).toEqual(envelopeOf(post))
    const { request_id: id } = asked
    await eventually(() => callbacksOf(app(), id)).toMatchObject([{ status: 'delivered' }])
    const [callback] = await callbacksOf(app(), id)
    const [attempt] = callback?.attempts ?? []
    expect(Math.abs(Date.parse(attempt?.at ?? '') - Date.now())).toBeLessThan(60_000)
  })
})

import { describe, expect, test } from 'vitest'
import type { RequestView } from '../../../src/protocol/types.ts'
import type { TestApp } from '../../support/app.ts'
import type { DatabaseKind } from '../../support/database.ts'
import { Line } from '../../support/readers/line.ts'
import { personOf, serve } from '../../support/readers/server.ts'

const LIMIT = 20

describe.each<DatabaseKind>(['pglite', 'postgres'])('an idempotency key on %s', (kind) => {
  const app = serve(kind, { MAX_CONCURRENT_REQUESTS: String(LIMIT) })
  describe('in the header and in the body', () => names(app))
  describe('of a request as it goes on', () => follows(app))
})

let count = 0
const newKey = () => `key-${count++}`

function submit(line: Line, key: string | undefined, fields: object = {}, query = '') {
  const body = {
    session_id: line.id,
    client_id: line.clientId,
    message: 'Deploy?',
    options: ['Yes', 'No'],
    ...fields,
  }
  const headers: Record<string, string> = key === undefined ? {} : { 'idempotency-key': key }
  return line.app.post(`/hitl/request${query}`, body, headers)
}

const isReplayed = (answer: { headers: Headers }) => answer.headers.get('idempotent-replayed')

function names(app: () => TestApp): void {
  test('the same key and body are one request, and the second answer says so', async () => {
    const line = await Line.open(app())
    const key = newKey()
    const first = await submit(line, key)
    const second = await submit(line, key)
    expect(second).toMatchObject({ status: 200, body: first.body })
    expect([isReplayed(first), isReplayed(second)]).toEqual([null, 'true'])
    expect((await line.log()).map(({ type }) => type)).toEqual(['request.created'])
  })

  test('without a key the same body is two requests', async () => {
    const line = await Line.open(app())
    const [first, second] = [await submit(line, undefined), await submit(line, undefined)]
    expect(second.body.request_id).not.toBe(first.body.request_id)
  })

  test('the header and the body are one place, and must agree', async () => {
    const line = await Line.open(app())
    const key = newKey()
    const { body } = await submit(line, key)
    const inBody = await submit(line, undefined, { idempotency_key: key })
    const inBoth = await submit(line, key, { idempotency_key: key })
    expect([inBody.body.request_id, inBoth.body.request_id]).toEqual([
      ...[body.request_id, body.request_id],
    ])
    const torn = await submit(line, key, { idempotency_key: newKey() })
    expect(torn).toMatchObject({ status: 400, body: { code: 'INVALID_INPUT' } })
  })

  test.each([
    ['message', { message: 'Another?' }],
    ['option', { options: ['Yes', 'Never'] }],
    ['effect', { options: [{ label: 'Yes', effect: 'other' }, 'No'] }],
    ['metadata', { metadata: { a: 1 } }],
    ['timeout', { timeout_seconds: 60 }],
    ['type', { request_type: 'confirmation' }],
    ['callback_url', { callback_url: 'https://example.com/hook' }],
  ])('another %s under the same key is 422, and asks nobody', async (_, fields) => {
    const line = await Line.open(app())
    const key = newKey()
    await submit(line, key)
    const answer = await submit(line, key, fields)
    expect(answer).toMatchObject({ status: 422, body: { code: 'IDEMPOTENCY_MISMATCH' } })
    expect(await line.log()).toHaveLength(1)
  })

  test('the same content written in another way is the same body', async () => {
    const line = await Line.open(app())
    const key = newKey()
    const { body } = await submit(line, key, { metadata: { a: 1, b: [2] } })
    const written = ` {"metadata": {"b": [2.0], "a": 1e0}, "options": ["Yes", "No"],
      "message": "Deploy\\u003f", "client_id": "${line.clientId}", "session_id": "${line.id}"} `
    const again = await app().post('/hitl/request', written, { 'idempotency-key': key })
    expect(again).toMatchObject({ status: 200, body: { request_id: body.request_id } })
  })

  test('each tenant has its own keys', async () => {
    const line = await Line.open(app())
    const key = newKey()
    const first = await submit(line, key)
    const headers = { authorization: `Bearer ${await personOf(app(), 'elsewhere')}` }
    const session = { session_id: line.id, client_id: 'theirs' }
    await app().post('/hitl/register', session, headers)
    const theirs = await app().post<RequestView>(
      '/hitl/request',
      { ...session, message: 'Deploy?' },
      { ...headers, 'idempotency-key': key },
    )
    expect(theirs).toMatchObject({ status: 200 })
    expect(theirs.body.request_id).not.toBe(first.body.request_id)
  })

  test.each(['', ' ', 'x'.repeat(201), 'tab\there'])('"%s" is no key: 400', async (key) => {
    const line = await Line.open(app())
    expect(await submit(line, key)).toMatchObject({ status: 400, body: { code: 'INVALID_INPUT' } })
  })
}

function follows(app: () => TestApp): void {
  test('twenty at once are one request, one event, and nineteen replays', async () => {
    const line = await Line.open(app())
    const key = newKey()
    const answers = await Promise.all(Array.from({ length: 20 }, () => submit(line, key)))
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200))
    expect(new Set(answers.map(({ body }) => body.request_id)).size).toBe(1)
    expect(answers.filter(isReplayed)).toHaveLength(19)
    expect(await line.log()).toHaveLength(1)
  })

  test('twenty at once with two bodies are one request and 422 for the other body', async () => {
    const line = await Line.open(app())
    const key = newKey()
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => submit(line, key, { message: `Body ${i % 2}` })),
    )
    const statuses = answers.map(({ status }) => status).sort()
    expect(statuses).toEqual([...Array(10).fill(200), ...Array(10).fill(422)])
    expect(await line.log()).toHaveLength(1)
  })

  test('a replay after the decision has the decision, in whatever state the session is', async () => {
    const line = await Line.open(app())
    const key = newKey()
    const asked = await submit(line, key)
    const decided = await line.decide(asked.body)
    expect((await submit(line, key)).body).toEqual({ success: true, ...decided })
    await app().post('/hitl/deactivate', line.target)
    expect(await submit(line, key)).toMatchObject({ status: 200, body: decided })
  })

  test('a replay with wait waits for the decision', async () => {
    const line = await Line.open(app())
    const key = newKey()
    const asked = await submit(line, key)
    const held = submit(line, key, {}, '?wait=50')
    const decided = await line.decide(asked.body)
    expect((await held).body).toEqual({ success: true, ...decided })
    expect(isReplayed(await held)).toBe('true')
  })

  test('a refused submission takes no key', async () => {
    const line = await Line.open(app())
    const key = newKey()
    expect((await submit(line, key, { message: '' })).status).toBe(400)
    expect((await submit(line, key, { session_id: 'nobody' })).status).toBe(404)
    const good = await submit(line, key)
    expect({ status: good.status, replayed: isReplayed(good) }).toEqual({
      status: 200,
      replayed: null,
    })
  })

  test('a replay is answered when there is no room for another request', async () => {
    const line = await Line.open(app(), { client_id: newKey() })
    const key = newKey()
    const first = await submit(line, key)
    for (let i = 1; i < LIMIT; i++) await submit(line, undefined)
    expect((await submit(line, newKey())).status).toBe(429)
    expect(await submit(line, key)).toMatchObject({ status: 200, body: first.body })
  })
}

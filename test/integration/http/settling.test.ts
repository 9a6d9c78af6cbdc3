import { describe, expect, test } from 'vitest'
import type { RequestView } from '../../../src/protocol/types.ts'
import { Line } from '../../support/readers/line.ts'
import { openServer, personOf, serve } from '../../support/readers/server.ts'

const app = serve('postgres')

const bearer = async (tenant: string, id?: string) => ({
  authorization: `Bearer ${await personOf(app(), tenant, id)}`,
})

const decide = (requestId: string, answer: unknown, headers: Record<string, string>) =>
  app().post(`/api/requests/${requestId}/decision`, answer, headers)

const cancel = (request_id: unknown, headers = {}) =>
  app().post<object>('/hitl/cancel', { request_id }, headers)

const NOWHERE = '00000000-0000-4000-8000-000000000000'

describe('canceling', () => {
  const done = { success: true, message: 'Request canceled successfully' }

  test('settles the request, and may be repeated', async () => {
    const line = await Line.open(app())
    const { request_id } = await line.ask()
    expect(await cancel(request_id)).toMatchObject({ status: 200, body: done })
    const view = await app().view(request_id)
    expect(view).toMatchObject({
      ...{ status: 'canceled', outcome: 'canceled', completed: true, approved: false },
      ...{ response: null, decided_by: null, timestamp: view.responded_at },
    })
    expect(await cancel(request_id)).toMatchObject({ status: 200, body: done })
    expect(await app().view(request_id)).toEqual(view)
    expect(await line.log()).toHaveLength(2)
  })

  test('after a decision is 409 with the view that won', async () => {
    const line = await Line.open(app())
    const decided = await line.settled()
    const { status, body } = await app().post('/hitl/cancel', { request_id: decided.request_id })
    expect({ status, code: body.code }).toEqual({ status: 409, code: 'REQUEST_ALREADY_SETTLED' })
    expect(body.request).toEqual(decided)
  })

  test('by somebody else, when it is canceled already, is 409', async () => {
    const line = await Line.open(app())
    const { request_id } = await line.ask()
    await cancel(request_id)
    expect(await cancel(request_id, await bearer('local'))).toMatchObject({ status: 409 })
  })

  test('what is not there or another tenant’s is 404, nothing at all 400', async () => {
    const line = await Line.open(app())
    const { request_id } = await line.ask()
    const notFound = { status: 404, body: { code: 'REQUEST_NOT_FOUND' } }
    for (const id of [NOWHERE, 'nobody', "' OR 1=1 --"]) {
      expect(await cancel(id)).toMatchObject(notFound)
    }
    expect(await cancel(request_id, await bearer('elsewhere'))).toMatchObject(notFound)
    expect(await cancel(undefined)).toMatchObject({
      status: 400,
      body: { code: 'INVALID_INPUT', errors: [{ path: '/request_id' }] },
    })
    expect((await app().view(request_id)).status).toBe('pending')
  })
})

describe('deciding over HTTP', () => {
  test.each([
    [{ option: 'Deploy' }, { outcome: 'approved', approved: true, response: 'Deploy' }],
    [{ option: 'Hold' }, { outcome: 'rejected', approved: false, response: 'Hold' }],
    [{ option: 'Review' }, { outcome: 'answered', approved: false, response: 'Review' }],
  ])('%j is taken for a choice', async (answer, expected) => {
    const line = await Line.open(app())
    const { request_id } = await line.ask({ options: ['Deploy', 'Hold', 'Review'] })
    const { status, body } = await app().decide(request_id, { ...answer, comment: 'because' })
    expect(status).toBe(200)
    expect(body).toMatchObject({
      ...expected,
      ...{ status: 'completed', completed: true, comment: 'because' },
      decided_by: { channel: 'console', id: expect.any(String), name: expect.any(String) },
    })
    expect(body).toEqual(await app().view(request_id))
    expect((await line.log()).at(-1)?.data).toEqual(body)
  })

  test.each([
    ['confirmation', ' Yes! ', 'approved'],
    ['confirmation', 'no', 'rejected'],
    ['confirmation', 'yes, but not today', 'answered'],
    ['input', 'yes', 'answered'],
  ])(
    'for %s the text %j is %3$s, and is kept as it is',
    async (request_type, response, outcome) => {
      const line = await Line.open(app())
      const { request_id } = await line.ask({ options: [], request_type })
      const { status, body } = await app().decide(request_id, { response })
      expect(status).toBe(200)
      expect(body).toMatchObject({ outcome, response, comment: null })
    },
  )

  test('an agent of this machine can not: 403', async () => {
    const line = await Line.open(app())
    const { request_id } = await line.ask()
    const answer = await decide(request_id, { option: 'Yes' }, {})
    expect(answer).toMatchObject({ status: 403, body: { code: 'FORBIDDEN' } })
    expect((await app().view(request_id)).status).toBe('pending')
  })

  test('who is not known is 401, here and where every caller needs a key', async () => {
    const line = await Line.open(app())
    const { request_id } = await line.ask()
    const unauthorized = { status: 401, body: { code: 'UNAUTHORIZED' } }
    const wrong = await decide(request_id, { option: 'Yes' }, { authorization: 'Bearer wrong' })
    expect(wrong).toMatchObject(unauthorized)
    const forwarded = { 'x-forwarded-for': '127.0.0.1' }
    expect(await decide(request_id, { option: 'Yes' }, forwarded)).toMatchObject(unauthorized)
    await using server = await openServer('postgres', { AUTH: 'required' })
    const path = `/api/requests/${NOWHERE}/decision`
    const answer = await server.app.post(path, { option: 'Yes' })
    expect(answer).toMatchObject(unauthorized)
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/)
  })

  test('a person of another tenant finds nothing: 404', async () => {
    const line = await Line.open(app())
    const { request_id } = await line.ask()
    const headers = await bearer('elsewhere')
    const notFound = { status: 404, body: { code: 'REQUEST_NOT_FOUND' } }
    expect(await decide(request_id, { option: 'Yes' }, headers)).toMatchObject(notFound)
    expect(await app().decide('nobody', { option: 'Yes' })).toMatchObject(notFound)
    expect(await app().decide(NOWHERE, { option: 'Yes' })).toMatchObject(notFound)
  })

  test.each([
    ['neither', {}],
    ['both', { option: 'Yes', response: 'yes' }],
    ['an option that was not offered', { option: 'Maybe' }],
    ['an option in other letters', { option: 'yes' }],
    ['an option with a blank behind it', { option: 'Yes ' }],
    ['text where there are options', { response: 'Yes' }],
    ['an option that is a number', { option: 0 }],
    ['an empty option', { option: '' }],
    ['an empty text', { response: '' }],
    ['a comment that is a number', { option: 'Yes', comment: 1 }],
    ['a list', []],
    ['null', null],
  ])('%s is 400, and the request stays open', async (_, answer) => {
    const line = await Line.open(app())
    const { request_id } = await line.ask({ options: ['Yes', 'No'] })
    const refused = await decide(request_id, answer, await app().person())
    expect(refused).toMatchObject({ status: 400, body: { code: 'INVALID_INPUT' } })
    expect((await app().view(request_id)).status).toBe('pending')
  })

  test('the same by the same person is 200 again, anything else 409 with the winner', async () => {
    const line = await Line.open(app())
    const { request_id } = await line.ask()
    const [ann, bob] = [await bearer('local', 'ann'), await bearer('local', 'bob')]
    const first = await decide(request_id, { option: 'Yes', comment: 'ok' }, ann)
    expect(await decide(request_id, { option: 'Yes', comment: 'ok' }, ann)).toMatchObject({
      status: 200,
      body: first.body,
    })
    for (const [answer, by] of [
      [{ option: 'Yes', comment: 'ok' }, bob],
      [{ option: 'No' }, ann],
      [{ option: 'Yes' }, ann],
    ] as const) {
      const { status, body } = await decide(request_id, answer, by)
      expect({ status, code: body.code }).toEqual({ status: 409, code: 'REQUEST_ALREADY_SETTLED' })
      expect(body.request).toEqual(first.body)
    }
    expect(await line.log()).toHaveLength(2)
  })

  test('an option that was not offered is 400 or 409 when it is too late, never 200', async () => {
    const line = await Line.open(app())
    const { request_id } = await line.settled()
    const { status } = await app().decide(request_id, { option: 'Maybe' })
    expect([400, 409]).toContain(status)
  })

  test('of twenty answers at once one wins, and the others are told which', async () => {
    const line = await Line.open(app())
    const { request_id } = await line.ask()
    const people = await Promise.all(
      Array.from({ length: 20 }, (_, i) => bearer('local', `person-${i}`)),
    )
    const answers = await Promise.all(
      people.map((person, i) =>
        i === 7 ? cancel(request_id) : decide(request_id, { option: i % 2 ? 'Yes' : 'No' }, person),
      ),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(19).fill(409)])
    const winner: RequestView = await app().view(request_id)
    for (const { status, body } of answers) {
      if (status === 409) expect(body).toMatchObject({ request: winner })
    }
    expect(await line.log()).toHaveLength(2)
  })
})

test('the link of the console is spent once, and gives a person of local', async () => {
  await using server = await openServer('postgres')
  const { app: fresh } = server
  const [, code] = /code=([\w-]+)/.exec(fresh.app.facts().join('\n')) ?? []
  const spend = (given: unknown) => fresh.post<{ token: string }>('/api/auth/link', { code: given })
  expect(await spend('wrong')).toMatchObject({ status: 401, body: { code: 'UNAUTHORIZED' } })
  expect(await spend(undefined)).toMatchObject({ status: 400, body: { code: 'INVALID_INPUT' } })
  const spent = await Promise.all([spend(code), spend(code), spend(code)])
  expect(spent.map(({ status }) => status).sort()).toEqual([200, 401, 401])
  const token = spent.find(({ status }) => status === 200)?.body.token
  const line = await Line.open(fresh)
  const { request_id } = await line.ask()
  const headers = { authorization: `Bearer ${token}` }
  const path = `/api/requests/${request_id}/decision`
  const decided = await fresh.post<RequestView>(path, { option: 'Yes' }, headers)
  expect(decided.body.decided_by?.channel).toBe('console')
})

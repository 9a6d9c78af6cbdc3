import { describe, expect, test } from 'vitest'
import type { RequestView } from '../../../src/protocol/types.ts'
import { Line } from '../../support/readers/line.ts'
import { personOf, serve } from '../../support/readers/server.ts'

const app = serve('postgres')

interface Pending {
  readonly pending_requests: readonly RequestView[]
  readonly count: number
}

const stranger = async () => ({ authorization: `Bearer ${await personOf(app(), 'elsewhere')}` })

describe('the status of a session', () => {
  test('has five fields', async () => {
    const line = await Line.open(app(), { telegram_id: -1001 })
    const { status, body } = await app().get<object>(`/hitl/status?session_id=${line.id}`)
    expect(status).toBe(200)
    expect(body).toEqual({
      id: line.id,
      client_id: line.clientId,
      telegram_id: -1001,
      active: true,
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    })
  })

  test('has null where there is no telegram_id', async () => {
    const line = await Line.open(app())
    const { body } = await app().get<object>(`/hitl/status?session_id=${line.id}`)
    expect(body).toMatchObject({ telegram_id: null })
  })

  test('is 404 for a session that is not there or another tenant’s, 400 without one', async () => {
    const line = await Line.open(app())
    const outcome = async (query: string, headers = {}) => {
      const { status, body } = await app().get(`/hitl/status${query}`, headers)
      return [status, body.code]
    }
    expect(await outcome('?session_id=nobody')).toEqual([404, 'SESSION_NOT_FOUND'])
    const theirs = await outcome(`?session_id=${line.id}`, await stranger())
    expect(theirs).toEqual([404, 'SESSION_NOT_FOUND'])
    expect(await outcome('')).toEqual([400, 'INVALID_INPUT'])
    expect(await outcome('?session_id=')).toEqual([400, 'INVALID_INPUT'])
  })
})

describe('deactivating', () => {
  const deactivate = (session_id: unknown, headers = {}) =>
    app().post<object>('/hitl/deactivate', { session_id }, headers)
  const done = { success: true, message: 'Session deactivated successfully' }

  test('keeps new questions out, also when it is said twice', async () => {
    const line = await Line.open(app())
    expect(await deactivate(line.id)).toMatchObject({ status: 200, body: done })
    expect(await deactivate(line.id)).toMatchObject({ status: 200, body: done })
    const body = { session_id: line.id, client_id: line.clientId, message: 'x' }
    const refused = await app().post('/hitl/request', body)
    expect(refused).toMatchObject({ status: 400, body: { code: 'SESSION_INACTIVE' } })
    const { body: status } = await app().get<object>(`/hitl/status?session_id=${line.id}`)
    expect(status).toMatchObject({ active: false })
  })

  test('leaves open questions open', async () => {
    const line = await Line.open(app())
    const [one, two] = [await line.ask(), await line.ask()]
    await deactivate(line.id)
    expect((await app().view(one.request_id)).status).toBe('pending')
    expect((await line.decide(one)).outcome).toBe('approved')
    await line.cancel(two)
  })

  test('is 404 for a session that is not there or another tenant’s, 400 for none', async () => {
    const line = await Line.open(app())
    const notFound = { status: 404, body: { code: 'SESSION_NOT_FOUND' } }
    expect(await deactivate('nobody')).toMatchObject(notFound)
    expect(await deactivate(line.id, await stranger())).toMatchObject(notFound)
    expect(await deactivate(undefined)).toMatchObject({ status: 400 })
    const { body } = await app().get<object>(`/hitl/status?session_id=${line.id}`)
    expect(body).toMatchObject({ active: true })
  })
})

describe('the pending requests', () => {
  test('are the views of what is open, oldest first', async () => {
    const line = await Line.open(app())
    const [one, two, three] = [await line.ask(), await line.ask(), await line.ask()]
    await line.decide(two)
    const { status, body } = await app().get<Pending>(`/hitl/pending?session_id=${line.id}`)
    expect(status).toBe(200)
    expect(body).toEqual({
      pending_requests: [await app().view(one.request_id), await app().view(three.request_id)],
      count: 2,
    })
  })

  test('without a session are those of all sessions of the tenant, and of no other', async () => {
    const [line, other] = [await Line.open(app()), await Line.open(app())]
    const mine = [(await line.ask()).request_id, (await other.ask()).request_id]
    const headers = await stranger()
    const session = { session_id: line.id, client_id: 'theirs' }
    await app().post('/hitl/register', session, headers)
    const asked = await app().post('/hitl/request', { ...session, message: 'x' }, headers)
    const ids = async (path: string, as = {}) =>
      (await app().get<Pending>(path, as)).body.pending_requests.map((view) => view.request_id)
    expect(await ids('/hitl/pending')).toEqual(expect.arrayContaining(mine))
    expect(await ids('/hitl/pending')).not.toContain(asked.body.request_id)
    expect(await ids('/hitl/pending', headers)).toEqual([asked.body.request_id])
    expect(await ids(`/hitl/pending?session_id=${other.id}`, headers)).toEqual([])
  })

  test('of a session without any are none', async () => {
    const line = await Line.open(app())
    await line.settled()
    const { body } = await app().get<Pending>(`/hitl/pending?session_id=${line.id}`)
    expect(body).toEqual({ pending_requests: [], count: 0 })
  })
})

import { describe, expect, test } from 'vitest'
import type { RequestView } from '../../../src/protocol/types.ts'
import { ask, problemOf } from '../../support/readers/http.ts'
import { Line } from '../../support/readers/line.ts'
import { openServer, serve } from '../../support/readers/server.ts'
import { connectSse } from '../../support/readers/sse.ts'

const app = serve('postgres')

const bodyOf = (line: Line, fields: object = {}) => ({
  session_id: line.id,
  client_id: line.clientId,
  message: 'Deploy?',
  options: ['Yes', 'No'],
  ...fields,
})

/** The request as it is made known to others, while its submission is held. */
async function created(line: Line, submit: () => Promise<unknown>): Promise<RequestView> {
  await using reader = await connectSse(line.app.url, { target: line.target })
  void submit()
  return (await reader.first('request.created')).data
}

/** Submits, and returns what is asked beside the answer that is held back. */
async function hold(line: Line, query: string, headers: Record<string, string> = {}) {
  let answer: ReturnType<typeof line.app.post<RequestView>> | undefined
  const asked = await created(line, () => {
    answer = line.app.post<RequestView>(`/hitl/request${query}`, bodyOf(line), headers)
    return answer
  })
  if (!answer) throw new Error('nothing was sent')
  return { asked, held: answer.then((value) => ({ ...value, arrived: performance.now() })) }
}

describe('a submission that waits', () => {
  test.each([
    ['?wait=50', {}],
    ['?wait=999999', {}],
    ['?wait=30.5', {}],
    ['', { prefer: 'wait=50' }],
    ['', { prefer: 'respond-async, WAIT = 50; x=1' }],
    ['?wait=50', { prefer: 'wait=0' }],
  ])('with "%s" and %j is answered when a person decides', async (query, headers) => {
    const line = await Line.open(app())
    const { asked, held } = await hold(line, query, headers)
    await line.decide(asked)
    const { status, body } = await held
    expect({ status, outcome: body.outcome }).toEqual({ status: 200, outcome: 'approved' })
    expect(body).toEqual({ success: true, ...(await app().view(asked.request_id)) })
  })

  test('is answered when the request is canceled', async () => {
    const line = await Line.open(app())
    const { asked, held } = await hold(line, '?wait=50')
    await line.cancel(asked)
    expect((await held).body).toMatchObject({ status: 'canceled', completed: true })
  })

  test.each([
    ['', {}],
    ['?wait=0', {}],
    ['?wait=0.05', {}],
    ['', { prefer: 'wait=0' }],
    ['', { prefer: 'respond-async' }],
    ['', { prefer: 'wait=soon' }],
    ['', { prefer: 'wait=-1' }],
    ['?wait=0', { prefer: 'wait=50' }],
  ])('with "%s" and %j has the pending view when the time is over', async (query, headers) => {
    const line = await Line.open(app())
    const { status, body } = await app().post(`/hitl/request${query}`, bodyOf(line), headers)
    expect({ status, view: body.status }).toEqual({ status: 200, view: 'pending' })
  })

  test('says which preference was applied', async () => {
    const line = await Line.open(app())
    const headers = { prefer: 'wait=0' }
    const answer = await app().post('/hitl/request', bodyOf(line), headers)
    expect(answer.headers.get('preference-applied')).toBe('wait=0')
  })

  test.each(['-1', 'x', '', '1e3', '0x10', 'Infinity', '5s', '1;2'])(
    'for "%s" seconds is 400, and nothing is asked',
    async (wait) => {
      const line = await Line.open(app())
      const answer = await app().post(`/hitl/request?wait=${wait}`, bodyOf(line))
      expect(answer).toMatchObject({ status: 400, body: { errors: [{ path: '/wait' }] } })
      expect(await line.log()).toEqual([])
    },
  )

  test('whose client has gone leaves the request open, and nothing else', async () => {
    await using server = await openServer('postgres', { SHUTDOWN_GRACE: '30' })
    const line = await Line.open(server.app)
    const gone = new AbortController()
    const asked = await created(line, () =>
      fetch(`${server.app.url}/hitl/request?wait=50`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(bodyOf(line)),
        signal: gone.signal,
      }).catch(() => undefined),
    )
    gone.abort()
    expect((await server.app.view(asked.request_id)).status).toBe('pending')
    expect((await line.decide(asked)).outcome).toBe('approved')
    const began = performance.now()
    await server.app.app.stop()
    expect(performance.now() - began).toBeLessThan(10_000)
  })

  test('is answered with the pending view when the server stops', async () => {
    await using server = await openServer('postgres', { SHUTDOWN_GRACE: '1' })
    const line = await Line.open(server.app)
    const { asked, held } = await hold(line, '?wait=50')
    const polled = server.app.get(`/hitl/poll?request_id=${asked.request_id}&wait=50`)
    const paged = server.app.get<object>(
      `/hitl/poll?session_id=${line.id}&since=${asked.cursor}&wait=50`,
    )
    // Both have arrived when an answer to something later is there.
    await server.app.view(asked.request_id)
    await server.app.app.stop()
    expect((await held).body).toEqual({ success: true, ...asked })
    expect((await polled).body).toEqual(asked)
    expect((await paged).body).toEqual({ events: [], cursor: asked.cursor, recovered: true })
  })
})

describe('a poll by request', () => {
  test('has the view at once, and with wait as soon as it is settled', async () => {
    const line = await Line.open(app())
    const asked = await line.ask()
    const { success: _success, ...view } = { success: true, ...asked }
    const path = `/hitl/poll?request_id=${asked.request_id}`
    expect((await app().get(path)).body).toEqual(view)
    expect((await app().get(`${path}&wait=0.05`)).body).toEqual(view)
    const held = Promise.all([1, 2, 3].map(() => app().get(`${path}&wait=50`)))
    const decided = await line.decide(asked)
    for (const { body } of await held) expect(body).toEqual(decided)
    expect((await app().get(`${path}&wait=50`)).body).toEqual(decided)
  })

  test('of an unknown request, of none and of two things is refused', async () => {
    const outcome = async (query: string) => {
      const answer = await ask(`${app().url}/hitl/poll?${query}`)
      return [answer.status, problemOf(answer).code]
    }
    expect(await outcome('request_id=nobody')).toEqual([404, 'REQUEST_NOT_FOUND'])
    expect(await outcome('')).toEqual([400, 'INVALID_INPUT'])
    expect(await outcome('request_id=a&session_id=b')).toEqual([400, 'INVALID_INPUT'])
    expect(await outcome('request_id=a&request_id=b')).toEqual([400, 'INVALID_INPUT'])
    expect(await outcome('request_id=a&wait=soon')).toEqual([400, 'INVALID_INPUT'])
  })
})

describe('a poll by session', () => {
  interface Page {
    readonly events: readonly { readonly id: string }[]
    readonly cursor: string
    readonly recovered: boolean
  }
  const poll = (line: Line, query = '') =>
    app().get<Page>(`/hitl/poll?session_id=${line.id}${query}`)

  test('says the place, and from there what happened', async () => {
    const line = await Line.open(app())
    const place = (await poll(line)).body
    expect(place).toEqual({ events: [], cursor: place.cursor, recovered: true })
    const { cursor } = await line.settled()
    const page = (await poll(line, `&since=${place.cursor}`)).body
    expect(page).toEqual({ events: await line.log(), cursor, recovered: true })
    expect((await poll(line, `&since=${cursor}`)).body).toEqual({ ...page, events: [] })
  })

  test('with wait is answered by the next event, or empty when the time is over', async () => {
    const line = await Line.open(app())
    const { cursor } = await line.ask()
    const over = await poll(line, `&since=${cursor}&wait=0.05`)
    expect(over.body).toEqual({ events: [], cursor, recovered: true })
    const held = poll(line, `&since=${cursor}&wait=50`)
    const next = await line.ask()
    expect((await held).body.events.map(({ id }) => id)).toEqual([next.cursor])
  })

  test('of a cursor that is gone is 410, with wait too, and earliest reads on', async () => {
    const line = await Line.open(app())
    await line.settled()
    for (const query of ['&since=garbage', '&since=garbage&wait=50', '&since=dead-1']) {
      const { status, body } = await app().get(`/hitl/poll?session_id=${line.id}${query}`)
      expect({ status, code: body.code }).toEqual({ status: 410, code: 'CURSOR_GONE' })
    }
    expect((await poll(line, '&since=earliest')).body.events).toEqual(await line.log())
  })

  test('brings a long log in pages that follow each other', async () => {
    const line = await Line.open(app())
    for (let i = 0; i < 60; i++) await line.cancel(await line.ask())
    const ids = (await line.log()).map(({ id }) => id)
    expect(ids).toHaveLength(120)
    expect(ids.map((id) => Number(id.split('-')[1]))).toEqual(ids.map((_, i) => i + 1))
  })
})

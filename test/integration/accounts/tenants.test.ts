import { beforeAll, describe, expect, test } from 'vitest'
import type { RequestView } from '../../../src/protocol/types.ts'
import { type Account, makeKey, openAccount } from '../../support/accounts.ts'
import { serve } from '../../support/readers/server.ts'
import { emit, openSocketIo } from '../../support/readers/socketio.ts'
import { FrameSocket } from '../../support/readers/websocket.ts'

const app = serve('postgres', { AUTH: 'required', REGISTRATION: 'open' })

/** What is nobody's. */
const NOWHERE = '00000000-0000-4000-8000-000000000000'
const NO_SESSION = 'no-such-session'

/** A tenant with a session of the same name as the other's, and a question in it. */
interface Tenant {
  readonly account: Account
  readonly key: string
  readonly headers: Record<string, string>
  readonly asked: RequestView
}

async function openTenant(fields: object = {}): Promise<Tenant> {
  const account = await openAccount(app())
  const { key, headers } = await makeKey(app(), account)
  await app().post('/hitl/register', { session_id: 'same', client_id: 'c' }, headers)
  await app().post('/hitl/register', { session_id: account.username, client_id: 'c' }, headers)
  const body = { session_id: 'same', client_id: 'c', message: 'Whose?', options: ['Yes', 'No'] }
  const { body: asked } = await app().post(
    '/hitl/request',
    { ...body, idempotency_key: 'k', ...fields },
    headers,
  )
  return { account, key, headers, asked }
}

let ours: Tenant
let theirs: Tenant

beforeAll(async () => {
  ours = await openTenant()
  theirs = await openTenant({ message: 'Theirs?' })
}, 60_000)

/** The answer without what was asked for. */
const blind = (answer: { status: number; body: object }, ...named: string[]) => {
  let text = JSON.stringify({ status: answer.status, body: answer.body })
  for (const name of named) text = text.replaceAll(name, '…')
  return text
}

describe('over HTTP, what is another tenant’s is as what does not exist', () => {
  const get = (path: string) => () => app().get<object>(path, theirs.headers)
  const post = (path: string, body: object) => () => app().post<object>(path, body, theirs.headers)
  const asPerson = (path: string, body: object) => () =>
    app().post<object>(path, body, theirs.account.headers)

  const BY_REQUEST = {
    poll: (id: string) => get(`/hitl/poll?request_id=${id}`),
    'long-poll': (id: string) => get(`/hitl/poll?request_id=${id}&wait=1`),
    stream: (id: string) => get(`/hitl/stream?request_id=${id}`),
    cancel: (id: string) => post('/hitl/cancel', { request_id: id }),
    decide: (id: string) => asPerson(`/api/requests/${id}/decision`, { option: 'Yes' }),
    callbacks: (id: string) => get(`/api/requests/${id}/callbacks`),
    resend: (id: string) => post(`/api/requests/${id}/callbacks/resend`, {}),
  }
  test.each(Object.entries(BY_REQUEST))('%s', async (_, call) => {
    const { request_id } = ours.asked
    const foreign = await call(request_id)()
    expect(foreign).toMatchObject({ status: 404, body: { code: 'REQUEST_NOT_FOUND' } })
    expect(blind(foreign, request_id)).toBe(blind(await call(NOWHERE)(), NOWHERE))
    const { body } = await app().get(`/hitl/poll?request_id=${request_id}`, ours.headers)
    expect(body.status).toBe('pending')
  })

  const BY_SESSION = {
    status: (id: string) => get(`/hitl/status?session_id=${id}`),
    events: (id: string) => get(`/hitl/poll?session_id=${id}&since=earliest`),
    stream: (id: string) => get(`/hitl/stream?session_id=${id}`),
    deactivate: (id: string) => post('/hitl/deactivate', { session_id: id }),
    ask: (id: string) => post('/hitl/request', { session_id: id, client_id: 'c', message: 'x' }),
  }
  test.each(Object.entries(BY_SESSION))('%s', async (_, call) => {
    const name = ours.account.username
    const foreign = await call(name)()
    expect(foreign).toMatchObject({ status: 404, body: { code: 'SESSION_NOT_FOUND' } })
    expect(blind(foreign, name)).toBe(blind(await call(NO_SESSION)(), NO_SESSION))
  })

  test('what is open is listed for its own tenant alone', async () => {
    for (const { headers, asked } of [ours, theirs]) {
      for (const query of ['', '?session_id=same']) {
        const { body } = await app().get<{ pending_requests: RequestView[] }>(
          `/hitl/pending${query}`,
          headers,
        )
        expect(body.pending_requests.map(({ request_id }) => request_id)).toEqual([
          asked.request_id,
        ])
      }
    }
    const session = `/hitl/pending?session_id=${ours.account.username}`
    expect((await app().get<object>(session, theirs.headers)).body).toMatchObject({ count: 0 })
  })

  test('one idempotency key is two questions', async () => {
    expect(ours.asked.request_id).not.toBe(theirs.asked.request_id)
    expect(theirs.asked.message).toBe('Theirs?')
  })

  test('a cursor of the other tenant, in a session of the same name, is not continued', async () => {
    const poll = `/hitl/poll?session_id=same&since=${ours.asked.cursor}`
    expect(await app().get(poll, theirs.headers)).toMatchObject({ status: 410 })
    const stream = await fetch(`${app().url}/hitl/stream?session_id=same`, {
      headers: { ...theirs.headers, 'last-event-id': ours.asked.cursor },
    })
    let text = ''
    for await (const chunk of stream.body ?? []) {
      text += new TextDecoder().decode(chunk)
      if (text.includes('request.created')) break
    }
    expect(text).toContain('"recovered":false')
    expect(text).toContain('Theirs?')
    expect(text).not.toContain('Whose?')
  })
})

describe('over a socket, what is another tenant’s is as what does not exist', () => {
  const target = {
    request_id: () => ours.asked.request_id,
    session_id: () => ours.account.username,
  }

  test('WebSocket frames', async () => {
    await using socket = await FrameSocket.open(app().url, { headers: theirs.headers })
    const body = { client_id: 'c', message: 'x' }
    const frames = [
      { type: 'cancel', request_id: target.request_id() },
      { type: 'request', body: { ...body, session_id: target.session_id() } },
    ]
    for (const [id, frame] of frames.entries()) {
      socket.send({ ...frame, id })
      expect(await socket.answer(id)).toMatchObject({
        type: 'error',
        code: expect.stringMatching(/NOT_FOUND$/),
      })
    }
  })

  test('Socket.IO events, also by the names of its rooms', async () => {
    const socket = await openSocketIo(app().url, { auth: { token: theirs.key } })
    const { request_id, session_id } = { ...ours.asked, session_id: target.session_id() }
    const calls: readonly (readonly [string, object])[] = [
      ['subscribe', { request_id }],
      ['subscribe', { session_id }],
      ['cancel', { request_id }],
      ['request', { session_id, client_id: 'c', message: 'x' }],
    ]
    for (const [event, body] of calls) {
      const answer = await emit(socket, event, body)
      expect(answer).toMatchObject({ ok: false, code: expect.stringMatching(/NOT_FOUND$/) })
    }
    const heard: unknown[] = []
    socket.onAny((...all: unknown[]) => heard.push(all))
    // No such events: nobody answers, and nobody is let into a room.
    for (const event of ['join', 'room', 'leave', 'connect', 'disconnect']) {
      try {
        socket.emit(event, request_id)
        socket.emit(event, `${ours.account.id} same`)
      } catch {
        // The client itself refuses the reserved names.
      }
    }
    expect(await emit(socket, 'subscribe', { session_id: 'same' })).toMatchObject({ ok: true })
    const decision = `/api/requests/${ours.asked.request_id}/decision`
    await app().post(decision, { option: 'Yes' }, ours.account.headers)
    const own = `/api/requests/${theirs.asked.request_id}/decision`
    await app().post(own, { option: 'No' }, theirs.account.headers)
    await expect.poll(() => heard.length, { timeout: 5_000 }).toBeGreaterThan(0)
    expect(JSON.stringify(heard)).not.toContain(ours.asked.request_id)
    expect(JSON.stringify(heard)).toContain(theirs.asked.request_id)
    socket.disconnect()
  })
})

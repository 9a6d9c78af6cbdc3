import { describe, expect, test } from 'vitest'
import { ask } from '../support/readers/http.ts'
import { emit, openSocketIo } from '../support/readers/socketio.ts'
import { FrameSocket } from '../support/readers/websocket.ts'
import { Wire } from '../support/readers/wire.ts'
import { askAs, NO_SESSION, NOWHERE, SAME, type Tenant, twoTenants } from '../support/tenants.ts'

/**
 * A02 to A07, A10 and defect 27: what is another tenant's does not exist. Both tenants have
 * sessions, clients and idempotency keys of the same names.
 */

const here = twoTenants()

const settle = ({ account, asked }: Tenant) =>
  here().app.post(`/api/requests/${asked.request_id}/decision`, { option: 'Yes' }, account.headers)

/** An answer without what was asked for. */
const blind = (answer: object, name: string) => JSON.stringify(answer).replaceAll(name, '…')

describe('A02: with its id, another tenant’s', () => {
  const http =
    (method: string, path: (id: string) => string, body?: (id: string) => object) =>
    async (id: string, headers: Record<string, string>) => {
      const { status, text } = await ask(here().app.url + path(id), {
        method,
        headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body(id)) }),
      })
      return { status, body: JSON.parse(text) as object }
    }
  const BY_REQUEST = {
    poll: http('GET', (id) => `/hitl/poll?request_id=${id}`),
    'long poll': http('GET', (id) => `/hitl/poll?request_id=${id}&wait=1`),
    stream: http('GET', (id) => `/hitl/stream?request_id=${id}`),
    cards: http('GET', (id) => `/api/requests/${id}/cards`),
    callbacks: http('GET', (id) => `/api/requests/${id}/callbacks`),
    resend: http(
      'POST',
      (id) => `/api/requests/${id}/callbacks/resend`,
      () => ({}),
    ),
    cancel: http(
      'POST',
      () => '/hitl/cancel',
      (request_id) => ({ request_id }),
    ),
    decide: http(
      'POST',
      (id) => `/api/requests/${id}/decision`,
      () => ({ option: 'Yes' }),
    ),
  }
  test.for(Object.entries(BY_REQUEST))('question is as none: %s', ([name, call]) =>
    here().server.attack(async () => {
      const { ours, theirs } = here()
      const { request_id } = ours.asked
      for (const { headers } of name === 'decide'
        ? [theirs.account]
        : [theirs.account, theirs.key]) {
        const foreign = await call(request_id, headers)
        expect(foreign).toMatchObject({ status: 404, body: { code: 'REQUEST_NOT_FOUND' } })
        expect(blind(foreign, request_id)).toBe(blind(await call(NOWHERE, headers), NOWHERE))
      }
    }),
  )

  const asking = { client_id: SAME.client_id, message: 'Deploy?' }
  const BY_SESSION = {
    status: http('GET', (id) => `/hitl/status?session_id=${id}`),
    poll: http('GET', (id) => `/hitl/poll?session_id=${id}&since=earliest`),
    stream: http('GET', (id) => `/hitl/stream?session_id=${id}`),
    deactivate: http(
      'POST',
      () => '/hitl/deactivate',
      (session_id) => ({ session_id }),
    ),
    ask: http(
      'POST',
      () => '/hitl/request',
      (session_id) => ({ ...asking, session_id }),
    ),
  }
  test.for(Object.entries(BY_SESSION))('session is as none: %s', ([, call]) =>
    here().server.attack(async () => {
      const { ours, theirs } = here()
      const foreign = await call(ours.own, theirs.key.headers)
      expect(foreign).toMatchObject({ status: 404, body: { code: 'SESSION_NOT_FOUND' } })
      const none = await call(NO_SESSION, theirs.key.headers)
      expect(blind(foreign, ours.own)).toBe(blind(none, NO_SESSION))
    }),
  )

  test('question or session is as none: frames of a WebSocket', () =>
    here().server.attack(async () => {
      const { app, ours, theirs } = here()
      const { request_id } = ours.asked
      const tell = async (target: object, session_id: string) => {
        await using socket = await FrameSocket.open(app.url, { headers: theirs.key.headers })
        socket.send({ type: 'cancel', id: 1, ...target })
        socket.send({ type: 'request', id: 2, body: { ...asking, session_id } })
        socket.send({ type: 'subscribe', id: 3, ...target })
        socket.send({ type: 'subscribe', id: 4, session_id })
        return await Promise.all([1, 2, 3, 4].map((id) => socket.answer(id)))
      }
      const foreign = await tell({ request_id }, ours.own)
      expect(foreign.map(({ type, code }) => `${type} ${code}`)).toEqual([
        ...['error REQUEST_NOT_FOUND', 'error SESSION_NOT_FOUND'],
        ...['error REQUEST_NOT_FOUND', 'error SESSION_NOT_FOUND'],
      ])
      const none = await tell({ request_id: NOWHERE }, NO_SESSION)
      expect(blind(foreign, request_id)).toBe(blind(none, NOWHERE))
    }))
})

describe('A03: by Socket.IO', () => {
  test('another tenant’s question or session is as none', () =>
    here().server.attack(async () => {
      const { app, ours, theirs } = here()
      const socket = await openSocketIo(app.url, { auth: { token: theirs.key.key } })
      const calls: readonly (readonly [string, object])[] = [
        ['subscribe', { request_id: ours.asked.request_id }],
        ['subscribe', { session_id: ours.own }],
        ['subscribe', { session_id: ours.own, since: 'earliest' }],
        ['subscribe', { session_id: ours.own, tenant: ours.account.id }],
        ['cancel', { request_id: ours.asked.request_id }],
        ['request', { session_id: ours.own, client_id: 'c', message: 'x' }],
      ]
      for (const [event, body] of calls) {
        expect(await emit(socket, event, body)).toMatchObject({
          ...{ ok: false, code: expect.stringMatching(/^(REQUEST|SESSION)_NOT_FOUND$/) },
        })
      }
      socket.disconnect()
    }))

  test('nobody is let into a room by its name', async () => {
    const { app, ours, theirs } = here()
    const socket = await openSocketIo(app.url, { auth: { token: theirs.key.key } })
    const heard: unknown[] = []
    socket.onAny((...all: unknown[]) => heard.push(all))
    const { id } = ours.account
    const rooms = [
      ...[ours.asked.request_id, ours.own, `${id} same`, `${id}/same`, `${id}:same`, id, 'same'],
      ...[`session:${ours.own}`, `request:${ours.asked.request_id}`, `tenant:${id}`, '*'],
    ]
    const question = await askAs(app, ours.key.headers)
    for (const event of ['join', 'room', 'joinRoom', 'enter', 'subscribe', 'watch', 'adapter']) {
      for (const room of rooms) socket.emit(event, room)
      socket.emit(event, rooms)
      socket.emit(event, { room: rooms[0], rooms, tenant: id })
    }
    expect(await emit(socket, 'subscribe', { session_id: 'same' })).toMatchObject({ ok: true })
    await settle({ ...ours, asked: question })
    const own = await askAs(app, theirs.key.headers)
    await settle({ ...theirs, asked: own })
    await expect.poll(() => JSON.stringify(heard)).toContain('request.decided')
    expect(JSON.stringify(heard)).toContain(own.request_id)
    expect(JSON.stringify(heard)).not.toContain(question.request_id)
    socket.disconnect()
    await here().server.expectNoSecretInLog()
  })
})

/** Cursors that are no place in the reader's own log, whoever made them up. */
const CURSORS: readonly (readonly [string, (theirs: Tenant, ours: Tenant) => string])[] = [
  ['another tenant’s', (_, ours) => ours.asked.cursor],
  ['another tenant’s, further on', (_, ours) => ours.asked.cursor.replace(/\d+$/, '7')],
  ['its own, negative', ({ asked }) => asked.cursor.replace(/\d+$/, '-1')],
  ['its own, beyond the end', ({ asked }) => asked.cursor.replace(/\d+$/, '999999')],
  [
    'its own, beyond all numbers',
    ({ asked }) => asked.cursor.replace(/\d+$/, `1${'0'.repeat(30)}`),
  ],
  ['its own, with a fraction', ({ asked }) => `${asked.cursor}.5`],
  ['its own, twice', ({ asked }) => `${asked.cursor},${asked.cursor}`],
  ...(['-1', '0', '1', `1${'0'.repeat(30)}`, '../', '%00', "' OR 1=1--", '*', 'NaN'] as const).map(
    (text) => [text, () => text] as const,
  ),
]

describe('A04: a Last-Event-ID that is no place in the own log', () => {
  test.for(CURSORS)('brings nothing foreign: %s', ([, make]) =>
    here().server.attack(async () => {
      const { app, ours, theirs } = here()
      const cursor = make(theirs, ours)
      using wire = await Wire.open(app.url)
      wire.request('GET', '/hitl/stream?session_id=same', {
        'Last-Event-ID': cursor,
        'X-API-Key': theirs.key.key,
      })
      const head = await wire.until('\r\n\r\n')
      if (head.startsWith('HTTP/1.1 400 ')) return
      // What is not continued is said so, and everything kept of the own log follows.
      expect(await wire.until('Theirs?')).toContain('"recovered":false')
      expect(wire.text).not.toContain('Whose?')
      expect(wire.text).not.toContain(ours.asked.request_id)
    }),
  )
})

describe('A05: such a cursor is not continued', () => {
  test.for(CURSORS)('by a poll, a frame or an event of Socket.IO: %s', ([, make]) =>
    here().server.attack(async () => {
      const { app, ours, theirs } = here()
      const since = make(theirs, ours)
      for (const wait of ['', '&wait=1']) {
        const path = `/hitl/poll?session_id=same&since=${encodeURIComponent(since)}${wait}`
        const { status, body } = await app.get<object>(path, theirs.key.headers)
        expect([400, 410]).toContain(status)
        expect(JSON.stringify(body)).not.toContain('Whose?')
      }
      await using socket = await FrameSocket.open(app.url, { headers: theirs.key.headers })
      socket.send({ type: 'subscribe', id: 1, session_id: 'same', since })
      const answer = await socket.frames.find(({ type }) => /^(subscribed|error)$/.test(type))
      if (answer.type === 'error') expect(answer.code).toBe('INVALID_INPUT')
      else expect(answer.recovered).toBe(false)
      const client = await openSocketIo(app.url, { auth: { token: theirs.key.key } })
      const said = await emit(client, 'subscribe', { session_id: 'same', since })
      if (said.ok) expect(said.recovered).toBe(false)
      else expect(said.code).toBe('INVALID_INPUT')
      client.disconnect()
    }),
  )
})

test('A06: an idempotency key of another tenant’s is a key of one’s own, on every transport', async () => {
  const { app, server, ours, theirs } = here()
  const { idempotency_key: _, ...names } = SAME
  const body = { ...names, message: 'Mine?', options: ['Yes', 'No'], metadata: { of: 'ours' } }
  const key = { 'idempotency-key': 'a06' }
  const first = await app.post('/hitl/request', body, { ...ours.key.headers, ...key })
  expect(first.status).toBe(200)
  await server.attack(
    async () => {
      // Neither the same body nor another one is told anything of it.
      const answer = await app.post('/hitl/request', body, { ...theirs.key.headers, ...key })
      expect(answer.status).toBe(200)
      expect(answer.headers.get('idempotent-replayed')).toBeNull()
      const ids = [first.body.request_id, answer.body.request_id]
      await using socket = await FrameSocket.open(app.url, { headers: theirs.key.headers })
      socket.send({ type: 'request', id: 1, body: { ...body, idempotency_key: 'a06' } })
      const { body: view } = await socket.answer(1)
      const client = await openSocketIo(app.url, { auth: { token: theirs.key.key } })
      const event = await emit(client, 'request', { ...body, idempotency_key: 'a06' })
      client.disconnect()
      expect(new Set(ids).size).toBe(2)
      expect([view?.['request_id'], event['request_id']]).toEqual([ids[1], ids[1]])
      const other = { ...theirs.key.headers, 'idempotency-key': SAME.idempotency_key }
      const changed = await app.post('/hitl/request', { ...body, message: 'Whose?' }, other)
      expect(changed.status).toBe(422)
      expect(JSON.stringify(changed.body)).not.toContain(ours.asked.request_id)
    },
    { mayAdd: true },
  )
})

describe('A07: answers of two callers are never swapped in 200 rounds', () => {
  const ROUNDS = Array.from({ length: 200 }, (_, i) => i)

  /** What its tenant asked at the start, which is answered with the same question. */
  const question = ({ asked }: Tenant) => ({
    ...{ ...SAME, message: asked.message, options: ['Yes', 'No'] },
  })

  test('by frames of a WebSocket with the same ids', () =>
    here().server.attack(async () => {
      const { app, ours, theirs } = here()
      const talk = async (tenant: Tenant) => {
        await using socket = await FrameSocket.open(app.url, { headers: tenant.key.headers })
        for (const id of ROUNDS) socket.send({ type: 'request', id, body: question(tenant) })
        for (const id of ROUNDS) {
          const { body } = await socket.answer(id)
          expect(body?.['request_id']).toBe(tenant.asked.request_id)
        }
      }
      await Promise.all([ours, theirs].map(talk))
    }))

  test('by events of Socket.IO, whose acknowledgements are counted alike', () =>
    here().server.attack(async () => {
      const { app, ours, theirs } = here()
      const talk = async (tenant: Tenant) => {
        const socket = await openSocketIo(app.url, { auth: { token: tenant.key.key } })
        const answers = ROUNDS.map(() => emit(socket, 'request', question(tenant)))
        for (const { request_id } of await Promise.all(answers)) {
          expect(request_id).toBe(tenant.asked.request_id)
        }
        socket.disconnect()
      }
      await Promise.all([ours, theirs].map(talk))
    }))

  test('by requests on connections that they share', () =>
    here().server.attack(async () => {
      const { app, ours, theirs } = here()
      const path = '/hitl/pending?session_id=same'
      const answers = ROUNDS.flatMap(() => [ours, theirs]).map(async ({ key, asked, own }) => {
        const { body } = await app.get<object>(path, key.headers)
        const other = own === ours.own ? theirs : ours
        expect(JSON.stringify(body)).toContain(asked.request_id)
        expect(JSON.stringify(body)).not.toContain(other.asked.request_id)
      })
      await Promise.all(answers)
    }))
})

describe('A10: a list', () => {
  test.for([
    ...['limit=0', 'limit=-1', 'limit=1e9', 'limit=NaN', 'offset=-1', 'page=0', 'cursor=forged'],
    ...['tenant=', 'user_id=', 'tenant=local', 'all=true', 'session_id=same&tenant='],
  ])('has what is open of its own tenant, whatever is asked of it: %s', (query) =>
    here().server.attack(async () => {
      const { app, ours, theirs } = here()
      const path = `/hitl/pending?${query.endsWith('=') ? query + ours.account.id : query}`
      const { status, body } = await app.get<object>(path, theirs.key.headers)
      expect(status).toBe(200)
      expect(JSON.stringify(body)).toContain(theirs.asked.request_id)
      expect(JSON.stringify(body)).not.toContain(ours.asked.request_id)
    }),
  )

  test.for(['session_id=', 'session_id=same&session_id=other', 'session_id[]=same'])(
    'is 400, or its own, for a session that is none: %s',
    (query) =>
      here().server.attack(async () => {
        const { app, ours, theirs } = here()
        const { status, body } = await app.get<object>(`/hitl/pending?${query}`, theirs.key.headers)
        expect([200, 400]).toContain(status)
        expect(JSON.stringify(body)).not.toContain(ours.asked.request_id)
      }),
  )

  test.for(['-1', 'NaN', '1e400', 'Infinity', '0x10', '5m', ' ', '1,2'])(
    'is not waited for without end: wait=%s',
    (wait) =>
      here().server.attack(async () => {
        const { app, theirs } = here()
        const query = `request_id=${theirs.asked.request_id}&wait=${encodeURIComponent(wait)}`
        const answer = await app.get(`/hitl/poll?${query}`, theirs.key.headers)
        expect(answer).toMatchObject({ status: 400, body: { errors: [{ path: '/wait' }] } })
      }),
  )
})

test('defect 27: a client_id that is not the session’s asks nothing in it, on every transport', () =>
  here().server.attack(async () => {
    const { app, ours } = here()
    const body = { session_id: ours.own, client_id: 'another', message: 'Deploy?' }
    const forbidden = { code: 'FORBIDDEN' }
    for (const headers of [ours.key.headers, ours.account.headers]) {
      const answer = await app.post('/hitl/request', body, headers)
      expect(answer).toMatchObject({ status: 403, body: forbidden })
    }
    await using socket = await FrameSocket.open(app.url, { headers: ours.key.headers })
    socket.send({ type: 'request', id: 1, body })
    expect(await socket.answer(1)).toMatchObject({ type: 'error', ...forbidden })
    const client = await openSocketIo(app.url, { auth: { token: ours.key.key } })
    expect(await emit(client, 'request', body)).toMatchObject({ ok: false, ...forbidden })
    client.disconnect()
  }))

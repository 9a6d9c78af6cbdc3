import { expect, test } from 'vitest'
import { Line } from '../../support/readers/line.ts'
import { personOf, serve } from '../../support/readers/server.ts'
import { emit, openSocketIo } from '../../support/readers/socketio.ts'
import { FrameSocket } from '../../support/readers/websocket.ts'

const app = serve('postgres')

const wrong = { code: 'INVALID_INPUT', errors: [{ path: '/callback_url' }] }

test.each([
  'http://127.0.0.1:8080/',
  'http://localhost',
  'http://169.254.169.254/latest/meta-data',
  'http://[::ffff:7f00:1]/',
  'https://user:pass@example.com/',
  'ftp://example.com/',
  'https://example.com:22/',
  'hook',
  '',
  null,
  7,
])('the callback_url %j is refused when it is asked with', async (callback_url) => {
  const line = await Line.open(app())
  const body = { session_id: line.id, client_id: line.clientId, message: 'Deploy?', callback_url }
  expect(await app().post('/hitl/request', body)).toMatchObject({ status: 400, body: wrong })
  await using frames = await FrameSocket.open(app().url)
  frames.send({ type: 'request', id: 'x', body })
  expect(await frames.answer('x')).toMatchObject({ type: 'error', ...wrong })
  const socket = await openSocketIo(app().url)
  expect(await emit(socket, 'request', body)).toMatchObject({ ok: false, ...wrong })
  socket.disconnect()
  expect(await line.log()).toEqual([])
})

test('a public callback_url is taken over every transport, and kept in its normal form', async () => {
  const line = await Line.open(app())
  const callback_url = 'HTTPS://Example.com:443/a/../hook?x=1'
  const body = { session_id: line.id, client_id: line.clientId, message: 'Deploy?', callback_url }
  const asked = await app().post('/hitl/request', body)
  await using frames = await FrameSocket.open(app().url)
  frames.send({ type: 'request', id: 'x', body })
  const framed = await frames.answer('x')
  const socket = await openSocketIo(app().url)
  const acknowledged = await emit(socket, 'request', body)
  socket.disconnect()
  const ids = [asked.body.request_id, framed.body?.['request_id'], acknowledged['request_id']]
  for (const id of ids) {
    expect(await app().get(`/api/requests/${id}/callbacks`)).toMatchObject({
      body: { callbacks: [{ url: 'https://example.com/hook?x=1', status: 'waiting' }] },
    })
  }
})

test('another tenant sees no callbacks and sends none', async () => {
  const line = await Line.open(app())
  const { request_id } = await line.ask({ callback_url: 'https://example.com/hook' })
  await line.decide(await app().view(request_id))
  const headers = { authorization: `Bearer ${await personOf(app(), 'elsewhere')}` }
  const notFound = { status: 404, body: { code: 'REQUEST_NOT_FOUND' } }
  const path = `/api/requests/${request_id}/callbacks`
  expect(await app().get(path, headers)).toMatchObject(notFound)
  expect(await app().post(`${path}/resend`, {}, headers)).toMatchObject(notFound)
})

test('the public key needs no credential, and is the same each time', async () => {
  const headers = { 'x-forwarded-for': '8.8.8.8' }
  const [first, second] = [
    await app().get('/.well-known/webhook-key', headers),
    await app().get('/.well-known/webhook-key'),
  ]
  expect(first).toMatchObject({ status: 200, body: second.body })
  expect(await app().get('/api/requests/x/callbacks', headers)).toMatchObject({ status: 401 })
})

import { describe, expect, test } from 'vitest'
import { ask, problemOf } from '../../support/readers/http.ts'
import { Line } from '../../support/readers/line.ts'
import { openServer, personOf, serve } from '../../support/readers/server.ts'
import { FrameSocket } from '../../support/readers/websocket.ts'
import { Wire } from '../../support/readers/wire.ts'

const app = serve('postgres')

const UPGRADE = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
}

/** The status of an upgrade, and its answer when it is not 101. */
async function knock(url: string, path: string, headers: Record<string, string> = {}) {
  using wire = await Wire.open(url)
  wire.request('GET', path, { ...UPGRADE, ...headers })
  const text = await wire.until(/^HTTP\/1.1 (101|\d+ [\s\S]*\})/)
  return {
    status: Number(/ (\d+)/.exec(text)?.[1]),
    code: /"code":"(\w+)"/.exec(text)?.[1],
    authenticate: /^www-authenticate: (.*)\r$/im.exec(text)?.[1],
  }
}

describe('at the upgrade', () => {
  test('a foreign Origin is 403, the own one and none are let in', async () => {
    const { url } = app()
    const forbidden = { status: 403, code: 'FORBIDDEN' }
    expect(await knock(url, '/ws', { Origin: 'https://evil.example' })).toMatchObject(forbidden)
    expect(await knock(url, '/ws', { Origin: 'null' })).toMatchObject(forbidden)
    expect(await knock(url, '/ws', { Origin: `${url}.evil.example` })).toMatchObject(forbidden)
    const host = url.replace('http://', '')
    expect(await knock(url, '/ws', { Origin: url, Host: host })).toMatchObject({ status: 101 })
    expect(await knock(url, '/ws')).toMatchObject({ status: 101 })
  })

  test('a foreign Host is 403, because a name can be made to lead here', async () => {
    const answer = await knock(app().url, '/ws', { Host: 'evil.example' })
    expect(answer).toMatchObject({ status: 403, code: 'FORBIDDEN' })
  })

  test('what came through a proxy is not local: 401', async () => {
    const answer = await knock(app().url, '/ws', { 'X-Forwarded-For': '127.0.0.1' })
    expect(answer).toMatchObject({ status: 401, code: 'UNAUTHORIZED' })
    expect(answer.authenticate).toMatch(/^Bearer/)
  })

  test('an address that can not be decoded is refused, and its connection is closed', async () => {
    for (const host of ['127.0.0.1', 'evil.example']) {
      using wire = await Wire.open(app().url)
      wire.request('GET', '/%FF', { ...UPGRADE, Host: host })
      expect(await wire.closed()).toMatch(/^HTTP\/1.1 40[034] /)
    }
  })

  test('another path is 404, and Socket.IO beside it is not touched', async () => {
    expect(await knock(app().url, '/nothing')).toMatchObject({ status: 404, code: 'NOT_FOUND' })
    const engine = '/socket.io/?EIO=4&transport=websocket'
    expect(await knock(app().url, engine)).toMatchObject({ status: 101 })
  })

  test('with AUTH=required no or a wrong credential is 401, and a good one is let in', async () => {
    await using server = await openServer('postgres', { AUTH: 'required' })
    const { url } = server.app
    const status = async (headers?: Record<string, string>) =>
      (await knock(url, '/ws?session_id=s1', headers)).status
    const token = await personOf(server.app, 'tenant')
    expect(await status()).toBe(401)
    expect(await status({ Authorization: 'Bearer wrong' })).toBe(401)
    expect(await status({ Authorization: `Basic ${token}` })).toBe(401)
    expect(await status({ 'X-API-Key': 'wrong' })).toBe(401)
    expect(await status({ Authorization: `Bearer ${token}` })).toBe(101)
    expect(await status({ 'X-API-Key': token })).toBe(101)
  })
})

test('without an upgrade /ws is an error like any other', async () => {
  const answer = await ask(`${app().url}/ws`)
  expect(answer.status).toBeGreaterThanOrEqual(400)
  expect(answer.headers['content-type']).toContain('application/problem+json')
  expect(problemOf(answer).status).toBe(answer.status)
})

test('a frame over 1 MiB closes with 1009', async () => {
  await using socket = await FrameSocket.open(app().url)
  socket.send('x'.repeat(1_048_577))
  expect((await socket.closed).code).toBe(1009)
})

test('text that is not UTF-8 closes with 1007, and a frame without a mask with 1002', async () => {
  const codeOf = async (frame: Buffer): Promise<number> => {
    await using socket = await FrameSocket.open(app().url)
    const { _socket: tcp } = socket.socket as unknown as { _socket: NodeJS.WritableStream }
    tcp.write(frame)
    return (await socket.closed).code
  }
  // RFC 6455, section 5.2: FIN and text, masked, length 1; a mask of zeros leaves the byte as it is.
  expect(await codeOf(Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0xff]))).toBe(1007)
  expect(await codeOf(Buffer.from([0x81, 0x01, 0x78]))).toBe(1002)
})

test('a stop says why, and that the client is to come back, and closes with 1012', async () => {
  await using server = await openServer('postgres')
  const line = await Line.open(server.app)
  await using socket = await FrameSocket.open(server.app.url, { query: `?session_id=${line.id}` })
  await using idle = await FrameSocket.open(server.app.url)
  await socket.first('subscribed')
  await idle.first('hello')
  await server.app.app.stop()
  for (const one of [socket, idle]) {
    expect(await one.closed).toMatchObject({ code: 1012 })
    expect(one.frames.items.at(-1)).toMatchObject({
      type: 'disconnect',
      code: 1012,
      reason: expect.any(String),
      reconnect: true,
      retry_after_ms: expect.any(Number),
    })
  }
})

test('a stop does not wait for a peer that never answers the close', async () => {
  await using server = await openServer('postgres', { SHUTDOWN_GRACE: '20' })
  using wire = await Wire.open(server.app.url)
  wire.request('GET', '/ws', UPGRADE)
  await wire.until('hello')
  const began = performance.now()
  await server.app.app.stop()
  expect(performance.now() - began).toBeLessThan(10_000)
  expect(await wire.closed()).toContain('disconnect')
})

import { once } from 'node:events'
import { afterEach, expect, test, vi } from 'vitest'
import { ask } from '../../support/readers/http.ts'
import { Line } from '../../support/readers/line.ts'
import { openServer } from '../../support/readers/server.ts'
import { FrameSocket } from '../../support/readers/websocket.ts'
import { Wire } from '../../support/readers/wire.ts'

const UPGRADE = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
}

/** A server for which time passes when the test says so. Sockets and the database are real. */
async function openInFakeTime() {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  return openServer('postgres')
}

const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1_000)

afterEach(() => {
  vi.useRealTimers()
})

test('a silent SSE stream carries a comment every 15 s', async () => {
  await using server = await openInFakeTime()
  const line = await Line.open(server.app)
  using wire = await Wire.open(server.app.url)
  wire.request('GET', `/hitl/stream?session_id=${line.id}`)
  await wire.until('recovered')
  await pass(15)
  await wire.until(/recovered[\s\S]*\n:/)
  await pass(15)
  await wire.until(/recovered[\s\S]*\n:[\s\S]*\n:/)
})

test('a WebSocket peer that does not answer a ping is gone, one that does stays', async () => {
  await using server = await openInFakeTime()
  using silent = await Wire.open(server.app.url)
  silent.request('GET', '/ws', UPGRADE)
  await silent.until('hello')
  await using alive = await FrameSocket.open(server.app.url)
  await alive.first('hello')
  for (let round = 0; round < 2; round++) {
    const pinged = once(alive.socket, 'ping')
    await pass(round === 0 ? 25 : 17)
    await pinged
    // What is sent after the pong is answered after it was read.
    alive.send({ type: 'cancel', id: round, request_id: 'nobody' })
    await alive.answer(round)
    await pass(8)
    await silent.closed()
  }
  expect(alive.socket.readyState).toBe(alive.socket.OPEN)
})

test('a Socket.IO client that leaves events lying for 5 s is told why, and is closed', async () => {
  await using server = await openInFakeTime()
  const line = await Line.open(server.app)
  const base = `${server.app.url}/socket.io/?EIO=4&transport=polling`
  const sid = /"sid":"([^"]*)"/.exec((await ask(base)).text)?.[1]
  const url = `${base}&sid=${sid}`
  const send = (packet: string) => ask(url, { method: 'POST', body: packet })
  await send('40')
  await ask(url)
  await send(`420${JSON.stringify(['subscribe', { session_id: line.id }])}`)
  expect((await ask(url)).text).toContain('"ok":true')
  const { cursor } = await line.ask()
  await pass(4)
  await line.ask()
  await pass(1)
  const { text } = await ask(url)
  expect(text).toContain(cursor)
  expect(text).toMatch(/"closing",\{"code":3008,.*"reconnect":true/)
  await pass(5)
  // The close packet of engine.io, or an id that is not known any more.
  const last = await ask(url)
  expect(`${last.status} ${last.text}`).toMatch(/^(200 (6.)?1$|400 )/)
})

import { connect, createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { openTestDatabase } from '../../support/database.ts'
import { ask, problemOf } from '../../support/readers/http.ts'
import { Line } from '../../support/readers/line.ts'
import { openServer, startOn } from '../../support/readers/server.ts'

const get = async (url: string, path: string) => {
  const { status, text } = await ask(url + path)
  return { status, body: JSON.parse(text) as object }
}

test('/health, /livez and /readyz say that all is well', async () => {
  await using server = await openServer('postgres')
  const { url } = server.app
  expect(await get(url, '/health')).toMatchObject({
    status: 200,
    body: { status: 'healthy', service: 'loopgate', version: expect.any(String) },
  })
  expect((await get(url, '/livez')).status).toBe(200)
  expect((await get(url, '/readyz')).status).toBe(200)
})

test('the embedded database is healthy as well', async () => {
  await using server = await openServer('pglite')
  expect(await get(server.app.url, '/health')).toMatchObject({ body: { status: 'healthy' } })
})

/** A way to the database that can be cut. */
async function openBridge(to: URL) {
  const sockets = new Set<Socket>()
  let isUp = true
  const server = createServer((client) => {
    const upstream = connect(Number(to.port), to.hostname)
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => other.destroy())
      socket.pipe(other)
    }
    if (!isUp) client.destroy()
  })
  const { promise, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', resolve)
  await promise
  const address = server.address()
  const url = new URL(to)
  url.port = String(typeof address === 'object' && address ? address.port : 0)
  const cut = () => {
    isUp = false
    for (const socket of sockets) socket.destroy()
  }
  return {
    url: url.href,
    cut,
    mend: () => {
      isUp = true
    },
    [Symbol.dispose]: () => {
      cut()
      server.close()
    },
  }
}

test('while the database is away, 503 says so, and it is over when it is back', async () => {
  await using database = await openTestDatabase('postgres')
  using bridge = await openBridge(new URL(database.url ?? ''))
  await using app = await startOn({ DATABASE_URL: bridge.url, REGISTRATION: 'first' })
  const line = await Line.open(app)
  const asked = await line.ask()
  bridge.cut()
  expect(await get(app.url, '/health')).toMatchObject({
    status: 503,
    body: { status: 'unhealthy', service: 'loopgate' },
  })
  expect((await get(app.url, '/readyz')).status).toBe(503)
  expect((await get(app.url, '/livez')).status).toBe(200)
  expect((await ask(`${app.url}/console`)).text).toContain('data-registration="open"')
  for (const path of [
    `/hitl/poll?request_id=${asked.request_id}`,
    `/hitl/poll?session_id=${line.id}`,
    `/hitl/stream?session_id=${line.id}`,
    '/hitl/pending',
  ]) {
    const answer = await ask(app.url + path)
    expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/)
    expect(problemOf(answer)).toMatchObject({ status: 503, code: 'UNAVAILABLE' })
  }
  bridge.mend()
  await expect.poll(async () => (await get(app.url, '/readyz')).status).toBe(200)
  expect((await line.decide(asked)).outcome).toBe('approved')
})

test('/metrics is Prometheus text with the series that dashboards know', async () => {
  await using server = await openServer('postgres')
  const line = await Line.open(server.app, { client_id: 'agent "7"\\' })
  await line.settled()
  const { status, headers, text } = await ask(`${server.app.url}/metrics`)
  expect({ status, type: headers['content-type'] }).toEqual({
    status: 200,
    type: expect.stringMatching(/^text\/plain; version=0.0.4/),
  })
  expect(text).toContain('loopgate_hitl_requests_total{client_id="agent \\"7\\"\\\\"} 1\n')
  expect(text).toContain('loopgate_active_sessions 1\n')
  expect(text).toContain('# TYPE loopgate_response_time_seconds histogram\n')
  expect(text).toMatch(/loopgate_response_time_seconds_count\{.*\} 1\n/)
})

test('the metrics name 200 clients, and count the others as "other"', async () => {
  await using server = await openServer('postgres')
  const clients = Array.from({ length: 210 }, (_, i) => `client-${i}`)
  const askAs = async (client_id: string) => (await Line.open(server.app, { client_id })).ask()
  await Promise.all(clients.map(askAs))
  const { text } = await ask(`${server.app.url}/metrics`)
  const named = text.match(/^loopgate_hitl_requests_total\{client_id="client-\d+"\} 1$/gm)
  expect(named).toHaveLength(200)
  expect(text).toContain('loopgate_hitl_requests_total{client_id="other"} 10\n')
})

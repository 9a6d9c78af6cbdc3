import { expect, test } from 'vitest'
import { ask, problemOf } from '../../support/readers/http.ts'
import { Line } from '../../support/readers/line.ts'
import { openServer, serve } from '../../support/readers/server.ts'
import { Wire } from '../../support/readers/wire.ts'

const app = serve('postgres', { MAX_CONCURRENT_REQUESTS: '2' })

test.each([
  ['GET', '/'],
  ['GET', '/nothing'],
  ['GET', '/hitl'],
  ['GET', '/hitl/request'],
  ['POST', '/hitl/poll'],
  ['PUT', '/hitl/request'],
  ['DELETE', '/hitl/request'],
  ['PATCH', '/hitl/cancel'],
  ['GET', '/HITL/poll'],
  ['GET', '/hitl/poll/'],
  ['GET', '//hitl/poll'],
  ['GET', '/hitl/%70oll/../x'],
  ['GET', '/console/../../package.json'],
  ['GET', '/console/%2e%2e/%2e%2e/package.json'],
  ['GET', `/api/requests/${'x'.repeat(2_000)}/decision`],
  ['POST', `/api/requests/${'x'.repeat(2_000)}/decision`],
])('%s %s is a problem with 404', async (method, path) => {
  const answer = await ask(app().url + path, { method })
  expect(answer.status).toBe(404)
  expect(answer.headers['content-type']).toContain('application/problem+json')
  expect(problemOf(answer)).toMatchObject({ status: 404, code: 'NOT_FOUND' })
})

test('an address that can not be decoded is an error of the client', async () => {
  const answer = await ask(`${app().url}/api/requests/%FF/decision`, { method: 'POST' })
  expect(answer.status).toBeOneOf([400, 404])
  expect(answer.headers['content-type']).toContain('application/problem+json')
})

test.each([
  ['Host', { host: 'evil.example' }],
  ['Origin', { origin: 'https://evil.example' }],
])('an address that can not be decoded, from a foreign %s, is 403', async (_, headers) => {
  for (const path of ['/%FF', '/api/requests/%FF/decision']) {
    expect((await ask(app().url + path, { headers })).status).toBe(403)
  }
  expect((await ask(`${app().url}/livez`)).status).toBe(200)
})

test('a problem has the fields of RFC 9457 and a stable code, and is not cached', async () => {
  const line = await Line.open(app())
  const problems = [
    await ask(`${app().url}/hitl/status`),
    await ask(`${app().url}/hitl/poll?request_id=nobody`),
    await ask(`${app().url}/hitl/poll?session_id=${line.id}&since=gone`),
    await ask(`${app().url}/nothing`),
  ]
  expect(problems.map((answer) => problemOf(answer).code)).toEqual([
    ...['INVALID_INPUT', 'REQUEST_NOT_FOUND', 'CURSOR_GONE', 'NOT_FOUND'],
  ])
  for (const answer of problems) {
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/)
    expect(answer.headers['cache-control']).toContain('no-store')
    expect(problemOf(answer)).toMatchObject({
      type: expect.stringMatching(/./),
      title: expect.stringMatching(/./),
      status: answer.status,
      detail: expect.stringMatching(/./),
    })
  }
})

test('429 and 401 say what to do', async () => {
  const line = await Line.open(app(), { client_id: 'eager' })
  await line.ask()
  await line.ask()
  const body = { session_id: line.id, client_id: 'eager', message: 'x' }
  const full = await app().post('/hitl/request', body)
  expect(full).toMatchObject({ status: 429, body: { code: 'TOO_MANY_PENDING' } })
  expect(full.headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
  const wrong = await app().get('/hitl/pending', { authorization: 'Bearer wrong' })
  expect(wrong).toMatchObject({ status: 401, body: { code: 'UNAUTHORIZED' } })
  expect(wrong.headers.get('www-authenticate')).toMatch(/^Bearer/)
})

test.each([
  'Basic dXNlcjpwYXNz',
  'Bearer',
  'Bearer  ',
  'Bearer a b',
  'token',
  'Bearer ey.ey.ey',
  '',
])('the credential "%s" is wrong, not none: 401', async (authorization) => {
  const { status, body } = await app().get('/hitl/pending', { authorization })
  expect({ status, code: body.code }).toEqual({ status: 401, code: 'UNAUTHORIZED' })
})

test('a credential is looked at before the body is', async () => {
  using wire = await Wire.open(app().url)
  wire.request('POST', '/hitl/request', {
    Authorization: 'Bearer wrong',
    'Content-Type': 'application/json',
    'Content-Length': '100000',
  })
  expect(await wire.until('UNAUTHORIZED')).toMatch(/^HTTP\/1.1 401 /)
})

test('HEAD has the head of GET and no body, on every route that is read', async () => {
  const line = await Line.open(app())
  for (const path of [
    ...['/health', '/livez', '/readyz', '/metrics', '/console', '/nothing', '/hitl/pending'],
    ...[`/hitl/status?session_id=${line.id}`, `/hitl/poll?session_id=${line.id}`],
  ]) {
    const get = await ask(app().url + path)
    const head = await ask(app().url + path, { method: 'HEAD' })
    expect({ path, status: head.status, text: head.text }).toEqual({
      path,
      status: get.status,
      text: '',
    })
    expect(head.headers['content-type']).toBe(get.headers['content-type'])
  }
})

test('OPTIONS is answered at once, and opens nothing to other origins', async () => {
  for (const path of ['/hitl/request', '/hitl/stream', '/ws', '/nothing', '*']) {
    using wire = await Wire.open(app().url)
    wire.request('OPTIONS', path, { Connection: 'close' })
    const text = (await wire.closed()).toLowerCase()
    expect(text).toMatch(/^http\/1.1 (204|4\d\d) /)
    expect(text).not.toContain('access-control-allow-origin')
  }
})

test('a page of an allowed origin may ask beforehand, and read the answers', async () => {
  const origin = 'https://app.example.com'
  await using server = await openServer('postgres', { ALLOWED_ORIGINS: origin })
  const { url } = server.app
  const preflight = await ask(`${url}/hitl/request`, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,authorization,idempotency-key',
    },
  })
  expect(preflight.status).toBeLessThan(300)
  expect(preflight.headers['access-control-allow-origin']).toBe(origin)
  for (const [path, status] of [
    ...([
      ['/hitl/pending', 200],
      ['/hitl/poll?request_id=nobody', 404],
      ['/nothing', 404],
    ] as const),
    ...([['/socket.io/?EIO=4&transport=polling', 200]] as const),
  ]) {
    const answer = await ask(url + path, { headers: { origin } })
    expect([path, answer.status]).toEqual([path, status])
    expect(answer.headers['access-control-allow-origin']).toBe(origin)
  }
  await server.app.register()
  using wire = await Wire.open(url)
  wire.request('GET', '/hitl/stream?session_id=s1', { Origin: origin })
  expect((await wire.until('hello')).toLowerCase()).toContain(
    `\r\naccess-control-allow-origin: ${origin}\r\n`,
  )
})

test('nonsense on the wire is answered and closed, and the server lives', async () => {
  for (const bytes of ['\0\0\0\0\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', 'nonsense\r\n\r\n']) {
    using wire = await Wire.open(app().url)
    wire.write(bytes)
    expect(await wire.closed()).toMatch(/^(HTTP\/1.1 (4|5)\d\d |$)/)
  }
  expect((await ask(`${app().url}/livez`)).status).toBe(200)
})

import { afterAll, beforeAll, expect, test } from 'vitest'
import { WatchedServer } from '../support/hardening.ts'
import { Wire } from '../support/readers/wire.ts'

/** HTTP as nobody's client writes it. */

let server: WatchedServer
let host: string
beforeAll(async () => {
  server = await WatchedServer.start()
  await server.app.register()
  ;({ host } = new URL(server.app.url))
})
afterAll(() => server[Symbol.asyncDispose]())

/** Would take the session out of service, if anybody took it for a request. */
const body = '{"session_id":"s1"}'
const SMUGGLED = [
  'POST /hitl/deactivate HTTP/1.1',
  'Host: HOST',
  'Content-Type: application/json',
  `Content-Length: ${body.length}`,
  '',
  body,
].join('\r\n')

const head = (...lines: string[]) =>
  ['GET /livez HTTP/1.1', 'Host: HOST', ...lines, '', ''].join('\r\n')

/** Heads that two readers might end at different places; what is hidden stands behind them. */
const AMBIGUOUS: Readonly<Record<string, string>> = {
  'both lengths': `${head(`Content-Length: ${SMUGGLED.length}`, 'Transfer-Encoding: chunked')}0\r\n\r\n`,
  'both lengths, the other way round': `${head('Transfer-Encoding: chunked', 'Content-Length: 3')}0\r\n\r\n`,
  'two lengths': head('Content-Length: 0', `Content-Length: ${SMUGGLED.length}`),
  'a list of lengths': head(`Content-Length: 0, ${SMUGGLED.length}`),
  'a length with a sign': head('Content-Length: +0'),
  'a length below nothing': head('Content-Length: -1'),
  'a length that is no number': head('Content-Length: 0x0'),
  'an encoding that nobody knows': `${head('Transfer-Encoding: xchunked')}0\r\n\r\n`,
  'chunked, and then something else': `${head('Transfer-Encoding: chunked, identity')}0\r\n\r\n`,
  'a blank before the colon': `${head('Transfer-Encoding : chunked')}0\r\n\r\n`,
  'a header that goes on in the next line': head('X: a', ' Content-Length: 9'),
  'a bare line feed in the head': head('X: a\nContent-Length: 0'),
  'a bare carriage return in the head': head('X: a\rTransfer-Encoding: chunked'),
  'a NUL in the head': head('X: a\0b'),
  'a chunk whose size is no number': `${head('Transfer-Encoding: chunked')}x\r\n\r\n0\r\n\r\n`,
  'a chunk that is longer than it says': `${head('Transfer-Encoding: chunked')}1\r\nab\r\n0\r\n\r\n`,
  'a chunk size beyond counting': `${head('Transfer-Encoding: chunked')}${'f'.repeat(20)}\r\nx`,
}

test('A48: a request with two Hosts is refused, whichever comes first', () =>
  server.attack(async () => {
    for (const hosts of [
      [host, 'evil.example'],
      ['evil.example', host],
      [host, host],
    ]) {
      using wire = await Wire.open(server.app.url)
      const lines = hosts.map((name) => `Host: ${name}`)
      wire.write(['GET /livez HTTP/1.1', ...lines, 'Connection: close', '', ''].join('\r\n'))
      const text = await wire.closed()
      expect(text).toMatch(/^HTTP\/1\.1 400 /)
      expect(text).toContain('more than one Host')
    }
  }))

test.for(Object.entries(AMBIGUOUS))(
  'A48: %s ends the connection, and what is hidden behind it is not read',
  ([, text]) =>
    server.attack(async () => {
      using wire = await Wire.open(server.app.url)
      wire.write((text + SMUGGLED).replaceAll('HOST', host))
      // What is wrong in a body may come after the answer of a route that reads none.
      expect((await wire.closed()).match(/HTTP\/1\.1 \d+/g)).toBeOneOf([
        ...[['HTTP/1.1 400'], ['HTTP/1.1 200'], ['HTTP/1.1 200', 'HTTP/1.1 400']],
      ])
    }),
)

test('A48: the same request behind a head that is clear is read', async () => {
  using wire = await Wire.open(server.app.url)
  wire.write((head('Content-Length: 0') + SMUGGLED).replaceAll('HOST', host))
  expect(await wire.until('deactivated')).toMatch(/HTTP\/1\.1 200[\s\S]*HTTP\/1\.1 200/)
  await server.app.register()
})

const got = (path: string, ...lines: string[]) =>
  [`GET ${path} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...lines, '', ''].join('\r\n')

const ODD: Readonly<Record<string, () => [text: string, status: RegExp]>> = {
  '100 kB in one header': () => [got('/livez', `X: ${'x'.repeat(100_000)}`), /431/],
  '10,000 headers': () => [got('/livez', ...Array<string>(10_000).fill('X: y')), /431/],
  '10,000 parameters': () => [got(`/hitl/pending?${'a=1&'.repeat(10_000)}`), /431/],
  '3,000 parameters': () => [got(`/hitl/poll?${'a=1&'.repeat(3_000)}`), /400/],
  'an address of 100 kB': () => [got(`/${'a'.repeat(100_000)}`), /431/],
  'NUL in the path': () => [got('/hitl/%00pending'), /40[04]/],
  'half an escape in the path': () => [got('/hitl/%'), /40[04]/],
  'dots that are escaped': () => [got('/nothing/%2e%2e/hitl/pending'), /404/],
  'dots that are not': () => [got('/console/../../../etc/passwd'), /404/],
  'two slashes': () => [got('//hitl/pending'), /404/],
  'a backslash': () => [got('/hitl\\pending'), /404/],
  'a blank in the path': () => [got('/hitl/pending HTTP/1.1 x'), /400/],
  'another protocol': () => ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', /400/],
  'an old protocol': () => ['GET /livez\r\n\r\n', /40[03]/],
  'a method that nobody knows': () => [got('/livez').replace('GET', 'STEAL'), /400/],
  'a TLS hello': () => ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', /400/],
}

test.for(Object.entries(ODD))('A48: %s is refused at once', ([, make]) =>
  server.attack(async () => {
    const [text, status] = make()
    using wire = await Wire.open(server.app.url)
    wire.socket.end(Buffer.from(text, 'latin1'))
    const [, given = ''] = /^HTTP\/1\.1 (\d{3})/.exec(await wire.closed()) ?? []
    expect(given).toMatch(status)
  }),
)

test('A48: what asks to be a tunnel or a mirror is neither', () =>
  server.attack(async () => {
    for (const method of ['TRACE', 'CONNECT', 'OPTIONS']) {
      using wire = await Wire.open(server.app.url)
      const path = method === 'CONNECT' ? 'evil.example:443' : '/hitl/pending'
      wire.socket.end(got(path, 'X-Mirror: me').replace('GET', method))
      const answer = await wire.closed()
      expect([method, answer]).toEqual([method, expect.not.stringContaining('X-Mirror')])
      expect([method, /^HTTP\/1\.1 2/.test(answer)]).toEqual([method, false])
    }
  }))

test('A48: a head that comes a byte at a time holds up nobody else', () =>
  server.attack(async () => {
    const slow = await Promise.all(Array.from({ length: 100 }, () => Wire.open(server.app.url)))
    for (const wire of slow) wire.write('GET /livez HTTP/1.1\r\nHost:')
    const start = performance.now()
    expect((await server.app.get('/livez')).status).toBe(200)
    expect(performance.now() - start).toBeLessThan(1_000)
    for (const wire of slow) wire[Symbol.dispose]()
  }))

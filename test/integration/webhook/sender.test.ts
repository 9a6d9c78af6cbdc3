import type { LookupFunction } from 'node:net'
import { createServer, type Server } from 'node:net'
import { expect, test } from 'vitest'
import type { OwedCallback } from '../../../src/core/callback.ts'
import { urlProblem } from '../../../src/transports/webhook/addresses.ts'
import { HttpSender, type SenderOptions } from '../../../src/transports/webhook/sender.ts'
import { Signer } from '../../../src/transports/webhook/signature.ts'
import { aRequest } from '../../support/builders.ts'
import { type Receiver, says, silent, startReceiver } from '../../support/receiver.ts'

const signer = new Signer(Buffer.alloc(32, 7).toString('base64url'))
const secret = `whsec_${Buffer.alloc(32, 9).toString('base64')}`
const NOT_STOPPING = new AbortController().signal

const make = (over: Partial<SenderOptions> = {}) =>
  new HttpSender({ signer, policy: { allowPrivate: true }, version: '0', ...over })

const owed = (url: string): OwedCallback => ({
  ...{ id: 'callback-1', url, failures: 0, disabled: false, secret, at: new Date() },
  request: aRequest({
    state: { status: 'canceled', outcome: 'canceled', settledAt: new Date('2026-01-02T03:05:00Z') },
  }),
})

const post = (sender: HttpSender, url: string) => sender.send(owed(url), NOT_STOPPING)

/** A name server that finds the address for every name. */
function answers(address: string): { lookup: LookupFunction; asked: string[] } {
  const asked: string[] = []
  const lookup: LookupFunction = (hostname, _options, callback) => {
    asked.push(hostname)
    callback(null, [{ address, family: 4 }])
  }
  return { lookup, asked }
}

const refusal = { statusCode: null, error: expect.stringContaining('private or special') }

test('a name is connected to at the address that was looked up, and keeps its name in Host', async () => {
  await using receiver = await startReceiver()
  const { lookup, asked } = answers('127.0.0.1')
  const url = `http://hooks.example.com:${receiver.port}/a?b=c`
  expect(await post(make({ lookup }), url)).toMatchObject({ statusCode: 200, error: null })
  expect(asked).toEqual(['hooks.example.com'])
  expect(receiver.posts).toMatchObject([
    { path: '/a?b=c', headers: { host: `hooks.example.com:${receiver.port}` } },
  ])
})

test('a name that was fine when it was given, and leads inside now, is not connected to', async () => {
  await using receiver = await startReceiver()
  const { lookup, asked } = answers('127.0.0.1')
  const sender = make({ lookup, policy: { allowPrivate: false } })
  expect(urlProblem('http://rebound.example.com/', { allowPrivate: false })).toBeUndefined()
  const url = `http://rebound.example.com:${receiver.port}/`
  expect(await post(sender, url)).toMatchObject(refusal)
  expect(asked).toEqual(['rebound.example.com'])
  expect(receiver.posts).toEqual([])
})

test.each(['127.0.0.1', '[::1]', '[::ffff:7f00:1]', '2130706433', '0x7f.1', '0'])(
  'the literal address %s is not connected to',
  async (host) => {
    await using receiver = await startReceiver()
    const sender = make({ policy: { allowPrivate: false } })
    expect(await post(sender, `http://${host}:${receiver.port}/`)).toMatchObject(refusal)
    expect(receiver.posts).toEqual([])
  },
)

test.each([301, 302, 303, 307, 308])('a redirect by %i is a failure', async (status) => {
  await using receiver = await startReceiver()
  receiver.answer = says(status, { location: `http://127.0.0.1:${receiver.port}/inside` })
  expect(await post(make(), receiver.url)).toMatchObject({
    ...{ statusCode: status, error: `${status}: redirects are not followed` },
  })
  expect(receiver.posts).toHaveLength(1)
})

test.each([
  [200, null],
  [204, null],
  [299, null],
  [400, 'the receiver answered 400'],
  [410, 'the receiver answered 410'],
  [503, 'the receiver answered 503'],
])('an answer of %i is %s', async (status, error) => {
  await using receiver = await startReceiver(says(status))
  expect(await post(make(), receiver.url)).toMatchObject({ statusCode: status, error })
})

test('when to come again is read in seconds and as a date', async () => {
  await using receiver = await startReceiver(says(429, { 'retry-after': '120' }))
  expect(await post(make(), receiver.url)).toMatchObject({ retryAfterMs: 120_000 })
  receiver.answer = says(503, { 'retry-after': new Date(Date.now() + 3_600_000).toUTCString() })
  const { retryAfterMs = 0 } = await post(make(), receiver.url)
  expect(retryAfterMs).toBeGreaterThan(3_500_000)
  expect(retryAfterMs).toBeLessThanOrEqual(3_600_000)
  receiver.answer = says(503, { 'retry-after': 'soon' })
  expect((await post(make(), receiver.url)).retryAfterMs).toBeUndefined()
})

test('a receiver that does not answer is given up', async () => {
  await using receiver = await startReceiver(silent)
  expect(await post(make({ timeoutMs: 100 }), receiver.url)).toMatchObject({
    ...{ statusCode: null, error: 'the receiver did not answer in time' },
  })
})

test('a receiver that sends its head a byte at a time is given up', async () => {
  await using server = await startRaw((write) => {
    const timer = setInterval(() => write('X'), 10)
    return () => clearInterval(timer)
  })
  expect(await post(make({ timeoutMs: 200 }), server.url)).toMatchObject({ statusCode: null })
})

test('a head without end is given up', async () => {
  await using server = await startRaw((write) => {
    write(`HTTP/1.1 200 OK\r\nx: ${'a'.repeat(100_000)}`)
    return () => undefined
  })
  expect(await post(make(), server.url)).toMatchObject({
    ...{ statusCode: null, error: expect.stringContaining('UND_ERR_HEADERS_OVERFLOW') },
  })
})

test('of a body without end no more than a little is taken, and the answer counts', async () => {
  let written = 0
  await using receiver = await startReceiver((response) => {
    response.writeHead(200)
    const pump = () => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536))) written += 65_536
    }
    response.on('drain', pump)
    pump()
  })
  expect(await post(make(), receiver.url)).toMatchObject({ statusCode: 200, error: null })
  // What the kernels on both sides hold, and not more.
  expect(written).toBeLessThan(32 * 1024 * 1024)
})

test('nobody there is a failure that says so, and not what was behind the name', async () => {
  const receiver: Receiver = await startReceiver()
  await receiver[Symbol.asyncDispose]()
  expect(await post(make(), receiver.url)).toMatchObject({
    ...{ statusCode: null, error: 'the connection failed: ECONNREFUSED' },
  })
})

test('a stop cuts off what is under way', async () => {
  await using receiver = await startReceiver(silent)
  const stopping = new AbortController()
  const sent = make().send(owed(receiver.url), stopping.signal)
  await receiver.received(1)
  stopping.abort()
  expect(await sent).toMatchObject({ statusCode: null })
})

interface Raw extends AsyncDisposable {
  readonly url: string
}

/** A server that speaks no HTTP of Node's: `begin` writes what it wants, and returns how to end it. */
async function startRaw(begin: (write: (text: string) => void) => () => void): Promise<Raw> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined)
    const end = begin((text) => socket.write(text))
    socket.on('close', end)
  })
  const { promise: listening, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', resolve)
  await listening
  const address = server.address()
  if (typeof address !== 'object' || !address) throw new Error('it does not listen')
  return {
    url: `http://127.0.0.1:${address.port}/`,
    async [Symbol.asyncDispose]() {
      server.close()
    },
  }
}

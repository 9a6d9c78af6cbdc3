import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { urlProblem } from '../../src/transports/webhook/addresses.ts'
import { resolverLookup } from '../../src/transports/webhook/resolver.ts'
import { HttpSender } from '../../src/transports/webhook/sender.ts'
import { Signer } from '../../src/transports/webhook/signature.ts'
import type { TestApp } from '../support/app.ts'
import { anAgent, aRequest } from '../support/builders.ts'
import { ARRIVED, BROKEN, openOffice } from '../support/callbacks.ts'
import { eventually } from '../support/eventually.ts'
import { WatchedServer } from '../support/hardening.ts'
import { startNameServer } from '../support/name-server.ts'
import { Line } from '../support/readers/line.ts'
import { personOf } from '../support/readers/server.ts'
import { emit, openSocketIo } from '../support/readers/socketio.ts'
import { FrameSocket } from '../support/readers/websocket.ts'
import { says, silent, startReceiver } from '../support/receiver.ts'
import { SELF_SIGNED } from '../support/self-signed.ts'

/** Where an agent would have this server post to, and what stands there. */

const JWT_SECRET = 'only-for-tests-and-long-enough-to-sign'

/** As it is installed, and one that may post to this machine, where the receivers of the tests are. */
let strict: WatchedServer
let server: WatchedServer
beforeAll(async () => {
  strict = await WatchedServer.start()
  server = await WatchedServer.start({ CALLBACK_ALLOW_PRIVATE: 'true', JWT_SECRET })
  await strict.app.register()
})
afterAll(async () => {
  await strict[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

const words = (text: string): string[] => text.trim().split(/\s+/)

const INSIDE = words(`
  http://127.0.0.1/ http://localhost/ http://0/ http://0x7f.1/ http://017700000001/
  http://2130706433/ http://[::1]/ http://[::ffff:7f00:1]/ http://[::7f00:1]/
  http://169.254.169.254/latest/meta-data http://100.64.0.1/ http://10.0.0.1/
  http://metadata.google.internal/ http://①②⑦.0.0.1/ http://127。0。0。1/ http://[fe80::1%25eth0]/
  http://[fd00::1]/ http://[64:ff9b::7f00:1]/ http://224.0.0.1/ http://192.168.0.1/
  http://printer/ http://a.local/ http://localhost./ http://255.255.255.255/`)

const NO_ADDRESS = [
  ...words(`
    https://user:pass@hooks.example.com/ https://user@hooks.example.com/ ftp://hooks.example.com/
    file:///etc/passwd gopher://hooks.example.com/ unix:/var/run/docker.sock data:,x
    http+unix://%2Fvar%2Frun%2Fdocker.sock/ javascript:alert(1) //hooks.example.com/ hook
    https://hooks.example.com:22/ https://hooks.example.com:25/ https://hooks.example.com:6379/
    https://hooks.example.com/#a https:// http://[::1`),
  ...[`https://hooks.example.com/${'a'.repeat(3_000)}`, '', 'https://hooks example.com/'],
  'https://hooks.example.com\0.evil.example/',
]

/** On each transport, where it would happen. */
const ASK: Readonly<Record<string, (body: object) => Promise<unknown>>> = {
  http: async (body) => (await strict.app.post('/hitl/request', body)).body,
  websocket: async (body) => {
    await using frames = await FrameSocket.open(strict.app.url)
    frames.send({ type: 'request', id: 'x', body })
    return await frames.answer('x')
  },
  'socket.io': async (body) => {
    const socket = await openSocketIo(strict.app.url)
    return emit(socket, 'request', body).finally(() => socket.disconnect())
  },
}

const refused = { code: 'INVALID_INPUT', errors: [{ path: '/callback_url' }] }

describe.for(Object.entries(ASK))('over %s', ([, askOn]) => {
  const refuses = (urls: readonly string[]) =>
    strict.attack(async () => {
      for (const callback_url of urls) {
        const answer = await askOn({
          session_id: 's1',
          client_id: 'c1',
          message: 'x',
          callback_url,
        })
        expect([callback_url, answer]).toEqual([
          callback_url,
          expect.objectContaining({ code: refused.code }),
        ])
        expect(answer).toMatchObject(refused)
      }
    })

  test('A49: an address inside is refused when it is named', () => refuses(INSIDE))
  test('A52: what is no web address, or names a port of other services, is refused', () =>
    refuses(NO_ADDRESS))
})

test('A52: a name that looks like another is kept as what it is', async () => {
  const callback_url = 'https://hооks.example.com/' // the two о are Cyrillic
  const { request_id } = await strict.app.ask({ callback_url })
  const { body } = await strict.app.get<{ callbacks: { url: string }[] }>(
    `/api/requests/${request_id}/callbacks`,
  )
  expect(body.callbacks[0]?.url).toMatch(/^https:\/\/xn--/)
})

interface Shown {
  readonly status: string
  readonly error: string | null
  readonly disabled: boolean
  readonly next_attempt_at: string
  readonly attempts: readonly object[]
}

const shown = async (app: TestApp, id: string, headers = {}) =>
  (await app.get<{ callbacks: Shown[] }>(`/api/requests/${id}/callbacks`, headers)).body
    .callbacks[0]

test('A49: an address inside that came into the row all the same is not connected to', async () => {
  await using receiver = await startReceiver()
  const { request_id } = await strict.app.ask({ callback_url: 'https://hooks.example.com/' })
  await strict.store.database.db
    .updateTable('callbacks')
    .set({ url: receiver.url })
    .where('request_id', '=', request_id)
    .execute()
  await strict.app.post('/hitl/cancel', { request_id })
  await strict.attack(async () => {
    await eventually(async () => (await shown(strict.app, request_id))?.error).toMatch(/private/)
    expect(receiver.posts).toEqual([])
  })
})

const secret = `whsec_${Buffer.alloc(32, 9).toString('base64')}`

/** A sender on its own: only there can a test be the name server, and wait less than 15 s. */
const send = (url: string, options: Partial<ConstructorParameters<typeof HttpSender>[0]>) =>
  new HttpSender({
    ...{ signer: new Signer(Buffer.alloc(32, 7).toString('base64url')), version: '0' },
    ...{ policy: { allowPrivate: true }, ...options },
  }).send(
    {
      ...{ id: 'callback-1', url, failures: 0, disabled: false, at: new Date(), secret },
      request: aRequest({
        state: { status: 'canceled', outcome: 'canceled', settledAt: new Date() },
      }),
    },
    new AbortController().signal,
  )

test('A50: a name that leads outside when it is named, and inside when it is called, is not connected to', async () => {
  await using receiver = await startReceiver()
  const names: Record<string, string[]> = { 'rebound.example.com': ['8.8.8.8'] }
  await using nameServer = await startNameServer(names)
  const url = `http://rebound.example.com:${receiver.port}/`
  const policy = { allowPrivate: false }
  expect(urlProblem('http://rebound.example.com/', policy)).toBeUndefined()
  const lookup = resolverLookup([nameServer.address])
  for (const inside of [['127.0.0.1'], ['8.8.8.8', '127.0.0.1']]) {
    names['rebound.example.com'] = inside
    expect(await send(url, { policy, lookup })).toMatchObject({
      ...{ statusCode: null, error: expect.stringContaining('private') },
    })
  }
  expect(receiver.posts).toEqual([])
  // The same way leads there when it may.
  expect(await send(url, { lookup })).toMatchObject({ statusCode: 200 })
})

/** Asked on the other server and settled: what is posted is new, and nothing else may change. */
async function callBack(line: Line, callback_url: string): Promise<string> {
  const asked = await line.ask({ callback_url })
  await line.cancel(asked)
  return asked.request_id
}

const NEW = { mayAdd: true } as const

test.for([
  ...['http://127.0.0.1:PORT/inside', 'http://169.254.169.254/', 'file:///etc/passwd'],
  ...[
    'https://elsewhere.example/',
    '/hook',
    '//127.0.0.1:PORT/inside',
    'gopher://127.0.0.1:PORT/x',
  ],
])('A51: a redirect to %s is a failure, and is not followed', async (to) => {
  await using receiver = await startReceiver()
  receiver.answer = says(307, { location: to.replace('PORT', String(receiver.port)) })
  const line = await Line.open(server.app)
  await server.attack(async () => {
    const id = await callBack(line, receiver.url)
    await eventually(async () => (await shown(server.app, id))?.error).toBe(
      '307: redirects are not followed',
    )
    expect(receiver.posts.map(({ path }) => path)).toEqual(['/hook'])
  }, NEW)
})

describe('A53:', () => {
  test('a receiver that never answers, or a byte at a time, is given up in time', async () => {
    await using receiver = await startReceiver(silent)
    const late = { statusCode: null, error: 'the receiver did not answer in time' }
    expect(await send(receiver.url, { timeoutMs: 200 })).toMatchObject(late)
    receiver.answer = (response) => {
      const timer = setInterval(() => response.socket?.write('X'), 20)
      response.socket?.once('close', () => clearInterval(timer))
    }
    expect(await send(receiver.url, { timeoutMs: 300 })).toMatchObject({ statusCode: null })
  })

  test('of a gigabyte no more than a little is taken', async () => {
    let written = 0
    await using receiver = await startReceiver((response) => {
      const pump = () => {
        while (!response.destroyed && written < 2 ** 30 && response.write(Buffer.alloc(65_536))) {
          written += 65_536
        }
      }
      response.on('drain', pump)
      pump()
    })
    const line = await Line.open(server.app)
    await server.attack(async () => {
      const id = await callBack(line, receiver.url)
      await eventually(async () => (await shown(server.app, id))?.status).toBe('delivered')
      // What the kernels on both sides hold, and not more.
      expect(written).toBeLessThan(32 * 2 ** 20)
    }, NEW)
  })

  test('a certificate that nobody vouches for is not believed', async () => {
    let posts = 0
    const receiver = createServer(SELF_SIGNED, (_request, response) => {
      posts++
      response.end()
    })
    const { promise, resolve } = Promise.withResolvers<void>()
    receiver.listen(0, '127.0.0.1', resolve)
    await promise
    const { port } = receiver.address() as AddressInfo
    const line = await Line.open(server.app)
    await server.attack(async () => {
      const id = await callBack(line, `https://localhost:${port}/`)
      await eventually(async () => (await shown(server.app, id))?.error).toMatch(/SELF_SIGNED/)
      expect(posts).toBe(0)
    }, NEW)
    receiver.close()
  })

  test('what the receiver wrote is not passed on to the agent', async () => {
    await using receiver = await startReceiver((response) => {
      response.writeHead(500, 'SECRET OF THE INSIDE').end('SECRET OF THE INSIDE')
    })
    const line = await Line.open(server.app)
    await server.attack(async () => {
      const id = await callBack(line, receiver.url)
      await eventually(async () => (await shown(server.app, id))?.attempts.length).toBe(1)
      expect(JSON.stringify(await shown(server.app, id))).not.toContain('SECRET')
    }, NEW)
  })
})

describe('A54:', () => {
  test.for([
    ['500', says(500), 4, 7],
    ['429 and Retry-After of an hour', says(429, { 'retry-after': '3600' }), 3_590, 4_000],
    [
      'a date in ten years',
      says(503, { 'retry-after': 'Wed, 01 Jan 2036 00:00:00 GMT' }),
      86_000,
      90_000,
    ],
    ['a reset', (response: { destroy(): void }) => response.destroy(), 4, 7],
  ] as const)('%s is tried again when the schedule says', async ([, answer, least, most]) => {
    await using receiver = await startReceiver(answer)
    const line = await Line.open(server.app)
    await server.attack(async () => {
      const id = await callBack(line, receiver.url)
      await eventually(async () => (await shown(server.app, id))?.attempts.length).toBe(1)
      const callback = await shown(server.app, id)
      expect(callback?.status).toBe('owed')
      const seconds = (Date.parse(callback?.next_attempt_at ?? '') - Date.now()) / 1_000
      expect(seconds).toBeGreaterThan(least - 3)
      expect(seconds).toBeLessThan(most)
    }, NEW)
  })

  test('410 ends it, and nothing more is posted there', async () => {
    await using receiver = await startReceiver(says(410))
    const line = await Line.open(server.app)
    await server.attack(async () => {
      for (const times of [1, 2]) {
        const id = await callBack(line, receiver.url)
        await eventually(async () => (await shown(server.app, id))?.disabled).toBe(true)
        expect([times, receiver.posts.length]).toEqual([times, 1])
      }
    }, NEW)
  })

  test('after three days of 500 it arrives, under the id that it always had', async () => {
    await using office = await openOffice('postgres')
    const { hub, callbacks, clock, sender } = office.process()
    sender.answer = async () => (sender.sent.length < 9 ? BROKEN : ARRIVED)
    callbacks.start()
    const { question } = await office.ask(hub, 'https://hooks.example.com/')
    await hub.cancel(anAgent(), question.id)
    await eventually(async () => {
      await office.everythingIsDue()
      clock.advance(3_000)
      return (await callbacks.list(anAgent(), question.id))[0]?.status
    }).toBe('delivered')
    expect(sender.sent).toHaveLength(9)
    expect(new Set(sender.sent.map(({ id }) => id)).size).toBe(1)
  })
})

describe('A55:', () => {
  test('a receiver with the standard library takes what was posted, and nothing that was altered', async () => {
    await using receiver = await startReceiver()
    const line = await Line.open(server.app)
    const { body } = await server.app.post<{ webhook_secret: string }>('/hitl/register', {
      ...{ session_id: line.id, client_id: line.clientId },
    })
    await callBack(line, receiver.url)
    const [post] = await receiver.received(1)
    if (!post) throw new Error('nothing was posted')
    const webhook = new Webhook(body.webhook_secret)
    const signature = post.headers['webhook-signature'] ?? ''
    const another = `v1,${Buffer.alloc(32).toString('base64')}`
    const good = [
      ...[signature, signature.split(' ').reverse().join(' ')],
      // While a secret changes there are two.
      ...[`${another} ${signature}`, `${signature} ${another}`],
    ]
    for (const given of good) {
      const headers = { ...post.headers, 'webhook-signature': given }
      expect(webhook.verify(post.body, headers)).toMatchObject({ type: 'request.canceled' })
    }
    const old = String(Math.floor(Date.now() / 1_000) - 3_600)
    const bad: readonly [string, Record<string, string>][] = [
      [post.body.replace('canceled', 'approved'), {}],
      [`${post.body} `, {}],
      [post.body, { 'webhook-id': 'another' }],
      [post.body, { 'webhook-timestamp': old }],
      [post.body, { 'webhook-signature': another }],
      [post.body, { 'webhook-signature': '' }],
      [post.body, { 'webhook-signature': signature.replace(/v1,(.)/, 'v1,$1$1') }],
    ]
    for (const [text, headers] of bad) {
      expect(() => webhook.verify(text, { ...post.headers, ...headers })).toThrow()
    }
    const theirs = new Webhook(secret)
    expect(() => theirs.verify(post.body, post.headers)).toThrow()
  })
})

test('A56: however much waits for the slow receivers of one tenant, another is called at once', async () => {
  await using slow = await startReceiver(silent)
  await using quick = await startReceiver()
  const mallory = { authorization: `Bearer ${await personOf(server.app, 'mallory')}` }
  const bob = { authorization: `Bearer ${await personOf(server.app, 'bob')}` }
  const names = { session_id: 's', client_id: 'c' }
  for (const headers of [mallory, bob]) await server.app.post('/hitl/register', names, headers)
  const settle = async (callback_url: string, headers: Record<string, string>) => {
    const body = { ...names, message: 'Deploy?', callback_url }
    const { request_id } = (await server.app.post('/hitl/request', body, headers)).body
    await server.app.post('/hitl/cancel', { request_id }, headers)
  }
  await server.attack(async () => {
    // Each is a receiver of its own, and all of them wait.
    const flood = Array.from({ length: 300 }, (_, i) => `${slow.url}?${i}`)
    for (let i = 0; i < flood.length; i += 20) {
      await Promise.all(flood.slice(i, i + 20).map((url) => settle(url, mallory)))
    }
    const waits: number[] = []
    for (let i = 1; i <= 20; i++) {
      const start = performance.now()
      await settle(quick.url, bob)
      await quick.received(i)
      waits.push(performance.now() - start)
    }
    expect(waits.toSorted((a, b) => a - b)[18], 'ms, the 95th of 100').toBeLessThan(1_000)
    expect(slow.posts.length).toBeLessThan(flood.length)
  }, NEW)
}, 30_000)

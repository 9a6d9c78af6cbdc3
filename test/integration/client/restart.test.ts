import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Loopgate } from '../../../client/index.ts'
import type { TestApp } from '../../support/app.ts'
import { FlakyProxy } from './proxy.ts'
import { FAST, newSession, startServer } from './server.ts'

const KINDS = ['socketio', 'sse', 'poll'] as const
const TIMEOUT = 60_000

let dataDir: string
let server: TestApp
let restarted: Promise<TestApp> | undefined

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'loopgate-client-'))
  server = await startServer({ LOOPGATE_DATA_DIR: dataDir })
}, TIMEOUT)

afterAll(async () => {
  await (await restarted)?.[Symbol.asyncDispose]()
  await rm(dataDir, { recursive: true, force: true })
}, TIMEOUT)

test('requests survive a restart of the server: asked before, and while it was away', {
  timeout: TIMEOUT,
}, async () => {
  await using gates = new AsyncDisposableStack()
  const asked = new Map<string, string>()
  const ask = (gate: Loopgate, message: string) =>
    gate.request({ message, onAsked: ({ request_id }) => asked.set(message, request_id) })

  const clients = KINDS.map((kind) =>
    gates.use(new Loopgate({ url: server.url, transports: [kind], timing: FAST })),
  )
  const usual = gates.use(new Loopgate({ url: server.url, timing: FAST }))
  for (const gate of [...clients, usual]) await gate.register(newSession())
  const before = clients.map((gate, i) => ask(gate, `before ${i}`))
  const heard: string[] = []
  const off = usual.on('*', ({ type, data }) => heard.push(`${data.message}: ${type}`))
  await off.ready
  before.push(ask(usual, 'before 3'))
  await expect.poll(() => asked.size).toBe(4)

  await server[Symbol.asyncDispose]()
  const meanwhile = ask(usual, 'meanwhile')
  const port = new URL(server.url).port
  restarted = startServer({ LOOPGATE_DATA_DIR: dataDir, SERVER_PORT: port })
  const again = await restarted
  expect(again.url).toBe(server.url)
  await expect.poll(() => asked.size, { timeout: 10_000 }).toBe(5)
  for (const id of asked.values()) await again.decide(id, { response: 'yes' })

  const decisions = await Promise.all([...before, meanwhile])
  expect(decisions.map(({ approved, view }) => [view.message, approved])).toEqual([
    ['before 0', true],
    ['before 1', true],
    ['before 2', true],
    ['before 3', true],
    ['meanwhile', true],
  ])
  expect(decisions.map(({ requestId }) => requestId)).toEqual([...asked.values()])
  await expect
    .poll(() => heard)
    .toEqual([
      'before 3: request.created',
      'meanwhile: request.created',
      'before 3: request.decided',
      'meanwhile: request.decided',
    ])
  off()
})

describe.each([
  ['is not registered there', false],
  ['was registered anew', true],
])('a server that lost its database, and the session %s', (_, isRegisteredAnew) => {
  test.each(KINDS)(
    'ends the wait over %s with REQUEST_NOT_FOUND',
    { timeout: TIMEOUT },
    async (kind) => {
      await using kept = await proxied(kind)
      const { gate, proxy, session } = kept
      const asked = Promise.withResolvers<void>()
      const decision = gate.request({ message: 'Deploy?', onAsked: () => asked.resolve() })
      decision.catch(asked.reject)
      await asked.promise
      await expect.poll(() => kept.isWaiting()).toBe(true)

      proxy.target = (await fresh()).url
      if (isRegisteredAnew) {
        await (await fresh()).register({
          session_id: session.sessionId,
          client_id: session.clientId,
        })
      }
      proxy.cut()

      await expect(decision).rejects.toMatchObject({ code: 'REQUEST_NOT_FOUND', status: 404 })
    },
  )
})

/** A client that believes the proxy to be its server. */
async function proxied(kind: (typeof KINDS)[number]) {
  const again = await (restarted ?? Promise.resolve(server))
  const proxy = await FlakyProxy.start(again.url)
  const gate = new Loopgate({ url: proxy.url, transports: [kind], timing: FAST })
  const session = newSession()
  await gate.register(session)
  const path = { socketio: '/socket.io/', sse: '/hitl/stream', poll: '/hitl/poll' }[kind]
  return {
    gate,
    proxy,
    session,
    isWaiting: () => proxy.open(path) === 1,
    async [Symbol.asyncDispose]() {
      await gate.close()
      await proxy[Symbol.asyncDispose]()
    },
  }
}

let empty: Promise<TestApp> | undefined

/** A server that knows nothing of what the other one knew. */
function fresh(): Promise<TestApp> {
  empty ??= startServer()
  return empty
}

afterAll(async () => {
  await (await empty)?.[Symbol.asyncDispose]()
}, TIMEOUT)

import { expect, test } from 'vitest'
import { Loopgate } from '../../client/index.ts'
import { openTestDatabase } from '../support/database.ts'
import { Command } from '../support/process.ts'
import { personOf } from '../support/readers/server.ts'
import { check, connectAgents, each, type Gate, settleIn, until } from '../support/rollover.ts'
import { TcpSwitch } from '../support/tcp-switch.ts'

/** As in test/support/readers/server.ts: the tokens of its people hold here too. */
const JWT_SECRET = 'only-for-tests-and-long-enough-to-sign'

const COUNTS = { websocket: 60, socketio: 60, sse: 60, poll: 20 }
const CLIENTS = { socketio: 10, sse: 10, poll: 10 } as const

async function start(env: Record<string, string>): Promise<{ server: Command; url: string }> {
  const server = new Command('node', ['src/main.ts'], env)
  const [, url = ''] = await server.said(/listening on (http:\S+)/)
  return { server, url }
}

/** Sessions that are read by the client that agents use. */
async function openClients(gate: Gate, stack: AsyncDisposableStack) {
  const heard = new Map<string, string[]>()
  for (const [transport, count] of Object.entries(CLIENTS)) {
    for (let i = 0; i < count; i++) {
      const sessionId = `client-${transport}-${i}`
      const client = stack.use(
        new Loopgate({
          url: gate.url(),
          apiKey: gate.token,
          transports: [transport as keyof typeof CLIENTS],
        }),
      )
      await client.register({ sessionId, clientId: 'agent' })
      const ids: string[] = []
      heard.set(sessionId, ids)
      await client.on('*', ({ id }) => ids.push(id), { sessionId }).ready
    }
  }
  return heard
}

test('hundreds of agents roll from one process to another, and nothing is lost or doubled', async () => {
  await using database = await openTestDatabase('postgres')
  const { url: DATABASE_URL = '' } = database
  const env = { DATABASE_URL, JWT_SECRET, SERVER_PORT: '0', SHUTDOWN_GRACE: '10' }
  const a = await start(env)
  await using _a = a.server
  const b = await start(env)
  await using _b = b.server
  await using proxy = await TcpSwitch.start(a.url)
  const gate: Gate = { url: () => proxy.url, token: await personOf(a, 'tenant') }
  await using stack = new AsyncDisposableStack()

  const agents = await connectAgents(gate, COUNTS)
  stack.defer(async () => {
    await Promise.all(agents.map((agent) => agent.stop()))
  })
  const clients = await openClients(gate, stack)
  const sessions = [...agents.map(({ sessionId }) => sessionId), ...clients.keys()]
  await each(sessions, 8, (sessionId) => settleIn(gate, sessionId))

  // Questions and answers go on while the agents roll.
  const during = each(sessions, 8, (sessionId) => settleIn(gate, sessionId))
  proxy.target = b.url
  const stopped = performance.now()
  a.server.signal('SIGTERM')
  expect(await a.server.exit()).toMatchObject({ code: 0 })
  await during
  await until(20_000, 'all are back', () =>
    agents.every(({ placed }) => placed.some((at) => at > stopped)),
  )
  await each(sessions, 8, (sessionId) => settleIn(gate, sessionId))

  const none = { lost: 0, doubled: 0, reordered: 0, gaps: 0 }
  expect(await check(agents, DATABASE_URL)).toEqual({ events: 6 * agents.length, ...none })
  for (const [sessionId, ids] of clients) {
    await until(10_000, `${sessionId} has heard all`, () => ids.length >= 6)
    expect(ids.map((id) => Number(id.split('-')[1]))).toEqual([1, 2, 3, 4, 5, 6])
  }
  b.server.signal('SIGTERM')
  expect(await b.server.exit()).toMatchObject({ code: 0 })
}, 120_000)

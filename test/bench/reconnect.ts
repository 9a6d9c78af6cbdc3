import { PersonTokens } from '../../src/http/tokens.ts'
import type { RollingAgent } from '../support/agents.ts'
import { check, connectAgents, each, type Gate, settleIn, until } from '../support/rollover.ts'
import { userOf } from '../support/users.ts'
import { openPostgres } from './postgres.ts'
import { type Running, run } from './processes.ts'

/** Agents that are connected when their process is stopped. */
const AGENTS = Number(process.env['BENCH_AGENTS'] ?? 5_000)
const GRACE_SECONDS = process.env['SHUTDOWN_GRACE'] ?? '10'
/** SIGKILL: nobody is told, and all come back at once. */
const SIGNAL = process.env['BENCH_SIGNAL'] === 'SIGKILL' ? 'SIGKILL' : 'SIGTERM'
const JWT_SECRET = 'only-for-a-benchmark-and-long-enough-to-sign'

/**
 * `npm run bench:reconnect`: thousands of agents on one process, which gets SIGTERM while another
 * one is there, and questions and answers go on.
 */
const postgres = await openPostgres()
try {
  const database = await postgres.database('reconnect')
  const env = {
    DATABASE_URL: database,
    JWT_SECRET,
    SERVER_PORT: '0',
    SHUTDOWN_GRACE: GRACE_SECONDS,
  }
  const a = await start(env)
  await using _a = a.process
  const b = await start(env)
  await using _b = b.process
  let target = a.url
  const gate: Gate = { url: () => target, token: await token(a.url) }
  const third = Math.floor(AGENTS / 3)
  const began = performance.now()
  const agents = await connectAgents(gate, {
    websocket: AGENTS - 2 * third,
    socketio: third,
    sse: third,
  })
  console.log(`${AGENTS} agents on one process, a third each on WebSocket, Socket.IO and SSE`)
  console.log(`connected within ${seconds(performance.now() - began)}`)

  const isOver = { now: false }
  const settling = settleUntil(gate, agents, isOver)
  target = b.url
  const stopped = performance.now()
  a.process.signal(SIGNAL)
  const gone = a.process.exited().then(() => performance.now())
  await until(60_000, 'all are back', () => agents.every((agent) => backAt(agent, stopped)))
  const back = agents.map((agent) => (backAt(agent, stopped) ?? 0) - stopped)
  const away = agents.map((agent) => (backAt(agent, stopped) ?? 0) - (agent.lost.at(-1) ?? 0))
  isOver.now = true
  const settled = await settling
  await each(agents, 8, ({ sessionId }) => settleIn(gate, sessionId))
  const { events, lost, doubled, reordered, gaps } = await check(agents, database)

  console.log(`all back within     ${seconds(Math.max(...back))} of ${SIGNAL}`)
  console.log(
    `an agent is away    p50 ${seconds(quantile(away, 0.5))}, p99 ${seconds(quantile(away, 0.99))}`,
  )
  console.log(`most back in 1 s    ${busiestSecond(back)}`)
  console.log(`the process exited  ${seconds((await gone) - stopped)} after ${SIGNAL}`)
  console.log(`settled meanwhile   ${settled} requests`)
  console.log(
    `of ${events} events  lost ${lost}, doubled ${doubled}, reordered ${reordered}, gaps ${gaps}`,
  )
  await Promise.all(agents.map((agent) => agent.stop()))
  process.exitCode = lost + doubled + reordered + gaps === 0 ? 0 : 1
} finally {
  await postgres.close()
}

async function start(env: Record<string, string>): Promise<{ process: Running; url: string }> {
  const running = run('src/main.ts', [], env)
  const [, url = ''] = await running.said(/listening on (http:\S+)/)
  return { process: running, url }
}

/** A person of a tenant, who may do what its agents may, and decide. */
async function token(url: string): Promise<string> {
  return new PersonTokens(JWT_SECRET).issue({
    ...{ type: 'person', tenant: await userOf({ url }, 'bench'), channel: 'console' },
    ...{ id: 'ann', name: 'Ann' },
  })
}

/** One question and answer after the other, in one session after the other. */
async function settleUntil(
  gate: Gate,
  agents: readonly RollingAgent[],
  isOver: { readonly now: boolean },
): Promise<number> {
  let settled = 0
  const worker = async () => {
    while (!isOver.now) {
      const agent = agents[(settled++ * 7) % agents.length]
      if (agent) await settleIn(gate, agent.sessionId)
    }
  }
  await Promise.all([worker(), worker(), worker(), worker()])
  return settled
}

function backAt({ placed }: RollingAgent, stopped: number): number | undefined {
  return placed.find((at) => at > stopped)
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`
}

function quantile(values: readonly number[], q: number): number {
  return [...values].sort((x, y) => x - y)[Math.floor((values.length - 1) * q)] ?? 0
}

function busiestSecond(back: readonly number[]): number {
  const counts = new Map<number, number>()
  for (const ms of back) {
    const second = Math.floor(ms / 1_000)
    counts.set(second, (counts.get(second) ?? 0) + 1)
  }
  return Math.max(...counts.values())
}

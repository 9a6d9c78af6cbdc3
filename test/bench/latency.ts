import { setTimeout as pause } from 'node:timers/promises'
import { freePort } from '../support/free-port.ts'
import { post } from './calls.ts'
import { run } from './processes.ts'
import { percentiles, table } from './report.ts'
import { type Bench, openTwo, openWays, type Way } from './ways.ts'

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 500)
const WARM_UP = 100
/** Between presses, so that one press is not measured through the cleaning up after another. */
const GAP_MS = 8
const SECRET = 'bench-secret-bench-secret-bench-secret'

/** Everything between a press and an agent: Telegram, the control, two processes of the server. */
async function openStage(databaseUrl: string, controlUrl: string) {
  await using opened = new AsyncDisposableStack()
  const telegram = opened.use(run('test/support/telegram/main.ts', ['--port', '0']))
  const [line] = await telegram.said(/\{.*\}/)
  const { apiRoot, token } = JSON.parse(line) as { apiRoot: string; token: string }
  const control = opened.use(run('test/bench/control.ts', [], { DATABASE_URL: controlUrl }))
  const [, controlAddress = ''] = await control.said(/listening on (\S+)/)
  const port = await freePort()
  const server = opened.use(
    run('test/bench/server.ts', [], {
      DATABASE_URL: databaseUrl,
      SERVER_PORT: String(port),
      PUBLIC_URL: `http://127.0.0.1:${port}`,
      TELEGRAM_BOT_TOKEN: token,
      TELEGRAM_API_ROOT: apiRoot,
      TELEGRAM_MODE: 'webhook',
      TELEGRAM_WEBHOOK_SECRET: SECRET,
      MAX_CONCURRENT_REQUESTS: '100000',
      LOG_LEVEL: 'error',
    }),
  )
  const [, address = ''] = await server.said(/listening on (\S+)/)
  const other = opened.use(
    run('src/main.ts', [], { DATABASE_URL: databaseUrl, SERVER_PORT: '0', LOG_LEVEL: 'error' }),
  )
  const [, otherAddress = ''] = await other.said(/listening on (\S+)/)
  const bench: Bench = { address, otherAddress, controlAddress, apiRoot, secret: SECRET, post }
  const stack = opened.move()
  return { bench, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** From the POST of Telegram's webhook to the frame at the agent, for each way to receive. */
export async function measureLatency(databaseUrl: string, controlUrl: string): Promise<string> {
  await using stage = await openStage(databaseUrl, controlUrl)
  const ways = await openWays(stage.bench, ROUNDS + WARM_UP)
  const times = await play(ways, 0)
  for (const way of ways) way.close()
  return toTable(times)
}

/** The same to one agent, before and while many others are connected and hear nothing. */
export async function measureIdle(
  databaseUrl: string,
  controlUrl: string,
  agents: number,
): Promise<string> {
  await using stage = await openStage(databaseUrl, controlUrl)
  const { bench } = stage
  const ways = await openTwo(bench, 2 * (ROUNDS + WARM_UP))
  const before = await play(ways, 0)
  await using idle = run('test/bench/idle.ts', [bench.address, String(agents)])
  await idle.said(/^connected/)
  const during = await play(ways, ROUNDS + WARM_UP)
  for (const way of ways) way.close()
  const p50 = (times: Map<string, number[]>, way: string) => percentiles(times.get(way) ?? []).p50
  const rows = ways.map(({ name }) => {
    const [alone, among] = [p50(before, name), p50(during, name)]
    return [name, alone.toFixed(2), among.toFixed(2), `${(among / alone).toFixed(2)} ×`]
  })
  return table(['', 'p50 ms alone', `p50 ms among ${agents}`, 'among / alone'], rows)
}

/** Every way once a round, so that whatever the machine does meanwhile happens to all of them. */
async function play(ways: readonly Way[], first: number): Promise<Map<string, number[]>> {
  const times = new Map<string, number[]>(ways.map(({ name }) => [name, []]))
  for (let round = 0; round < ROUNDS + WARM_UP; round++) {
    for (const way of ways) {
      const arrived = way.prepare(first + round)
      await pause(GAP_MS)
      const start = performance.now()
      const pressed = way.press(first + round)
      const at = await arrived
      if (round >= WARM_UP) times.get(way.name)?.push(at - start)
      await pressed
    }
    if (round % 50 === 0 && process.stderr.isTTY)
      process.stderr.write(`\rlatency: round ${round}  `)
  }
  return times
}

function toTable(times: Map<string, number[]>): string {
  const control = percentiles(times.get('control') ?? [])
  const rows = [...times].map(([name, values]) => {
    const { p50, p90, p99 } = percentiles(values)
    const times50 = (p50 / control.p50).toFixed(2)
    const times99 = (p99 / control.p99).toFixed(2)
    return [name, p50.toFixed(2), p90.toFixed(2), p99.toFixed(2), `${times50} ×`, `${times99} ×`]
  })
  const head = ['', 'p50 ms', 'p90 ms', 'p99 ms', 'p50 / control', 'p99 / control']
  const p50 = (name: string) => percentiles(times.get(name) ?? []).p50
  const beside = (name: string) => `${(p50(name) / p50('WebSocket')).toFixed(2)} ×`
  return [
    table(head, rows),
    '',
    `Other process / same process, p50: ${beside('WebSocket, other process')}`,
    `MCP tool call / WebSocket, p50: ${beside('MCP tool call')}`,
  ].join('\n')
}

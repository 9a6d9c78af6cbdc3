import { Agent, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { freePort } from './postgres.ts'
import { run } from './processes.ts'
import { percentiles, table } from './report.ts'
import { type Bench, openWays, type Way } from './ways.ts'

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 500)
const WARM_UP = 100
/** Between presses, so that one press is not measured through the cleaning up after another. */
const GAP_MS = 8
const SECRET = 'bench-secret-bench-secret-bench-secret'

const http = new Agent({ keepAlive: true, maxSockets: 64 })

export function post(url: string, body: object, headers: Record<string, string> = {}) {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const text = JSON.stringify(body)
  const call = request(
    url,
    {
      method: 'POST',
      agent: http,
      headers: {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(text),
        ...headers,
      },
    },
    (response) => {
      let answer = ''
      response.on('data', (chunk: Buffer) => {
        answer += chunk.toString()
      })
      response.on('end', () =>
        response.statusCode === 200 ? resolve(answer) : reject(new Error(`${url}: ${answer}`)),
      )
    },
  )
  call.on('error', reject)
  call.end(text)
  return promise
}

/** From the POST of Telegram's webhook to the frame at the agent, for each way to receive. */
export async function measureLatency(databaseUrl: string, controlUrl: string): Promise<string> {
  await using telegram = run('test/support/telegram/main.ts', ['--port', '0'])
  const [line] = await telegram.said(/\{.*\}/)
  const { apiRoot, token } = JSON.parse(line) as { apiRoot: string; token: string }
  await using control = run('test/bench/control.ts', [], { DATABASE_URL: controlUrl })
  const [, controlAddress = ''] = await control.said(/listening on (\S+)/)
  const port = await freePort()
  await using server = run('test/bench/server.ts', [], {
    DATABASE_URL: databaseUrl,
    SERVER_PORT: String(port),
    PUBLIC_URL: `http://127.0.0.1:${port}`,
    TELEGRAM_BOT_TOKEN: token,
    TELEGRAM_API_ROOT: apiRoot,
    TELEGRAM_MODE: 'webhook',
    TELEGRAM_WEBHOOK_SECRET: SECRET,
    MAX_CONCURRENT_REQUESTS: '100000',
    LOG_LEVEL: 'error',
  })
  const [, address = ''] = await server.said(/listening on (\S+)/)
  await using other = run('src/main.ts', [], {
    DATABASE_URL: databaseUrl,
    SERVER_PORT: '0',
    LOG_LEVEL: 'error',
  })
  const [, otherAddress = ''] = await other.said(/listening on (\S+)/)
  const bench: Bench = { address, otherAddress, controlAddress, apiRoot, secret: SECRET, post }
  const ways = await openWays(bench, ROUNDS + WARM_UP)
  const times = await play(ways)
  for (const way of ways) way.close()
  return toTable(times)
}

/** Every way once a round, so that whatever the machine does meanwhile happens to all of them. */
async function play(ways: readonly Way[]): Promise<Map<string, number[]>> {
  const times = new Map<string, number[]>(ways.map(({ name }) => [name, []]))
  for (let round = 0; round < ROUNDS + WARM_UP; round++) {
    for (const way of ways) {
      const arrived = way.prepare(round)
      await pause(GAP_MS)
      const start = performance.now()
      const pressed = way.press(round)
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
  const [same, other] = ['WebSocket', 'WebSocket, other process'].map(
    (name) => percentiles(times.get(name) ?? []).p50,
  )
  const ratio = ((other ?? 0) / (same ?? 1)).toFixed(2)
  return `${table(head, rows)}\n\nOther process / same process, p50: ${ratio} ×`
}

import pg from 'pg'
import { type ConnectionName, RollingAgent } from './agents.ts'

/** Where agents ask and a person answers, over HTTP. */
export interface Gate {
  readonly url: () => string
  readonly token: string
}

interface Answer {
  readonly status: number
  readonly retryAfterMs: number
  readonly body: Readonly<Record<string, unknown>>
}

async function post({ url, token }: Gate, path: string, body: object): Promise<Answer> {
  const response = await fetch(`${url()}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const retryAfterMs = Number(response.headers.get('retry-after') ?? 0) * 1_000
  return { status: response.status, retryAfterMs, body: (await response.json()) as Answer['body'] }
}

/** Repeats while nobody answers or the server is stopping; every call here may be repeated. */
async function ask(gate: Gate, path: string, body: object): Promise<Answer['body']> {
  const deadline = performance.now() + 30_000
  for (;;) {
    const answer = await post(gate, path, body).catch(() => undefined)
    if (answer?.status === 200) return answer.body
    const isPassing = answer === undefined || answer.status === 503
    if (!isPassing || performance.now() > deadline) {
      throw new Error(`${path}: ${JSON.stringify(answer ?? 'no answer')}`)
    }
    const ms = Math.random() * 100 + (answer?.retryAfterMs ?? 0)
    await new Promise((resolve) => setTimeout(resolve, ms))
  }
}

let keys = 0

/** A question in a session, and its answer. */
export async function settleIn(gate: Gate, sessionId: string): Promise<void> {
  const idempotency_key = `key-${keys++}`
  const question = { session_id: sessionId, client_id: 'agent', message: 'Deploy?' }
  const options = ['Yes', 'No']
  const asked = await ask(gate, '/hitl/request', { ...question, options, idempotency_key })
  await ask(gate, `/api/requests/${asked['request_id']}/decision`, { option: 'Yes' })
}

/** Runs the task for each item, some at a time. */
export async function each<Item>(
  items: readonly Item[],
  atOnce: number,
  task: (item: Item) => Promise<unknown>,
): Promise<void> {
  let next = 0
  const worker = async () => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await task(item)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

/** Makes a session for each agent, begins to read all of them, and waits until they do. */
export async function connectAgents(
  gate: Gate,
  counts: Partial<Record<ConnectionName, number>>,
): Promise<RollingAgent[]> {
  const agents: RollingAgent[] = []
  for (const [name, count] of Object.entries(counts) as [ConnectionName, number][]) {
    for (let i = 0; i < count; i++) {
      const line = { ...gate, sessionId: `${name}-${i}`, since: 'earliest' }
      agents.push(new RollingAgent(name, line))
    }
  }
  await each(agents, 16, ({ sessionId }) =>
    ask(gate, '/hitl/register', { session_id: sessionId, client_id: 'agent' }),
  )
  for (let i = 0; i < agents.length; i += 100) {
    for (const agent of agents.slice(i, i + 100)) agent.start()
    await until(30_000, 'all are connected', () =>
      agents.slice(0, i + 100).every(({ placed }) => placed.length > 0),
    )
  }
  return agents
}

export interface Report {
  readonly events: number
  readonly lost: number
  readonly doubled: number
  readonly reordered: number
  readonly gaps: number
}

/** Compares what each agent heard with the log, when it had the time to hear all of it. */
export async function check(agents: readonly RollingAgent[], database: string): Promise<Report> {
  const client = new pg.Client({ connectionString: database })
  await client.connect()
  const { rows } = await client.query<{ session_id: string; ids: string[] }>(
    `SELECT session_id, array_agg(epoch || '-' || seq ORDER BY seq) AS ids
     FROM events GROUP BY session_id`,
  )
  await client.end()
  const logs = new Map(rows.map(({ session_id, ids }) => [session_id, ids]))
  const logOf = ({ sessionId }: RollingAgent) => logs.get(sessionId) ?? []
  // When it does not come true, the report says what is missing.
  await until(30_000, 'all have heard all', () =>
    agents.every((agent) => agent.heard.length >= logOf(agent).length),
  ).catch(() => undefined)
  const report = { events: 0, lost: 0, doubled: 0, reordered: 0, gaps: 0 }
  for (const agent of agents) {
    const log = logOf(agent)
    const once = [...new Set(agent.heard)]
    report.events += log.length
    report.lost += log.filter((id) => !once.includes(id)).length
    report.doubled += agent.heard.length - once.length
    report.gaps += agent.gaps
    if (once.some((id, i) => log.indexOf(id) !== i)) report.reordered++
  }
  return report
}

/** Looks again and again, because what agents hear is told to nobody. */
export async function until(ms: number, what: string, look: () => boolean): Promise<void> {
  const deadline = performance.now() + ms
  while (!look()) {
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

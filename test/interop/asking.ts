import type { Agent, AgentKind, Told } from './agents/agent.ts'
import { aiSdk } from './agents/ai-sdk.ts'
import { clients } from './agents/client.ts'
import { mcpRemote } from './agents/mcp-remote.ts'
import { sdk } from './agents/sdk.ts'
import { tasks } from './agents/tasks.ts'
import { type Line, Place } from './place.ts'
import { must, type Report } from './report.ts'

/** Every tool that an agent is to find. */
const TOOLS = [
  ...['request_human_input', 'hitl_request', 'check_request_status', 'list_pending_requests'],
  ...['cancel_request', 'register_callback', 'request_approval', 'check_approval'],
  'permission_prompt',
]

const OPTIONS = ['Deploy', 'Hold']
const BEFORE = 'Deploy before the power cut?'
const DURING = 'Deploy during the power cut?'
/** How long a call waits that a person is to answer meanwhile. Longer than the server is away. */
const WAIT_SECONDS = 20

/** A client with a question that waits for its answer. */
interface Waiting {
  readonly kind: AgentKind
  readonly line: Line
  readonly agent: Agent
}

/**
 * Clients that others wrote: each lists the tools, asks, is answered in Telegram, reads the answer,
 * and goes on where it was when the server was killed in the middle and started again.
 */
export async function proveAgents(report: Report): Promise<void> {
  report.heading('Clients of others')
  await using place = await Place.open()
  await using connected = new AsyncDisposableStack()
  const waiting: Waiting[] = []
  for (const kind of [sdk, ...clients, aiSdk, mcpRemote, ...tasks]) {
    await report.prove(`${kind.name} lists, asks, is answered, reads`, async () => {
      const line = await place.line(kind.name.replace(/\W+/g, '-'))
      const agent = connected.use(await kind.connect(place.mcpOf(line)))
      await listAskRead(place, line, agent)
      // The server does not live to answer it, and not every client notices.
      ask(agent, line, DURING).catch(() => undefined)
      await place.card(line, DURING)
      waiting.push({ kind, line, agent })
      return undefined
    })
  }
  await place.kill()
  await place.start()
  await Promise.all(
    waiting.map((each) =>
      report.prove(`${each.kind.name} goes on after kill -9`, () => goOn(place, each)),
    ),
  )
}

/** The same question each time, for a session. */
const ask = (agent: Agent, { sessionId }: Line, message: string): Promise<Told> =>
  agent.call('request_human_input', {
    ...{ message, options: OPTIONS, wait_seconds: WAIT_SECONDS },
    idempotency_key: `${sessionId}: ${message}`,
  })

async function listAskRead(place: Place, line: Line, agent: Agent): Promise<void> {
  const tools = await agent.tools()
  const missing = TOOLS.filter((name) => !tools.includes(name))
  must(missing.length === 0, `finds no ${missing.join(', ')}`)
  const [told] = await Promise.all([ask(agent, line, BEFORE), place.press(line, BEFORE, 'Deploy')])
  mustBeApproved(told, line)
  const { request_id } = told
  mustBeApproved(await agent.call('check_request_status', { request_id }), line)
}

/** On the connection that it had: what was asked is found again, and asked nobody twice. */
async function goOn(place: Place, { line, agent }: Waiting): Promise<string | undefined> {
  const [open, ...others] = await place.pending(line)
  must(open !== undefined && others.length === 0, `${others.length + 1} questions are open`)
  const repeated = ask(agent, line, DURING)
  await place.press(line, DURING, 'Deploy')
  const told = await repeated
  mustBeApproved(told, line)
  must(told.request_id === open.request_id, 'the repeated call asked anew')
  must(place.cards(line, DURING) === 1, `${place.cards(line, DURING)} cards ask the same`)
  return undefined
}

function mustBeApproved({ outcome, response, decided_by, next_step }: Told, line: Line): void {
  const isBy = decided_by?.channel === 'telegram' && decided_by.id === String(line.reviewer.id)
  must(
    outcome === 'approved' && response === 'Deploy' && isBy && next_step !== '',
    `not the reviewer's answer: ${JSON.stringify({ outcome, response, decided_by, next_step })}`,
  )
}

import { setTimeout } from 'node:timers/promises'
import type { Agent, Input, Told } from './agents/agent.ts'
import { aiSdk } from './agents/ai-sdk.ts'
import { clients } from './agents/client.ts'
import { mcpRemote } from './agents/mcp-remote.ts'
import { sdk } from './agents/sdk.ts'
import { type Line, Place } from './place.ts'
import { must, type Report } from './report.ts'

const PATIENCE_MS = 1_000
const WAIT_SECONDS = 30
/** Within this a server has nothing left of a call that was given up. */
const GONE_WITHIN_MS = 2_000
/** Many at once, so that what is left of each shows among what comes and goes by itself. */
const CALLS = 20

/**
 * Calls that would wait for 30 s, of clients that give up after 1 s: the questions stay open, nothing
 * else stays, and who calls again finds his question instead of asking it twice.
 */
export async function proveGivingUp(report: Report): Promise<void> {
  report.heading('Clients that give up after 1 s of 30')
  await using place = await Place.open()
  for (const kind of [sdk, ...clients, aiSdk, mcpRemote]) {
    await report.prove(kind.name, async () => {
      const line = await place.line(kind.name.replace(/\W+/g, '-'))
      await using agent = await kind.connect(place.mcpOf(line))
      await agent.tools()
      await giveUp(place, line, agent)
      await callAgain(place, line, agent, { idempotency_key: `${line.sessionId}: with a key` })
      await callAgain(place, line, agent, {})
      return undefined
    })
  }
  await report.prove('the server complains of nothing', async () => {
    const said = await place.kill()
    must(said === '', said)
    return undefined
  })
}

/** Many calls that nobody waits for in the end; nothing is left of them but their questions. */
async function giveUp(place: Place, line: Line, agent: Agent): Promise<void> {
  // Nobody is asked there: a reviewer's chat takes one card a second.
  const session_id = `${line.sessionId}-unseen`
  await place.post('/hitl/register', { session_id, client_id: line.reviewer.first_name })
  const before = await held(place)
  const calls = Array.from({ length: CALLS }, (_, i) =>
    ask(agent, { session_id, message: `Number ${i}?` }),
  )
  const outcomes = await Promise.allSettled(calls)
  const answered = outcomes.filter(({ status }) => status === 'fulfilled').length
  must(answered === 0, `${answered} of ${CALLS} calls were answered within ${PATIENCE_MS} ms`)
  await untilGone(place, before)
  const open = await place.pending({ sessionId: session_id })
  must(open.length === CALLS, `${open.length} of ${CALLS} questions are open`)
}

/** A call that is given up, and the same call again, which is answered: one question, one card. */
async function callAgain(place: Place, line: Line, agent: Agent, key: Input): Promise<void> {
  const message = 'idempotency_key' in key ? 'Found by its key?' : 'Found without a key?'
  const before = await held(place)
  const first = await ask(agent, { message, ...key }).catch(() => undefined)
  must(first === undefined, 'the call was not given up')
  // An answer that comes before the server hears of it is the first call's, given up or not.
  await untilGone(place, before)
  const [open, ...others] = await place.pending(line)
  must(open !== undefined && others.length === 0, `${others.length + 1} questions are open`)
  const again = ask(agent, { message, ...key }, WAIT_SECONDS * 1_000)
  await place.press(line, message, 'Yes')
  const { request_id, outcome } = await again
  must(request_id === open.request_id, `${message} was asked anew`)
  must(outcome === 'approved', `${message} is ${outcome}`)
  must(place.cards(line, message) === 1, `${place.cards(line, message)} cards ask: ${message}`)
}

const ask = (agent: Agent, input: Input, patienceMs = PATIENCE_MS): Promise<Told> =>
  agent.call(
    'request_human_input',
    { options: ['Yes', 'No'], wait_seconds: WAIT_SECONDS, ...input },
    patienceMs,
  )

/** What a server holds for its callers, as its own metrics say. */
async function held(place: Place): Promise<ReadonlyMap<string, number>> {
  const figures = await place.figures()
  const names = [...figures.keys()].filter(
    (name) => /^loopgate_(stream_connections|waiting)/.test(name) || name === TIMERS,
  )
  must(names.includes(TIMERS), `no ${TIMERS} among the metrics`)
  return new Map(names.map((name) => [name, figures.get(name) ?? 0]))
}

/** Node's own count. Others of the server's come and go: half of one for each call is too many. */
const TIMERS = 'nodejs_active_resources{type="Timeout"}'

async function untilGone(place: Place, before: ReadonlyMap<string, number>): Promise<void> {
  const end = performance.now() + GONE_WITHIN_MS
  for (;;) {
    const left = [...(await held(place))].filter(([name, count]) => {
      const known = before.get(name) ?? 0
      return count > (name === TIMERS ? known + CALLS / 2 : known)
    })
    if (left.length === 0) return
    const more = left.map(([name, count]) => `${name} ${count}, was ${before.get(name) ?? 0}`)
    must(performance.now() < end, `after ${GONE_WITHIN_MS} ms there is left: ${more.join('; ')}`)
    await setTimeout(50)
  }
}

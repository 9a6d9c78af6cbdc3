import { stdin, stdout } from 'node:process'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { styleText } from 'node:util'
import { type Decision, Loopgate } from '../client/index.ts'
import { type App, startApp } from './app.ts'
import { ConfigError, type Environment, readConfig } from './config.ts'
import { createLogger } from './log.ts'
import type { RequestView } from './protocol/types.ts'
import { VERSION } from './version.ts'

/** The scripted reviewer, and what it waits for, take no longer. */
const AUTO_MS = 30_000
/** How long the scripted reviewer looks at the question. */
const READING_MS = 1_000

const QUESTION = {
  message: 'Deploy v2.1.0 to production?',
  options: ['🚀 Deploy', '⏸️ Hold', '🔍 Review First'],
  metadata: {
    service: 'checkout-api',
    changes: '14 commits, 1 migration',
    tests: '812 passed, 0 failed',
    rollback: 'v2.0.9, about 2 minutes',
  },
}

const EFFECTS = { approve: 'approves', reject: 'refuses', other: 'answers' } as const

interface DemoOptions {
  readonly environment: Environment
  readonly isAutomatic: boolean
}

/** The server, an example agent and a reviewer in one process. Returns the exit code. */
export async function runDemo({ environment, isAutomatic }: DemoOptions): Promise<0 | 1 | 2> {
  try {
    const config = readConfig({ ...environment, ...OWN_PLACE })
    const app = await startApp(config, createLogger(config.logLevel), VERSION)
    try {
      return await play(app, isAutomatic)
    } finally {
      await app.stop()
    }
  } catch (error) {
    say(styleText('red', error instanceof Error ? error.message : String(error)))
    return error instanceof ConfigError ? 2 : 1
  }
}

/** Beside a server that runs here already, and keeping nothing. */
const OWN_PLACE = {
  HOST: '127.0.0.1',
  SERVER_PORT: '0',
  LOOPGATE_DATA_DIR: 'memory://',
  DATABASE_URL: '',
  DB_ADAPTER: '',
  DB_URI: '',
  PUBLIC_URL: '',
  AUTH: '',
  TELEGRAM_MODE: '',
  LOG_LEVEL: 'error',
}

async function play(app: App, isAutomatic: boolean): Promise<0 | 1> {
  const reviewer = await Reviewer.signIn(app)
  await using agent = new Loopgate({ url: app.address })
  const { linkUrl } = await agent.register({ sessionId: 'demo', clientId: 'deploy-bot' })
  say(styleText('bold', 'Loopgate demo: an agent asks, you decide, the agent goes on.\n'))
  say(`  server  ${app.address}, database in memory`)
  say('  agent   deploy-bot, waiting for a push\n')

  const enough = new AbortController()
  const deadline = isAutomatic
    ? setTimeout(() => enough.abort(new Error('nothing arrived')), AUTO_MS)
    : undefined
  const asked = Promise.withResolvers<RequestView>()
  const answered = agent
    .request({ ...QUESTION, onAsked: asked.resolve, signal: enough.signal })
    .then((decision) => ({ decision, at: performance.now() }))
  try {
    const view = await Promise.race([asked.promise, answered.then(({ decision }) => decision.view)])
    show(view)
    if (linkUrl !== null) say(`  Or decide in Telegram: open ${linkUrl}\n`)
    const decided = isAutomatic
      ? pause(READING_MS).then(() => reviewer.decide(view, view.options[0]?.label ?? ''))
      : askHere(view, reviewer, answered)
    // Whichever fails first ends the demo; a press in Telegram makes the terminal's needless.
    const { decision, at } = await Promise.race([answered, decided.then(() => answered)])
    return report(decision, at, reviewer.pressedAt, isAutomatic)
  } finally {
    clearTimeout(deadline)
    enough.abort()
  }
}

function show(view: RequestView): void {
  say(`${styleText('cyan', '🤖 deploy-bot asks:')} ${styleText('bold', view.message)}\n`)
  for (const [key, value] of Object.entries(view.metadata)) say(`     ${key.padEnd(10)} ${value}`)
  say('')
  for (const [i, { label, effect }] of view.options.entries()) {
    say(
      `  ${styleText('bold', String(i + 1))}  ${label}  ${styleText('dim', `(${EFFECTS[effect]})`)}`,
    )
  }
  say('')
}

/** The person at this machine, known by the link that a person would open in a browser. */
class Reviewer {
  readonly #address: string
  readonly #token: string
  /** When the decision was sent; undefined when it was made elsewhere. */
  pressedAt: number | undefined

  private constructor(address: string, token: string) {
    this.#address = address
    this.#token = token
  }

  static async signIn(app: App): Promise<Reviewer> {
    const [, code] = /code=([\w-]+)/.exec(app.facts().join('\n')) ?? []
    const { token } = (await post(`${app.address}/api/auth/link`, { code })) as { token: string }
    return new Reviewer(app.address, token)
  }

  async decide({ request_id }: RequestView, option: string): Promise<void> {
    this.pressedAt = performance.now()
    const url = `${this.#address}/api/requests/${request_id}/decision`
    await post(url, { option }, { authorization: `Bearer ${this.#token}` })
  }
}

async function post(url: string, body: object, headers: Record<string, string> = {}) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`)
  return response.json()
}

/** The person at this terminal decides, unless somebody does elsewhere. Rejects when nobody is here. */
async function askHere(
  view: RequestView,
  reviewer: Reviewer,
  elsewhere: Promise<unknown>,
): Promise<void> {
  let isDecidedElsewhere = false
  const range = `1-${view.options.length}`
  const terminal = createInterface({
    input: stdin,
    output: stdout,
    prompt: `Your decision [${range}]: `,
  })
  const leave = () => {
    isDecidedElsewhere = true
    terminal.close()
  }
  elsewhere.then(leave, leave)
  try {
    terminal.prompt()
    for await (const line of terminal) {
      const option = view.options[Number(line.trim()) - 1]
      if (option) return await reviewer.decide(view, option.label)
      say(`  Please type a number, ${range}.`)
      terminal.prompt()
    }
    if (!isDecidedElsewhere) throw new Error('nobody decided: the terminal was closed')
  } finally {
    terminal.close()
  }
}

function report(
  decision: Decision,
  at: number,
  pressedAt: number | undefined,
  isAutomatic: boolean,
): 0 | 1 {
  const by =
    decision.decidedBy === null
      ? 'nobody'
      : `${decision.decidedBy.name} (${decision.decidedBy.channel})`
  const mark = decision.approved
    ? styleText('green', '✅ approved')
    : styleText('yellow', decision.outcome)
  say(`\n${mark}: ${decision.response ?? '-'} by ${by}`)
  const committedAt =
    decision.view.responded_at === null ? 0 : Date.parse(decision.view.responded_at)
  const took =
    pressedAt === undefined
      ? `${Math.max(0, performance.timeOrigin + at - committedAt).toFixed(0)} ms from the commit to the agent`
      : `${(at - pressedAt).toFixed(1)} ms from the press to the agent`
  say(`  ${took}`)
  say(decision.approved ? '  The agent deploys.\n' : '  The agent does not deploy.\n')
  return isAutomatic && !decision.approved ? 1 : 0
}

function say(line: string): void {
  stdout.write(`${line}\n`)
}

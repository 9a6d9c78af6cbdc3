import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { Loopgate } from '../../client/index.ts'
import type { RequestView, WireEffect } from '../../src/protocol/types.ts'
import { bearer } from '../support/readers/reader.ts'
import { emit, openSocketIo } from '../support/readers/socketio.ts'
import { FrameSocket } from '../support/readers/websocket.ts'
import { call, callUntilAnswered } from './call.ts'
import type { CallbackReceiver } from './calling.ts'
import { contentOf, seenOf } from './facts.ts'
import type { History } from './history.ts'
import { type Line, registration } from './line.ts'
import type { Place } from './place.ts'
import { Random } from './random.ts'

const OPTIONS = [
  { label: 'Deploy', effect: 'approve' },
  { label: 'Hold', effect: 'reject' },
  { label: 'Review First', effect: 'other' },
] as const satisfies readonly { label: string; effect: WireEffect }[]

const WAYS = ['http', 'http', 'wait', 'websocket', 'socket.io', 'client'] as const
const SUBMIT_MS = 60_000

/** The agent of a line that asks, and says so only when it was told that it has asked. */
export class Asker {
  readonly line: Line
  attempts = 0
  /** Requests whose outcome is to be posted. */
  readonly calledBack = new Set<string>()
  readonly #place: Place
  readonly #history: History
  readonly #random: Random
  readonly #asked: (view: RequestView, line: Line) => void
  readonly #receiver: CallbackReceiver
  readonly #waits = new Set<Promise<unknown>>()
  /** Where this agent is called back. */
  #callback = ''

  constructor(parts: {
    line: Line
    place: Place
    history: History
    receiver: CallbackReceiver
    seed: number
    asked: (view: RequestView, line: Line) => void
  }) {
    this.line = parts.line
    this.#place = parts.place
    this.#history = parts.history
    this.#receiver = parts.receiver
    this.#random = new Random(parts.seed, `asker of ${parts.line.session}`)
    this.#asked = parts.asked
  }

  /** Registers. @throws when that is impossible. */
  async open(): Promise<void> {
    const asked = { body: registration(this.line), token: this.line.token }
    const answer = await callUntilAnswered(
      this.#place,
      this.#random,
      '/hitl/register',
      asked,
      30_000,
    )
    if (answer?.status !== 200) throw new Error(`register: ${JSON.stringify(answer)}`)
    const secret = String(answer.body['webhook_secret'])
    this.#callback = this.#receiver.urlOf(this.line.session, secret)
  }

  async run(pauseMs: number, over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      await this.ask(this.#random.chance(0.2) ? this.#random.whole(1, 3) : 40)
      const ms = this.#random.whole(pauseMs / 2, pauseMs * 1.5)
      await setTimeout(ms, undefined, { signal: over }).catch(() => undefined)
    }
    await Promise.all(this.#waits)
  }

  /** Asks one question, again and again until it is acknowledged. */
  async ask(timeoutSeconds: number): Promise<void> {
    const way = this.#random.pick(WAYS)
    const hasOptions = this.#random.chance(0.8)
    const isCalledBack = this.#random.chance(0.4)
    const body = {
      session_id: this.line.session,
      client_id: this.line.client,
      message: `Question ${this.#random.whole(0, 1e9)} of ${this.line.session}?`,
      metadata: { number: this.#random.whole(0, 1e6), way },
      timeout_seconds: timeoutSeconds,
      idempotency_key: randomUUID(),
      ...(hasOptions && { options: OPTIONS }),
      ...(isCalledBack && { callback_url: this.#callback }),
    }
    const until = Date.now() + SUBMIT_MS
    while (Date.now() < until) {
      const { number } = this.#random.pick(this.#place.servers)
      this.attempts += 1
      const submitted = this.#submit(way, this.#place.url(number), body).catch(() => undefined)
      const view = await Promise.race([submitted, setTimeout(SUBMIT_MS, undefined, { ref: false })])
      if (view) {
        this.#acknowledged(view, isCalledBack)
        if (way === 'client') this.#waitByClient(view)
        return
      }
      await setTimeout(this.#random.whole(50, 300))
    }
  }

  #acknowledged(view: RequestView, isCalledBack: boolean): void {
    const effects = Object.fromEntries(view.options.map(({ label, effect }) => [label, effect]))
    const { request_id: request, session_id: session } = view
    const fact = { t: 'asked', at: Date.now(), request, session } as const
    this.#history.add({ ...fact, content: contentOf(view), effects, isCalledBack })
    if (isCalledBack) this.calledBack.add(request)
    this.saw(view)
    this.#asked(view, this.line)
  }

  saw(view: RequestView): void {
    const { request_id: request } = view
    const seen = { seen: seenOf(view), content: contentOf(view) }
    this.#history.add({ t: 'saw', at: Date.now(), request, ...seen })
  }

  async #submit(way: string, url: string, body: object): Promise<RequestView | undefined> {
    const { token } = this.line
    if (way === 'websocket') return byWebSocket(url, token, body)
    if (way === 'socket.io') return bySocketIo(url, token, body)
    const path = `/hitl/request${way === 'wait' ? '?wait=1' : ''}`
    const answer = await call(url, path, { body, token })
    return answer.status === 200 ? (answer.body as unknown as RequestView) : undefined
  }

  /** The client library finds the decision of a question that was asked before. */
  #waitByClient({ request_id: requestId }: RequestView): void {
    const { number } = this.#random.pick(this.#place.servers)
    const gate = new Loopgate({ url: this.#place.url(number), apiKey: this.line.token })
    const waiting = gate
      .decision(requestId, { signal: AbortSignal.timeout(60_000) })
      .catch(() => undefined)
      .then(() => gate.close())
      .finally(() => this.#waits.delete(waiting))
    this.#waits.add(waiting)
  }
}

type Submitted = Promise<RequestView | undefined>

async function byWebSocket(url: string, token: string | undefined, body: object): Submitted {
  await using socket = await FrameSocket.open(url, { headers: bearer(token) })
  socket.send({ type: 'request', id: 'q', body })
  const { ok, body: view } = await socket.answer('q')
  return ok ? (view as unknown as RequestView) : undefined
}

async function bySocketIo(url: string, token: string | undefined, body: object): Submitted {
  const auth = token === undefined ? {} : { auth: { token } }
  const socket = await openSocketIo(url, { transports: ['websocket'], timeout: 5_000, ...auth })
  try {
    const answer = await emit(socket, 'request', body)
    return answer.ok ? (answer as unknown as RequestView) : undefined
  } finally {
    socket.disconnect()
  }
}

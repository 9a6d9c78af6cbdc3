import { subscribe } from 'node:diagnostics_channel'
import { writeSync } from 'node:fs'
import type { ClientRequest } from 'node:http'
import { isMainThread } from 'node:worker_threads'
import pg from 'pg'
import { lastWords, type Order } from './orders.ts'

/**
 * Loaded before a server, so that a test can do to a process from inside what it can not do from
 * outside. The server knows nothing of it. Orders come over the channel to the parent.
 */

type Death = Extract<Order, { type: 'die' }>

let death: Death | undefined
let aheadMs = 0
/** Steps that began after the order, and of which the end is waited for. */
const begun = new WeakSet<object>()
/** Connections in a transaction at whose end we die. */
const transactions = new WeakSet<object>()

function die({ when, step }: Death): void {
  writeSync(2, `${lastWords(when, step)}\n`)
  process.kill(process.pid, 'SIGKILL')
  // Not a step more.
  for (;;);
}

function begin(token: object): void {
  if (death?.when === 'before') die(death)
  else begun.add(token)
}

function end(token: object): void {
  if (death && begun.has(token)) die(death)
}

type Query = (this: object, ...args: unknown[]) => unknown

function watchSql(): void {
  const query = pg.Client.prototype.query as unknown as Query
  const watched: Query = function watchedQuery(this: object, ...args) {
    if (!isStep(this, args)) return query.apply(this, args)
    const token = {}
    begin(token)
    const last = args.at(-1)
    if (typeof last === 'function') {
      return query.apply(this, [
        ...args.slice(0, -1),
        (...results: unknown[]) => {
          end(token)
          last(...results)
        },
      ])
    }
    const result = query.apply(this, args) as Promise<unknown>
    return result.then((value) => {
      end(token)
      return value
    })
  }
  Object.assign(pg.Client.prototype, { query: watched })
}

function isStep(client: object, [config, listed]: readonly unknown[]): boolean {
  if (death?.step.of !== 'sql') return false
  const { text: wanted, value, commit } = death.step
  const isObject = typeof config === 'object' && config !== null
  const { text = '', values } = isObject
    ? (config as { text?: string; values?: unknown })
    : { text: String(config), values: listed }
  if (commit && /^commit/i.test(text)) return transactions.has(client)
  const isIt =
    text.includes(wanted) &&
    (value === undefined || (Array.isArray(values) && values.includes(value)))
  if (isIt && commit) transactions.add(client)
  return isIt && !commit
}

function watchTelegram(): void {
  const isCall = ({ path }: ClientRequest) =>
    death?.step.of === 'telegram' && path.endsWith(`/${death.step.method}`)
  subscribe('http.client.request.created', (message) => {
    const { request } = message as { request: ClientRequest }
    if (isCall(request)) begin(request)
  })
  subscribe('http.client.response.finish', (message) => {
    end((message as { request: ClientRequest }).request)
  })
}

function watchCallbacks(): void {
  subscribe('undici:request:create', (message) => {
    if (death?.step.of === 'callback') begin((message as { request: object }).request)
  })
  subscribe('undici:request:headers', (message) => {
    end((message as { request: object }).request)
  })
}

/** The clock that people set. The one that only counts is left alone, as the kernel leaves it. */
function shiftClock(): void {
  const Real = Date
  const now = () => Real.now() + aheadMs
  const Shifted: DateConstructor = new Proxy(Real, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
    apply: () => new Real(now()).toString(),
    get: (target, name, receiver) => (name === 'now' ? now : Reflect.get(target, name, receiver)),
  })
  Object.defineProperty(Real.prototype, 'constructor', { value: Shifted })
  globalThis.Date = Shifted
}

function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

if (isMainThread && process.send) {
  shiftClock()
  watchSql()
  watchTelegram()
  watchCallbacks()
  process.on('message', (order: Order) => {
    if (order.type === 'die') death = order
    else if (order.type === 'clock') aheadMs = order.aheadMs
    else block(order.ms)
  })
  process.channel?.unref()
}

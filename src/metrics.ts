import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { BusMetrics, Metrics } from './core/ports.ts'

/** Clients with a label of their own. Without a bound anybody could fill the memory of Prometheus. */
const MAX_CLIENTS = 200

export interface PromMetrics extends Metrics {
  readonly registry: Registry
  /** A stream was opened (1) or is gone (-1). */
  connections(transport: string, change: 1 | -1): void
  /** Of the processes on one database. */
  readonly bus: BusMetrics
}

export function createMetrics(counts: Counts): PromMetrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const submitted = new Counter({
    name: 'loopgate_hitl_requests_total',
    help: 'Requests submitted, by client; beyond 200 clients as "other".',
    labelNames: ['client_id'],
    registers,
  })
  measureSessions(registry, counts.activeSessions)
  const seconds = new Histogram({
    name: 'loopgate_response_time_seconds',
    help: 'From the question to its settlement, by outcome.',
    labelNames: ['outcome'],
    buckets: [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14_400, 86_400],
    registers,
  })
  const deliveries = new Counter({
    name: 'loopgate_deliveries_total',
    help: 'Attempts to bring a card to a reviewer, by channel and result.',
    labelNames: ['channel', 'result'],
    registers,
  })
  const callbacks = new Counter({
    name: 'loopgate_callbacks_total',
    help: 'Attempts to post a settled request to its callback_url, by result.',
    labelNames: ['result'],
    registers,
  })
  measureWork(registry, counts.cards, {
    name: 'loopgate_cards',
    help: 'Cards that are to be sent or brought up to date, and those where that failed for good.',
  })
  measureWork(registry, counts.callbacks, {
    name: 'loopgate_callbacks',
    help: 'Callbacks that are owed, and those that failed for good.',
  })
  const failures = new Counter({
    name: 'loopgate_background_failures_total',
    help: 'Failures that no caller saw, by stage.',
    labelNames: ['stage'],
    registers,
  })
  const streams = new Gauge({
    name: 'loopgate_stream_connections',
    help: 'Open streams to agents, by transport.',
    labelNames: ['transport'],
    registers,
  })
  const clients = new Set<string>()
  return {
    bus: createBusMetrics(registers),
    registry,
    submitted(clientId) {
      if (clients.size < MAX_CLIENTS) clients.add(clientId)
      submitted.inc({ client_id: clients.has(clientId) ? clientId : 'other' })
    },
    settled: (outcome, elapsed) => seconds.observe({ outcome }, elapsed),
    delivered: (channel, result) => deliveries.inc({ channel, result }),
    called: (result) => callbacks.inc({ result }),
    failed: (stage) => failures.inc({ stage }),
    connections: (transport, change) => streams.inc({ transport }, change),
  }
}

function createBusMetrics(registers: Registry[]): BusMetrics {
  const hints = new Counter({
    name: 'loopgate_bus_hints_total',
    help: 'Hints to and from other processes that a session has news, by direction.',
    labelNames: ['direction'],
    registers,
  })
  const up = new Gauge({
    name: 'loopgate_bus_up',
    help: '1 while hints of other processes arrive (LISTEN); 0 while the log is polled instead.',
    registers,
  })
  return {
    sent: (count) => hints.inc({ direction: 'sent' }, count),
    received: (count) => hints.inc({ direction: 'received' }, count),
    listening: (isUp) => up.set(isUp ? 1 : 0),
  }
}

type CountWork = () => Promise<{ readonly owed: number; readonly failed: number }>

/** What the database counts, each time when somebody looks. While it is away the last count stands. */
interface Counts {
  activeSessions(): Promise<number>
  readonly cards: CountWork
  readonly callbacks: CountWork
}

function measureSessions(registry: Registry, count: () => Promise<number>): void {
  new Gauge({
    name: 'loopgate_active_sessions',
    help: 'Sessions that are active.',
    registers: [registry],
    async collect() {
      await count().then(
        (sessions) => this.set(sessions),
        () => undefined,
      )
    },
  })
}

function measureWork(
  registry: Registry,
  count: CountWork,
  gauge: { readonly name: string; readonly help: string },
): void {
  new Gauge({
    ...gauge,
    labelNames: ['status'],
    registers: [registry],
    async collect() {
      await count().then(
        ({ owed, failed }) => {
          this.set({ status: 'owed' }, owed)
          this.set({ status: 'failed' }, failed)
        },
        () => undefined,
      )
    },
  })
}

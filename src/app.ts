import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Channel, ChannelContext } from './channels/channel.ts'
import { systemClock } from './clock.ts'
import type { Config } from './config.ts'
import { paced } from './core/admission.ts'
import { Authorizations } from './core/authorizations.ts'
import { Callbacks } from './core/callbacks.ts'
import type { Courier } from './core/card.ts'
import { Checkpoints } from './core/checkpoints.ts'
import { Deliveries } from './core/delivery.ts'
import { Expiry } from './core/expiry.ts'
import { Hub } from './core/hub.ts'
import { KeyUsage } from './core/key-usage.ts'
import type { Clock } from './core/ports.ts'
import { Retention } from './core/retention.ts'
import { addAccountRoutes, mayRegister } from './http/accounts.ts'
import { HttpAuthenticator } from './http/auth.ts'
import { clientAddress } from './http/client-address.ts'
import { addHealthRoutes } from './http/health.ts'
import { Limits } from './http/limits.ts'
import { createServer, refuse } from './http/server.ts'
import { addTicketRoute } from './http/tickets.ts'
import { PersonTokens } from './http/tokens.ts'
import { Upgrades } from './http/upgrades.ts'
import { createMetrics, type PromMetrics } from './metrics.ts'
import { CHECKPOINT_TYP } from './proof/checkpoint.ts'
import { ReceiptKeys } from './proof/keys.ts'
import { stopAll } from './stopping.ts'
import { PgBus } from './storage/bus.ts'
import { type Database, openDatabase } from './storage/database.ts'
import { PgJobs } from './storage/jobs.ts'
import { PgLeadership, soleLeadership } from './storage/leader.ts'
import { migrate } from './storage/migrate.ts'
import { PgReceiptKeyStore } from './storage/receipt-key-store.ts'
import { readSecret } from './storage/secret-store.ts'
import { createStores, type Stores } from './storage/stores.ts'
import { transports as allTransports } from './transports/index.ts'
import type { Transport, TransportContext, TransportDefinition } from './transports/transport.ts'
import { urlProblem } from './transports/webhook/addresses.ts'
import { HttpSender } from './transports/webhook/sender.ts'
import { Signer } from './transports/webhook/signature.ts'

export interface App extends AsyncDisposable {
  /** Where it listens: `http://127.0.0.1:8080`. */
  readonly address: string
  /** What is on, a line for each fact. */
  facts(): readonly string[]
  stop(): Promise<void>
}

/** Opens everything, in order, and listens. What was opened is closed again when a part fails. */
export async function startApp(
  config: Config,
  logger: Logger,
  version: string,
  clock: Clock = systemClock,
  transports: readonly TransportDefinition[] = allTransports,
): Promise<App> {
  const database = await openDatabase(config.database)
  const parts = await prepare(database, config, { logger, version, clock, transports })
  return startOn(parts, database, config)
}

/** What the process brings along. */
interface Around {
  readonly logger: Logger
  readonly version: string
  readonly clock: Clock
  readonly transports: readonly TransportDefinition[]
}

async function prepare(database: Database, config: Config, around: Around) {
  try {
    await migrate(database.db)
    return await build(database, config, around)
  } catch (error) {
    await database.close()
    throw error
  }
}

/**
 * Connections that the kernel holds until we take them (less where net.core.somaxconn says so). Of
 * those who come back together, whoever finds it full tries again after 1, 3, 7, 15 and 31 s.
 */
const BACKLOG = 4_096

async function startOn(parts: Parts, database: Database, config: Config): Promise<App> {
  const { http, hub, bus, expiry, channels, deliveries, retention, checkpoints, callbacks } = parts
  const stop = remembered(async () => {
    const workers = [expiry, deliveries, retention, checkpoints, callbacks]
    await stopAll({ ...parts, workers }, config.shutdownGraceSeconds * 1000)
    await database.close()
  })
  try {
    await http.listen({ host: config.host, port: config.port, backlog: BACKLOG })
    hub.start()
    expiry.start()
    // Before the first answer can come in.
    callbacks.start()
    await Promise.all([bus?.start(), ...channels.map((channel) => channel.start())])
    deliveries.start()
    retention.start()
    checkpoints.start()
  } catch (error) {
    await stop()
    throw error
  }
  return {
    address: parts.address(),
    facts: () => [
      `listening on ${parts.address()}`,
      `database: ${database.description}`,
      ...(bus ? [`other processes: ${bus.description}`] : []),
      ...channels.map((channel) => `${channel.name}: ${channel.status().text}`),
    ],
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

type Parts = Awaited<ReturnType<typeof build>>

/** Makes every part and opens none. */
async function build(database: Database, config: Config, around: Around) {
  const { logger, version, clock } = around
  const address = remembered(() => addressOf(http, config.host))
  const publicAddress = () => config.publicUrl?.origin ?? address()
  const receiptKeys = await openReceiptKeys(database, clock, publicAddress)
  const stores = createStores(database.db, receiptKeys)
  const metrics = createMetrics({
    activeSessions: () => stores.countActiveSessions(),
    cards: () => stores.deliveries.count(),
    callbacks: () => stores.callbacks.count(),
  })
  const tokens = new PersonTokens(config.jwtSecret ?? (await readSecret(database.db, 'jwt')))
  const draining = new AbortController()
  const upgrades = new Upgrades()
  const parts = { logger, metrics, clock, draining, upgrades }
  const { http, auth, authorizations, usage } = buildDoor(config, stores, tokens, parts)
  http.server.once('listening', address)
  const core = buildCore(config, database, stores, { logger, metrics, clock, receiptKeys })
  const { hub, deliveries } = core
  const { callbacks, webhookKey } = await buildCallbacks(config, database, stores, {
    ...{ hub, metrics, logger, clock, version },
  })
  const channels = buildChannels(config, core.couriers, {
    ...{ hub, http, auth, logger },
    cards: stores.cards,
    invitations: stores.invitations,
    contacts: stores.contacts,
    addresses: stores.addresses,
    rates: config.listenUrl === undefined ? undefined : stores.rates,
    leadership:
      config.listenUrl === undefined
        ? soleLeadership
        : new PgLeadership({ url: config.listenUrl, clock, logger }),
    metrics,
    clock,
    isLocalMode: config.auth === 'local',
    mayRegister: () => mayRegister({ ...config, users: stores.users }),
    address: publicAddress,
    secret: (name) => readSecret(database.db, name),
    issueToken: (person) => tokens.issue(person),
    deliver: (requestId) => deliveries.wake(requestId),
  })
  const built = buildTransports(config, around.transports, {
    ...{ hub, http, auth, authorizations, logger, metrics, clock, upgrades, draining },
    ...{ deliveries, callbacks },
    ...{ webhookKey, approvals: stores.approvals, receiptKeys },
    ...{ refuse, mcpSessions: stores.mcpSessions, version },
  })
  addHealthRoutes(http, {
    ...{ version, auth, registry: metrics.registry },
    ping: () => stores.ping(),
    channels: () => Object.fromEntries(channels.map((c) => [c.name, c.status().state])),
    isDraining: () => draining.signal.aborted,
    isListening: () => core.bus?.isUp,
  })
  return {
    ...core,
    ...{ http, upgrades, draining, channels, callbacks, transports: built, address, logger },
    ...{ authorizations, usage },
  }
}

/** The HTTP server, and who is let in there, and for how long. */
function buildDoor(
  config: Config,
  stores: Stores,
  tokens: PersonTokens,
  parts: {
    logger: Logger
    metrics: PromMetrics
    clock: Clock
    upgrades: Upgrades
    draining: AbortController
  },
) {
  const { logger, upgrades, draining } = parts
  const usage = new KeyUsage({ ...parts, store: stores.keys })
  const authorizations = new Authorizations({ ...parts, store: stores.keys })
  const limits = new Limits()
  const addressOf = clientAddress(config.trustProxy)
  const shared = { ...stores, tokens, usage, limits, addressOf }
  const auth = new HttpAuthenticator({ ...config, ...shared, mode: config.auth })
  const http = createServer({
    // Fastify's own news (that it listens, say) is told in the facts.
    logger: logger.child({}, { level: quieter(logger.level) }),
    auth,
    trustProxy: config.trustProxy,
    allowedOrigins: config.allowedOrigins,
    isDraining: () => draining.signal.aborted,
    isUpgrade: (request) => upgrades.takes(request),
  })
  upgrades.attach(http.server)
  const { registration, apiKeyPrefix: keyPrefix } = config
  addAccountRoutes(http, { ...shared, auth, registration, keyPrefix })
  addTicketRoute(http, { auth, tickets: stores.tickets })
  return { http, auth, authorizations, usage }
}

async function openReceiptKeys({ db }: Database, clock: Clock, issuer: () => string) {
  const keys = new ReceiptKeys({ store: new PgReceiptKeyStore(db), clock, issuer })
  await keys.open()
  return keys
}

function buildCore(
  config: Config,
  { db }: Database,
  stores: Stores,
  {
    receiptKeys,
    ...parts
  }: { logger: Logger; metrics: PromMetrics; clock: Clock; receiptKeys: ReceiptKeys },
) {
  const couriers: Courier[] = []
  const { listenUrl: url } = config
  const bus = url === undefined ? undefined : new PgBus({ ...parts, db, url })
  const hub = new Hub({
    ...parts,
    sessions: stores.sessions,
    addresses: stores.addresses,
    requests: stores.requests,
    bus,
    log: paced(stores.log),
    couriers,
    maxPending: config.maxPending,
  })
  const expiry = new Expiry({ ...parts, hub, requests: stores.requests })
  const deliveries = new Deliveries({ ...parts, hub, store: stores.deliveries, couriers })
  const { pruning } = stores
  const retention = new Retention({ ...parts, pruning, days: config.eventRetentionDays })
  const checkpoints = new Checkpoints({
    ...parts,
    hub,
    store: stores.checkpoints,
    sign: (claims, kid) => receiptKeys.signAs(CHECKPOINT_TYP, claims, kid),
  })
  return { hub, bus, expiry, deliveries, retention, checkpoints, couriers }
}

async function buildCallbacks(
  config: Config,
  database: Database,
  stores: Stores,
  parts: { hub: Hub; metrics: PromMetrics; logger: Logger; clock: Clock; version: string },
) {
  const signer = new Signer(await readSecret(database.db, 'webhook'))
  const policy = { allowPrivate: config.callbackAllowPrivate }
  const callbacks = new Callbacks({
    ...parts,
    store: stores.callbacks,
    jobs: new PgJobs(database, 'callbacks', parts.logger),
    sender: new HttpSender({ signer, policy, version: parts.version }),
  })
  return { callbacks, webhookKey: signer.publicKey }
}

function buildChannels(config: Config, couriers: Courier[], context: ChannelContext): Channel[] {
  const channels = config.channels.map((build) => build(context))
  couriers.push(...channels.flatMap(({ courier }) => courier ?? []))
  return channels
}

type TransportParts = Omit<
  TransportContext,
  'allowedOrigins' | 'connections' | 'defaults' | 'draining'
> & { readonly metrics: PromMetrics; readonly draining: AbortController }

function buildTransports(
  config: Config,
  transports: readonly TransportDefinition[],
  parts: TransportParts,
): Transport[] {
  const { metrics, draining, ...rest } = parts
  return transports.map(({ create }) =>
    create({
      ...rest,
      allowedOrigins: config.allowedOrigins,
      defaults: {
        timeoutSeconds: config.requestTimeoutSeconds,
        callbackProblem: (url) => urlProblem(url, { allowPrivate: config.callbackAllowPrivate }),
      },
      draining: draining.signal,
      connections: metrics.connections,
    }),
  )
}

function addressOf(http: FastifyInstance, host: string): string {
  const { port } = http.server.address() as AddressInfo
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** What it was the first time: a server that stops listening keeps its address, and stops once. */
function remembered<Value>(read: () => Value): () => Value {
  let known: Value | undefined
  return () => {
    known ??= read()
    return known
  }
}

/** At least `warn`, or what is quieter than that. */
const quieter = (level: string): string =>
  ['error', 'fatal', 'silent'].includes(level) ? level : 'warn'

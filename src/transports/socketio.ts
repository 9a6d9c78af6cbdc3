import { type IncomingMessage, type OutgoingMessage, ServerResponse, STATUS_CODES } from 'node:http'
import { Server, type Socket } from 'socket.io'
import type { WebSocket } from 'ws'
import { LoopgateError, stopping } from '../core/errors.ts'
import { type Event, formatCursor } from '../core/event.ts'
import { knockOf } from '../core/knock.ts'
import type { Principal } from '../core/principal.ts'
import type { EndReason } from '../core/subscription.ts'
import { CLOSE, type Close } from '../protocol/close-codes.ts'
import { parse } from '../protocol/fields.ts'
import { checkSize, subscribeBody } from '../protocol/frames.ts'
import { checkJson } from '../protocol/json.ts'
import { toErrorBody, toLoopgateError, toProblem } from '../protocol/problem.ts'
import { parseSubmission, requestBody } from '../protocol/requests.ts'
import { envelopeJson, toEnvelope, toView } from '../protocol/view.ts'
import { type Backlogged, Backlogs, FULL_BYTES } from './backlog.ts'
import { CLOSE_MS, Commands, closeEvenly, refuseWhile, retryAfterMs } from './closing.ts'
import { type Names, type Peer, SubscriptionSet } from './subscription-set.ts'
import type { Transport, TransportContext, TransportDefinition } from './transport.ts'

const PREFIX = '/socket.io/'
const MAX_PACKET_BYTES = 1024 * 1024
const PING_MS = 25_000
/** A peer that has not answered a ping by then is gone. Engine.io's own 20 s are too long. */
const PONG_MS = 8_000
/** Packets of one socket in work at once. Beyond, its WebSocket is not read. */
const MAX_IN_WORK = 64

type Acknowledge = (answer: object) => void
type Handler = (body: unknown, acknowledge: Acknowledge) => Promise<void>

interface Shared {
  readonly context: TransportContext
  readonly backlogs: Backlogs
  readonly open: Set<Connection>
}

/** Socket.IO 4 at /socket.io. The cursor does what its connection state recovery would do. */
export const socketio: TransportDefinition = {
  name: 'socketio',
  create(context): Transport {
    const { auth, clock, upgrades } = context
    const shared: Shared = { context, backlogs: new Backlogs(clock), open: new Set() }
    const io = new Server(upgrades.claim(PREFIX), {
      serveClient: false,
      // Upgrades of other paths are other transports'.
      destroyUpgrade: false,
      perMessageDeflate: false,
      httpCompression: false,
      maxHttpBufferSize: MAX_PACKET_BYTES,
      pingInterval: PING_MS,
      pingTimeout: PONG_MS,
      allowRequest: (request, decide) => {
        if (context.draining.aborted) refuse(request, stopping())
        else decide(null, true)
      },
    })
    // `cors` says nothing about WebSocket, and `allowRequest` is asked for handshakes alone: the
    // door is here, with every request and every upgrade.
    io.engine.use((request: IncomingMessage, response: OutgoingMessage, next: () => void) => {
      const refusal = refusalOf(context, request)
      if (refusal) refuse(request, refusal)
      else if (allowCrossOrigin(context, request, response)) next()
    })
    io.use((socket, next) => {
      const knock = knockOf(socket.request)
      const token: unknown = socket.handshake.auth['token']
      const bearer = typeof token === 'string' ? { authorization: `Bearer ${token}` } : {}
      auth.identify({ ...knock, headers: { ...knock.headers, ...bearer } }).then(
        (principal) => {
          socket.data = { principal }
          next()
        },
        (thrown: unknown) => {
          const error = toLoopgateError(thrown)
          // `data` is what connect_error carries beside the text.
          next(Object.assign(new Error(error.message), { data: toErrorBody(error) }))
        },
      )
    })
    io.on('connection', (socket) => {
      const { principal } = socket.data as { principal: Principal }
      new Connection(socket, principal, shared).open()
    })

    return {
      name: 'socketio',
      close: async (spreadMs) => {
        const joined = new Set([...shared.open].map(({ engine }) => engine))
        await closeEvenly(shared.open, spreadMs, clock, (connection) => connection.depart())
        const { clients } = io.engine as unknown as { clients: Record<string, EngineSocket> }
        for (const client of Object.values(clients)) if (!joined.has(client)) drop(client)
        shared.backlogs.stop()
      },
    }
  },
}

/** Why a request is not let in at all. */
function refusalOf(
  { auth }: TransportContext,
  request: IncomingMessage,
): LoopgateError | undefined {
  try {
    auth.admit(knockOf(request))
    return undefined
  } catch (error) {
    return toLoopgateError(error)
  }
}

/**
 * Lets the pages of ALLOWED_ORIGINS read the answers (Fetch standard, CORS protocol). False when the
 * request was a preflight, which is answered.
 */
function allowCrossOrigin(
  { allowedOrigins }: TransportContext,
  request: IncomingMessage,
  response: OutgoingMessage,
): boolean {
  // Of an upgrade there are these headers alone.
  response.setHeader('x-content-type-options', 'nosniff')
  response.setHeader('cache-control', 'no-store')
  const { origin } = request.headers
  if (origin === undefined || !allowedOrigins.includes(origin)) return true
  response.setHeader('access-control-allow-origin', origin)
  response.setHeader('vary', 'origin')
  if (request.method !== 'OPTIONS' || !(response instanceof ServerResponse)) return true
  response
    .writeHead(204, {
      'access-control-allow-methods': 'GET, POST',
      'access-control-allow-headers': 'authorization, content-type, x-api-key',
      'access-control-max-age': '600',
    })
    .end()
  return false
}

/** Answers instead of Engine.io, which knows 400 and 403 alone, and of an upgrade 400. */
function refuse(request: IncomingMessage, error: LoopgateError): void {
  // Engine.io leaves the response there; an upgrade has none.
  const { res, socket } = request as IncomingMessage & { readonly res?: ServerResponse }
  const { retryAfterSeconds } = error.details
  const headers = {
    ...(retryAfterSeconds !== undefined && { 'retry-after': String(retryAfterSeconds) }),
    connection: 'close',
    'content-type': 'application/problem+json',
  }
  const body = JSON.stringify(toProblem(error))
  if (res) {
    res.writeHead(error.status, headers).end(body)
    return
  }
  const lines = Object.entries({ ...headers, 'content-length': Buffer.byteLength(body) })
  const head = [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}`,
    ...lines.map((line) => line.join(': ')),
  ]
  // A peer that is gone by now is no fault.
  socket.on('error', () => undefined)
  socket.write([...head, '', body].join('\r\n'))
  socket.destroySoon()
}

/** Ends a connection of Engine.io that nobody has joined on: there is nobody to tell. */
function drop(client: EngineSocket): void {
  client.close(true)
  client.transport.socket?.terminate()
}

/**
 * Says why, and closes the transport. After `socket.disconnect()` a client does not come back by
 * itself, which is what is wanted of one that is not let in any more.
 */
function disconnect({ clock }: TransportContext, socket: Socket, close: Close): void {
  const { code, reason, reconnect } = close
  const { conn } = socket
  socket.emit('closing', { code, reason, reconnect, retry_after_ms: retryAfterMs() })
  if (reconnect) conn.close()
  else socket.disconnect(true)
  // engine.io waits until everything is taken. Whoever takes nothing is cut; a client that polls
  // has until its ping is over to come for the reason.
  const cancel = clock.after(CLOSE_MS, () => {
    const { transport } = conn as unknown as EngineSocket
    transport.socket?.terminate()
  })
  conn.once('close', cancel)
}

class Connection implements Peer, Backlogged {
  readonly #socket: Socket
  readonly #principal: Principal
  readonly #shared: Shared
  readonly #subscriptions: SubscriptionSet
  readonly #commands = new Commands()
  #inWork = 0
  #isClosing = false
  #isExpelled = false
  #release: (() => void) | undefined

  constructor(socket: Socket, principal: Principal, shared: Shared) {
    this.#socket = socket
    this.#principal = principal
    this.#shared = shared
    this.#subscriptions = new SubscriptionSet(shared.context.hub, principal, this)
  }

  open(): void {
    const { hub, connections, defaults, authorizations } = this.#shared.context
    connections('socketio', 1)
    this.#release = authorizations.hold(this.#principal, () => this.#expel())
    this.#shared.open.add(this)
    slimHandshake(this.#socket)
    this.#on('subscribe', async (body, acknowledge) => {
      const { since, ...names } = parse(subscribeBody, body)
      await this.#subscriptions.add(names, since, ({ cursor, recovered }) =>
        acknowledge({ ok: true, ...names, cursor: formatCursor(cursor), recovered }),
      )
    })
    this.#on('unsubscribe', async (body, acknowledge) => {
      this.#subscriptions.remove(parse(subscribeBody, body))
      acknowledge({ ok: true })
    })
    this.#on('request', async (body, acknowledge) => {
      checkJson(body)
      checkSize(body)
      const submission = parseSubmission(body, defaults)
      const { request } = await this.#commands.run(() => hub.submit(this.#principal, submission))
      acknowledge({ ok: true, ...toView(request) })
    })
    this.#on('cancel', async (body, acknowledge) => {
      const { request_id } = parse(requestBody, body)
      const canceled = await this.#commands.run(() => hub.cancel(this.#principal, request_id))
      acknowledge({ ok: true, ...toView(canceled) })
    })
    // Without a listener, a packet that can not be read would end the process.
    this.#socket.on('error', (error) =>
      this.#shared.context.logger.debug({ err: error }, 'socket.io error'),
    )
    this.#socket.once('disconnect', () => {
      connections('socketio', -1)
      this.#shared.backlogs.forget(this)
      this.#shared.open.delete(this)
      this.#release?.()
      this.#subscriptions.clear()
    })
    // It was let in before the stop began.
    if (this.#shared.context.draining.aborted) this.depart()
  }

  get engine(): EngineSocket {
    return this.#socket.conn as unknown as EngineSocket
  }

  get isOpen(): boolean {
    return this.#socket.connected
  }

  event(event: Event): void {
    if (this.#isClosing) return
    this.#socket.emit(event.type, envelopeOf(event))
    this.#shared.backlogs.wrote(this, envelopeJson(event).length)
  }

  unsubscribed(names: Names, reason: EndReason): void {
    if (reason === 'gone') this.cut()
    else this.#socket.emit('unsubscribed', { ...names, reason })
  }

  drained(): Promise<void> {
    if (!this.isOpen || this.backlog() < FULL_BYTES) return Promise.resolve()
    const { conn } = this.#socket
    // The transport's: engine.io's own drain says only that it has passed everything on.
    const { transport } = conn
    return new Promise((resolve) => {
      const done = () => {
        transport.off('drain', done)
        conn.off('upgrade', done).off('close', done)
        resolve()
      }
      transport.on('drain', done)
      conn.on('upgrade', done).on('close', done)
    })
  }

  /** Packets that engine.io holds, and what the WebSocket below it holds. */
  backlog(): number {
    const { writeBuffer, transport } = this.engine
    let bytes = transport.socket?.bufferedAmount ?? 0
    for (const { data } of writeBuffer) bytes += Buffer.byteLength(data ?? '')
    return bytes
  }

  cut(): void {
    this.#close(CLOSE.tooSlow)
  }

  /** Leaves for a stop of the server, when what was begun is answered. */
  depart(): void {
    this.#commands.whenDone(() => this.#close(CLOSE.restart))
  }

  /** Gives nothing any more, and closes for good. */
  #expel(): void {
    this.#isExpelled = true
    this.#subscriptions.clear()
    this.#close(CLOSE.notAuthorized)
  }

  #close(close: Close): void {
    if (this.#isClosing) return
    this.#isClosing = true
    disconnect(this.#shared.context, this.#socket, close)
  }

  async #run(
    event: string,
    handler: Handler,
    body: unknown,
    acknowledge: Acknowledge,
  ): Promise<void> {
    const { transport } = this.engine
    this.#inWork++
    if (this.#inWork === MAX_IN_WORK) transport.socket?.pause()
    try {
      if (this.#isExpelled) throw new LoopgateError('UNAUTHORIZED')
      if (event !== 'unsubscribe') refuseWhile(this.#shared.context.draining)
      await handler(body, acknowledge)
    } finally {
      this.#inWork--
      if (transport.socket?.isPaused) transport.socket.resume()
    }
  }

  /** Whatever a client sends is answered, if it asks for an answer, and never ends the process. */
  #on(event: string, handler: Handler): void {
    this.#socket.on(event, (...args: unknown[]) => {
      const last = args.at(-1)
      const acknowledge = typeof last === 'function' ? (last as Acknowledge) : () => undefined
      const [body] = typeof last === 'function' ? args.slice(0, -1) : args
      this.#run(event, handler, body, acknowledge).catch((thrown: unknown) => {
        const error = toLoopgateError(thrown)
        if (error.code === 'INTERNAL') {
          const { logger } = this.#shared.context
          logger.error({ err: error.cause, event }, 'a packet could not be handled')
        }
        acknowledge({ ok: false, ...toErrorBody(error) })
      })
    })
  }
}

/** What engine.io keeps to itself, and gives no other way to measure. */
interface EngineSocket {
  readonly writeBuffer: readonly { readonly data?: string }[]
  /** The WebSocket, when that is the transport. */
  readonly transport: { readonly socket?: WebSocket }
  close(discard: boolean): void
}

const envelopes = new WeakMap<Event, object>()

function envelopeOf(event: Event): object {
  const known = envelopes.get(event)
  if (known) return known
  const envelope = toEnvelope(event)
  envelopes.set(event, envelope)
  return envelope
}

/**
 * engine.io keeps the request of the handshake for the connection's whole life: a kilobyte. What is
 * left of it is what Socket.IO and the authenticator look at when the client joins once more.
 */
function slimHandshake({ conn }: Socket): void {
  const { headers, url, socket } = conn.request
  const names = ['host', 'origin', 'authorization', 'x-api-key', 'forwarded']
  const kept = Object.entries(headers).filter(
    ([name]) => names.includes(name) || name.startsWith('x-forwarded-'),
  )
  const { remoteAddress } = socket
  const request = {
    headers: Object.fromEntries(kept),
    url,
    socket: { remoteAddress },
    connection: { remoteAddress },
    _query: {},
  }
  Object.assign(conn, { request })
}

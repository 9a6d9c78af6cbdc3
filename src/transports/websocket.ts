import websocketPlugin from '@fastify/websocket'
import type { WebSocket } from 'ws'
import { invalid, LoopgateError } from '../core/errors.ts'
import { type Event, formatCursor } from '../core/event.ts'
import type { Principal } from '../core/principal.ts'
import type { EndReason } from '../core/subscription.ts'
import { CLOSE, type Close } from '../protocol/close-codes.ts'
import { parse } from '../protocol/fields.ts'
import { type ClientFrame, frameIdOf, parseFrame, readFrame } from '../protocol/frames.ts'
import { toErrorBody, toLoopgateError } from '../protocol/problem.ts'
import { parseSubmission, streamQuery } from '../protocol/requests.ts'
import { envelopeJson, toView } from '../protocol/view.ts'
import { type Backlogged, Backlogs, FULL_BYTES } from './backlog.ts'
import { CLOSE_MS, Commands, closeEvenly, refuseWhile, retryAfterMs } from './closing.ts'
import { type Beating, Heartbeats } from './heartbeat.ts'
import { type Names, type Peer, SubscriptionSet } from './subscription-set.ts'
import {
  authenticateStream,
  principalOf,
  type Transport,
  type TransportContext,
  type TransportDefinition,
} from './transport.ts'

const PATH = '/ws'
const PING_SECONDS = 25
/** A peer that has not answered a ping by then is gone. */
const PONG_SECONDS = 8
const MAX_FRAME_BYTES = 1024 * 1024
/** Frames of one socket in work at once. Beyond, its socket is not read. */
const MAX_IN_WORK = 16

interface Shared {
  readonly context: TransportContext
  readonly heartbeats: Heartbeats
  readonly backlogs: Backlogs
  readonly open: Set<Connection>
}

export const websocket: TransportDefinition = {
  name: 'websocket',
  create(context): Transport {
    const { http, auth, clock, upgrades } = context
    const shared: Shared = {
      context,
      heartbeats: new Heartbeats(PING_SECONDS, PONG_SECONDS, clock),
      backlogs: new Backlogs(clock),
      open: new Set(),
    }

    http.register(websocketPlugin, {
      options: {
        // Its own server: on the shared one it would answer Socket.IO's upgrades with 404.
        server: upgrades.share(PATH),
        maxPayload: MAX_FRAME_BYTES,
        // Compression costs a quarter of a megabyte a connection.
        perMessageDeflate: false,
      },
      errorHandler: (error, socket, request) => {
        // What is wrong with a frame ends the socket by itself, with the code that RFC 6455 names.
        if (isPeersFault(error)) context.logger.debug({ err: error }, 'websocket error')
        else {
          request.log.error({ err: error }, 'a websocket could not be opened')
          socket.terminate()
        }
      },
      // Sockets are closed by `close` below, with a code; the plugin would close them without one.
      preClose: (done) => done(),
    })
    http.register((scope, _options, registered) => {
      scope.route({
        method: 'GET',
        url: PATH,
        onRequest: authenticateStream(auth),
        handler: () => {
          throw new LoopgateError('NOT_FOUND', 'this is a WebSocket: connect with an upgrade')
        },
        wsHandler: (socket, request) => {
          new Connection(socket, principalOf(request), shared).open(request.query)
        },
      })
      registered()
    })

    return {
      name: 'websocket',
      close: async (spreadMs) => {
        await closeEvenly(shared.open, spreadMs, clock, (connection) => connection.depart())
        shared.heartbeats.stop()
        shared.backlogs.stop()
      },
    }
  },
}

/** A frame that ws can not read, or a connection that is lost: nothing that we did. */
const isPeersFault = (error: Error): boolean =>
  'code' in error && /^(WS_ERR_|E[A-Z]+$)/.test(String(error.code))

class Connection implements Peer, Beating, Backlogged {
  readonly #socket: WebSocket
  readonly #principal: Principal
  readonly #shared: Shared
  readonly #subscriptions: SubscriptionSet
  readonly #leaveHeartbeats: () => void
  readonly #release: () => void
  readonly #commands = new Commands()
  #full: Promise<void> | undefined
  #isAlive = true
  #inWork = 0

  constructor(socket: WebSocket, principal: Principal, shared: Shared) {
    this.#socket = socket
    this.#principal = principal
    this.#shared = shared
    this.#subscriptions = new SubscriptionSet(shared.context.hub, principal, this)
    this.#leaveHeartbeats = shared.heartbeats.add(this)
    this.#release = shared.context.authorizations.hold(principal, () => this.#expel())
    shared.open.add(this)
    shared.context.connections('websocket', 1)
    socket.on('message', (data, isBinary) => this.#received(data.toString(), isBinary))
    socket.on('pong', () => {
      this.#isAlive = true
    })
    socket.once('close', () => this.#gone())
  }

  open(query: unknown): void {
    // It was let in before the stop began.
    if (this.#shared.context.draining.aborted) {
      this.depart()
      return
    }
    this.#send({ type: 'hello', heartbeat_seconds: PING_SECONDS, max_frame_bytes: MAX_FRAME_BYTES })
    const named = query as Record<string, unknown>
    if (named['session_id'] === undefined && named['request_id'] === undefined) return
    this.#work(undefined, async () => {
      const { since, last_event_id, lastEventId, ...target } = parse(streamQuery, query)
      const from = since ?? last_event_id ?? lastEventId
      await this.#subscribe(target, from)
    })
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN
  }

  event(event: Event): void {
    const json = envelopeJson(event)
    if (this.backlog() < FULL_BYTES) {
      this.#write(json)
      return
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#full = promise
    this.#write(json, resolve)
  }

  drained(): Promise<void> {
    const full = this.#full ?? Promise.resolve()
    this.#full = undefined
    return full
  }

  unsubscribed(names: Names, reason: EndReason): void {
    if (reason === 'gone') this.cut()
    else this.#send({ type: 'unsubscribed', ...names, reason })
  }

  beat(): void {
    // Whoever has something waiting is watched by its backlog.
    if (this.backlog() > 0) return
    this.#isAlive = false
    this.#socket.ping()
  }

  expect(): void {
    if (!this.#isAlive) this.#socket.terminate()
  }

  backlog(): number {
    return this.#socket.bufferedAmount
  }

  cut(): void {
    this.close(CLOSE.tooSlow)
  }

  /** Leaves for a stop of the server, when what was begun is answered. */
  depart(): void {
    this.#commands.whenDone(() => this.close(CLOSE.restart))
  }

  /** Gives nothing any more, and closes for good. */
  #expel(): void {
    this.#subscriptions.clear()
    this.close(CLOSE.notAuthorized)
  }

  close({ code, reason, reconnect }: Close): void {
    const { clock } = this.#shared.context
    if (this.isOpen) {
      this.#socket.send(
        JSON.stringify({
          type: 'disconnect',
          code,
          reason,
          reconnect,
          retry_after_ms: retryAfterMs(),
        }),
      )
    }
    this.#socket.close(code, reason)
    const cancel = clock.after(CLOSE_MS, () => this.#socket.terminate())
    this.#socket.once('close', cancel)
  }

  #send(frame: object): void {
    this.#write(JSON.stringify(frame))
  }

  #write(text: string | Buffer, written?: () => void): void {
    if (!this.isOpen) {
      written?.()
      return
    }
    this.#socket.send(text, { binary: false }, written)
    this.#shared.backlogs.wrote(this, Buffer.byteLength(text))
  }

  #received(text: string, isBinary: boolean): void {
    // What still comes on a socket that is being closed is not done.
    if (!this.isOpen) return
    let value: unknown
    this.#work(
      () => frameIdOf(value),
      async () => {
        if (isBinary) throw invalid('', 'a frame must be text')
        value = readFrame(text)
        await this.#handle(parseFrame(value))
      },
    )
  }

  /** Runs one thing that the client asked for, and answers what is wrong with it. */
  #work(frameId: (() => string | number | undefined) | undefined, task: () => Promise<void>): void {
    this.#inWork++
    if (this.#inWork === MAX_IN_WORK) this.#socket.pause()
    void task()
      .catch((thrown: unknown) => {
        const error = toLoopgateError(thrown)
        if (error.code === 'INTERNAL') {
          this.#shared.context.logger.error({ err: error.cause }, 'a frame could not be handled')
        }
        const id = frameId?.()
        this.#send({ type: 'error', ...(id !== undefined && { id }), ...toErrorBody(error) })
      })
      .finally(() => {
        this.#inWork--
        if (this.#socket.isPaused) this.#socket.resume()
      })
  }

  async #handle(frame: ClientFrame): Promise<void> {
    const { hub, defaults, draining } = this.#shared.context
    if (frame.type !== 'unsubscribe') refuseWhile(draining)
    switch (frame.type) {
      case 'subscribe':
        return this.#subscribe(frame, frame.since)
      case 'unsubscribe':
        return this.#subscriptions.remove(frame)
      case 'request': {
        const submission = parseSubmission(frame.body, defaults)
        const { request } = await this.#commands.run(() => hub.submit(this.#principal, submission))
        return this.#acknowledge(frame.id, toView(request))
      }
      case 'cancel': {
        const { request_id } = frame
        const request = await this.#commands.run(() => hub.cancel(this.#principal, request_id))
        return this.#acknowledge(frame.id, toView(request))
      }
      default:
        return frame satisfies never
    }
  }

  #acknowledge(id: string | number | undefined, body: object): void {
    this.#send({ type: 'ack', ...(id !== undefined && { id }), ok: true, body })
  }

  #subscribe({ session_id, request_id }: Names, since: string | undefined): Promise<void> {
    return this.#subscriptions.add({ session_id, request_id }, since, ({ cursor, recovered }) =>
      this.#send({
        type: 'subscribed',
        session_id,
        request_id,
        cursor: formatCursor(cursor),
        recovered,
      }),
    )
  }

  #gone(): void {
    this.#leaveHeartbeats()
    this.#release()
    this.#shared.backlogs.forget(this)
    this.#shared.open.delete(this)
    this.#shared.context.connections('websocket', -1)
    this.#subscriptions.clear()
  }
}

import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Event, formatCursor, parseSince } from '../core/event.ts'
import type { Position } from '../core/ports.ts'
import type { Principal } from '../core/principal.ts'
import type { EndReason, Reader, Subscription } from '../core/subscription.ts'
import { parse } from '../protocol/fields.ts'
import { streamQuery, toTarget } from '../protocol/requests.ts'
import type { Hello } from '../protocol/types.ts'
import { envelopeJson } from '../protocol/view.ts'
import { type Backlogged, Backlogs, drained } from './backlog.ts'
import { CLOSE_MS, closeEvenly, retryAfterMs } from './closing.ts'
import { DeadPeers, type Watched } from './dead-peers.ts'
import { type Beating, Heartbeats } from './heartbeat.ts'
import {
  authenticateStream,
  principalOf,
  type Transport,
  type TransportContext,
  type TransportDefinition,
} from './transport.ts'

/** Proxies give up on a silent connection after 60 s, and some on 20. */
const HEARTBEAT_SECONDS = 15

/** What the streams of one server share. */
interface Shared {
  readonly context: TransportContext
  readonly heartbeats: Heartbeats
  readonly deadPeers: DeadPeers
  readonly backlogs: Backlogs
  readonly open: Set<SseReader>
}

/** Server-sent events (WHATWG HTML, section 9.2), written by hand on the response. */
export const sse: TransportDefinition = {
  name: 'sse',
  create(context): Transport {
    const { hub, http, auth, clock } = context
    const shared: Shared = {
      context,
      heartbeats: new Heartbeats(HEARTBEAT_SECONDS, 0, clock),
      deadPeers: new DeadPeers(clock),
      backlogs: new Backlogs(clock),
      open: new Set(),
    }

    const options = { onRequest: authenticateStream(auth), exposeHeadRoute: false }
    http.get('/hitl/stream', options, async (request, reply) => {
      const { since, last_event_id, lastEventId, ...named } = parse(streamQuery, request.query)
      const cursor = lastEventIdOf(request) ?? last_event_id ?? lastEventId ?? since
      const principal = principalOf(request)
      const reader = new SseReader(reply, principal, shared)
      await hub.subscribe(principal, toTarget(named), parseSince(cursor), reader)
      reader.open()
      return reply
    })

    return {
      name: 'sse',
      close: async (spreadMs) => {
        await closeEvenly(shared.open, spreadMs, clock, (reader) => reader.depart())
        shared.heartbeats.stop()
        shared.deadPeers.stop()
        shared.backlogs.stop()
      },
    }
  },
}

/** The header is what EventSource sends when it comes back, and wins over any query. */
function lastEventIdOf({ headers }: FastifyRequest): string | undefined {
  const header = headers['last-event-id']?.toString()
  return header === '' ? undefined : header
}

const HEADERS = {
  'content-type': 'text/event-stream',
  // no-transform: a proxy that compresses holds events back.
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
  connection: 'keep-alive',
} as const

const COMMENT = ':\n\n'
/** Milliseconds after which EventSource comes back. */
const RETRY_MS = 1_000
/** A hint of 0 would have EventSource knock without a pause for as long as nobody answers. */
const MIN_RETURN_MS = 100

const frames = new WeakMap<Event, Buffer>()

/** An event's frame, made once for all of its readers. The JSON is one line. */
function frameOf(event: Event): Buffer {
  const known = frames.get(event)
  if (known) return known
  const head = `event: ${event.type}\nid: ${formatCursor(event.cursor)}\ndata: `
  const frame = Buffer.concat([Buffer.from(head), envelopeJson(event), Buffer.from('\n\n')])
  frames.set(event, frame)
  return frame
}

/** Node keeps what the client sent for as long as the response is open. Nobody reads it any more. */
function forgetHeaders({ req }: ServerResponse): void {
  req.rawHeaders.length = 0
  req.headers = {}
}

class SseReader implements Reader, Beating, Backlogged, Watched {
  #reply: FastifyReply | undefined
  #raw: ServerResponse | undefined
  readonly #shared: Shared
  #position: Position | undefined
  #subscription: Subscription | undefined
  #leaveHeartbeats: (() => void) | undefined
  #leaveWatch: (() => void) | undefined
  #release: (() => void) | undefined
  readonly #principal: Principal

  constructor(reply: FastifyReply, principal: Principal, shared: Shared) {
    this.#reply = reply
    this.#principal = principal
    this.#shared = shared
  }

  started(position: Position, subscription: Subscription): void {
    this.#position = position
    this.#subscription = subscription
  }

  event(event: Event): void {
    this.open()
    this.#write(frameOf(event))
  }

  drained(): Promise<void> {
    return this.#raw ? drained(this.#raw) : Promise.resolve()
  }

  ended(reason: EndReason): void {
    // Before anything was said, 204 tells EventSource not to come back.
    if (reason === 'settled' && this.#reply) {
      const reply = this.#reply
      this.#reply = undefined
      void reply.code(204).send()
    }
    // It says where reading started, and then ends: whoever comes back is told what is gone.
    if (reason === 'gone') this.open()
    this.close()
  }

  /** Says hello, unless that is done or there is nothing to stay for. */
  open(): void {
    const reply = this.#reply
    if (!reply || !this.#position) return
    this.#reply = undefined
    reply.hijack()
    const { raw } = reply
    this.#raw = raw
    raw.once('close', () => this.#gone())
    if (raw.destroyed) {
      this.#gone()
      return
    }
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) raw.setHeader(name, value)
    }
    raw.writeHead(200, HEADERS)
    forgetHeaders(raw)
    const { cursor, recovered } = this.#position
    const hello: Hello = { cursor: formatCursor(cursor), recovered }
    this.#position = undefined
    this.#shared.open.add(this)
    this.#shared.context.connections('sse', 1)
    this.#leaveHeartbeats = this.#shared.heartbeats.add(this)
    this.#leaveWatch = this.#shared.deadPeers.add(this)
    // Whoever is not let in any more is told so with 401 when he comes back.
    this.#release = this.#shared.context.authorizations.hold(this.#principal, () => this.#end())
    const data = JSON.stringify(hello)
    this.#write(`retry: ${RETRY_MS}\nevent: hello\nid: ${hello.cursor}\ndata: ${data}\n\n`)
    // It was let in before the stop began.
    if (this.#shared.context.draining.aborted) this.depart()
  }

  beat(): void {
    // Whoever has not taken what is there needs no more of it.
    if (this.backlog() === 0) this.#raw?.write(COMMENT)
  }

  backlog(): number {
    return this.#raw?.writableLength ?? 0
  }

  cut(): void {
    this.#raw?.destroy()
  }

  get socket(): Socket | null | undefined {
    return this.#raw?.socket
  }

  lost(): void {
    this.#raw?.destroy()
  }

  close(): void {
    this.#raw?.end()
  }

  /** Says when to come back, and ends. Whoever does not take it is cut. */
  depart(): void {
    const raw = this.#raw
    if (!raw || raw.writableEnded) return
    this.#write(`retry: ${MIN_RETURN_MS + retryAfterMs()}\n\n`)
    this.#end()
  }

  /** Ends, and cuts whoever does not take what is there. */
  #end(): void {
    const raw = this.#raw
    if (!raw || raw.writableEnded) return
    this.#subscription?.end('left')
    raw.end()
    raw.once(
      'close',
      this.#shared.context.clock.after(CLOSE_MS, () => raw.destroy()),
    )
  }

  #write(frame: Buffer | string): void {
    const raw = this.#raw
    if (!raw || raw.destroyed || raw.writableEnded) return
    raw.write(frame)
    this.#shared.backlogs.wrote(this, Buffer.byteLength(frame))
  }

  #gone(): void {
    this.#raw = undefined
    this.#leaveHeartbeats?.()
    this.#leaveWatch?.()
    this.#release?.()
    this.#shared.backlogs.forget(this)
    if (this.#shared.open.delete(this)) this.#shared.context.connections('sse', -1)
    this.#subscription?.end('left')
  }
}

import { randomUUID } from 'node:crypto'
import { InitializeRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { invalid } from '../../core/errors.ts'
import type { McpSession, McpSessionStore } from '../../core/mcp-session.ts'
import { type Principal, principalKey } from '../../core/principal.ts'
import { Rounds } from '../../core/rounds.ts'
import { parse } from '../../protocol/fields.ts'
import { type Connection, carry } from './connection.ts'
import { LiveSession } from './live-session.ts'
import type { McpParts } from './parts.ts'

/** A session that nobody used for so long is made again from its row when it is used. */
const IDLE_MS = 300_000
const LOOK_MS = 60_000
/** Sessions that one process holds; beyond, those go that are idle for a while. */
const MAX_LIVE = 1_000
/** As long as whoever had a session made may take to begin with it. */
const FRESH_MS = 10_000
/** What a client says of itself when it begins is kept with each of its sessions. */
const MAX_INITIALIZE_BYTES = 32 * 1024

/** A session that is held until its response is written. */
interface Entered {
  readonly session: LiveSession
  leave(): void
}

const isSame = ({ principal }: LiveSession, one: Principal): boolean =>
  principal.tenant === one.tenant && principalKey(principal) === principalKey(one)

const INTERNAL_URL = 'http://loopgate.invalid/mcp'

/**
 * The sessions of clients up to revision 2025-11-25. Each is a row; what a process holds of it can be
 * made again by replaying its `initialize`, so that a restart, or another process, loses none.
 */
export class McpSessions {
  readonly #parts: McpParts
  readonly #store: McpSessionStore
  readonly #maxLive: number
  readonly #live = new Map<string, LiveSession>()
  /** Those that are being made again; whoever asks meanwhile waits for the same one. */
  readonly #making = new Map<string, Promise<LiveSession>>()
  readonly #rounds: Rounds<LiveSession>

  constructor(parts: McpParts, store: McpSessionStore, maxLive: number = MAX_LIVE) {
    this.#parts = parts
    this.#store = store
    this.#maxLive = maxLive
    this.#rounds = new Rounds(parts.context.clock, LOOK_MS, () => this.#sweep(IDLE_MS))
  }

  /** Answers `initialize` with a new session. `send` resolves when the response is written. */
  async begin<Sent>(
    connection: Connection,
    request: Request,
    body: { params?: object },
    send: (response: Response) => Promise<Sent>,
  ): Promise<Sent> {
    const { principal } = connection
    parse(InitializeRequestSchema, body)
    if (Buffer.byteLength(JSON.stringify(body.params ?? {})) > MAX_INITIALIZE_BYTES) {
      throw invalid('/params', `must be at most ${MAX_INITIALIZE_BYTES / 1024} KiB of JSON`)
    }
    const stored: McpSession = {
      id: randomUUID(),
      initialize: body.params ?? {},
      subscriptions: [],
    }
    let failure: unknown
    const session = new LiveSession(stored, principal, this.#parts, this.#store, async () => {
      // Before the client is told its id. What fails here the SDK would answer in its own words.
      await this.#store.create(principal, stored).catch((error: unknown) => {
        failure = error
      })
    })
    await session.connect()
    const options = { parsedBody: body, authInfo: carry(connection) }
    const leave = session.enter()
    try {
      const response = await session.transport.handleRequest(request, options)
      if (failure === undefined && session.transport.sessionId) this.#hold(stored.id, session)
      else await session.close()
      if (failure !== undefined) throw failure
      return await send(response)
    } finally {
      leave()
    }
  }

  /**
   * The session of this id, if it is this principal's. Undefined also for one that was ended: the
   * client then has to begin anew.
   */
  async enter({ principal }: Connection, id: string): Promise<Entered | undefined> {
    for (;;) {
      // Every time: it may have been ended in another process.
      const stored = await this.#store.find(principal, id)
      const held = this.#live.get(id)
      if (!stored) {
        if (held && isSame(held, principal)) await this.#drop(held)
        return undefined
      }
      const session = held ?? (await (this.#making.get(id) ?? this.#make(principal, stored)))
      if (this.#live.get(id) === session) return toEntered(session)
    }
  }

  async end(session: LiveSession): Promise<void> {
    // First, so that nobody who comes meanwhile makes it again.
    await this.#store.delete(session.id)
    await this.#drop(session)
  }

  async #drop(session: LiveSession): Promise<void> {
    this.#live.delete(session.id)
    this.#rounds.members.delete(session)
    await session.close()
  }

  async close(): Promise<void> {
    this.#rounds.stop()
    await Promise.allSettled(this.#making.values())
    const all = [...this.#live.values()]
    this.#live.clear()
    await Promise.all(all.map((session) => session.close()))
  }

  #make(principal: Principal, stored: McpSession): Promise<LiveSession> {
    const making = this.#replay(principal, stored)
      .then((session) => {
        this.#hold(stored.id, session)
        return session
      })
      .finally(() => this.#making.delete(stored.id))
    this.#making.set(stored.id, making)
    return making
  }

  async #replay(principal: Principal, stored: McpSession): Promise<LiveSession> {
    const session = new LiveSession(stored, principal, this.#parts, this.#store)
    await session.connect()
    const headers = {
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
    }
    const replayed = await session.transport.handleRequest(
      new Request(INTERNAL_URL, { method: 'POST', headers }),
      {
        parsedBody: {
          jsonrpc: '2.0',
          id: `replay-${stored.id}`,
          method: 'initialize',
          params: stored.initialize,
        },
      },
    )
    // Its answer was given long ago; read to the end, so that it is written before what follows.
    await replayed.text()
    try {
      await session.resume()
      return session
    } catch (error) {
      await session.close()
      throw error
    }
  }

  #hold(id: string, session: LiveSession): void {
    // Before the new one is among them, which nobody uses yet.
    if (this.#live.size >= this.#maxLive) void this.#sweep(FRESH_MS)
    this.#live.set(id, session)
    this.#rounds.add(session)
  }

  /** Whoever enters a session does so in the tick in which he finds it, so that none is taken from him. */
  async #sweep(idleMs: number): Promise<void> {
    const now = this.#parts.context.clock.now()
    const idle = [...this.#live.values()].filter(
      (session) => session.isIdle && now - session.usedAt >= idleMs,
    )
    for (const session of idle) {
      this.#live.delete(session.id)
      this.#rounds.members.delete(session)
    }
    await Promise.allSettled(idle.map((session) => session.close()))
  }
}

const toEntered = (session: LiveSession): Entered => ({ session, leave: session.enter() })

import { randomUUID } from 'node:crypto'
import type { McpSession, McpSessionStore } from '../../core/mcp-session.ts'
import { type Principal, principalKey } from '../../core/principal.ts'
import { Rounds } from '../../core/rounds.ts'
import { checkJson } from '../../protocol/json.ts'
import { type Connection, carry } from './connection.ts'
import { LiveSession } from './live-session.ts'
import type { McpParts } from './parts.ts'

/** A session that nobody used for so long is made again from its row when it is used. */
const IDLE_MS = 300_000
const LOOK_MS = 60_000
/** Sessions that one process holds; beyond, those that are idle go at once. */
const MAX_LIVE = 1_000

const isSame = ({ principal }: LiveSession, one: Principal): boolean =>
  principal.tenant === one.tenant && principalKey(principal) === principalKey(one)

const INTERNAL_URL = 'http://loopgate.invalid/mcp'

interface Held {
  readonly id: string
  readonly session: LiveSession
}

/**
 * The sessions of clients up to revision 2025-11-25. Each is a row; what a process holds of it can be
 * made again by replaying its `initialize`, so that a restart, or another process, loses none.
 */
export class McpSessions {
  readonly #parts: McpParts
  readonly #store: McpSessionStore
  readonly #live = new Map<string, Promise<LiveSession | undefined>>()
  readonly #held: Rounds<Held>

  constructor(parts: McpParts, store: McpSessionStore) {
    this.#parts = parts
    this.#store = store
    this.#held = new Rounds(parts.context.clock, LOOK_MS, () => this.#sweep(IDLE_MS))
  }

  /** Answers `initialize` with a new session. */
  async begin(
    connection: Connection,
    request: Request,
    body: { params?: object },
  ): Promise<Response> {
    const { principal } = connection
    checkJson(body)
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
    const response = await session.transport.handleRequest(request, options)
    if (failure !== undefined || !session.transport.sessionId) await session.close()
    else this.#hold(stored.id, session)
    if (failure !== undefined) throw failure
    return response
  }

  /**
   * The session of this id, if it is this principal's. Undefined also for one that was ended: the
   * client then has to begin anew.
   */
  async find({ principal }: Connection, id: string): Promise<LiveSession | undefined> {
    const live = await this.#live.get(id)
    if (live) return isSame(live, principal) ? live : undefined
    const stored = await this.#store.find(principal, id)
    if (!stored) return undefined
    // Whoever asks meanwhile waits for the same one.
    const known = this.#live.get(stored.id)
    if (known) return known
    const making = this.#make(principal, stored).catch((error: unknown) => {
      this.#live.delete(stored.id)
      throw error
    })
    this.#live.set(stored.id, making)
    const session = await making
    this.#hold(stored.id, session)
    return session
  }

  async end(session: LiveSession): Promise<void> {
    this.#live.delete(session.id)
    await this.#store.delete(session.id)
  }

  async close(): Promise<void> {
    this.#held.stop()
    const all = await Promise.allSettled(this.#live.values())
    this.#live.clear()
    await Promise.all(all.map((one) => one.status === 'fulfilled' && one.value?.close()))
  }

  async #make(principal: Connection['principal'], stored: McpSession): Promise<LiveSession> {
    const session = new LiveSession(stored, principal, this.#parts, this.#store)
    await session.connect()
    const replayed = await session.transport.handleRequest(
      new Request(INTERNAL_URL, {
        method: 'POST',
        headers: {
          accept: 'application/json, text/event-stream',
          'content-type': 'application/json',
        },
      }),
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
    await session.resume()
    return session
  }

  #hold(id: string, session: LiveSession): void {
    this.#live.set(id, Promise.resolve(session))
    this.#held.add({ id, session })
    if (this.#held.members.size > MAX_LIVE) void this.#sweep(0)
  }

  async #sweep(idleMs: number): Promise<void> {
    const now = this.#parts.context.clock.now()
    for (const held of [...this.#held.members]) {
      if (!held.session.isIdle || now - held.session.usedAt < idleMs) continue
      this.#held.members.delete(held)
      if ((await this.#live.get(held.id)) === held.session) this.#live.delete(held.id)
      await held.session.close()
    }
  }
}

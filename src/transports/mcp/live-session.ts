import { randomInt } from 'node:crypto'
import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import {
  CancelledNotificationSchema,
  type JSONRPCMessage,
  JSONRPCRequestSchema,
  type RequestId,
} from '@modelcontextprotocol/sdk/types.js'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/sdk/validation/ajv'
import { invalid, LoopgateError } from '../../core/errors.ts'
import type { McpSession, McpSessionStore } from '../../core/mcp-session.ts'
import type { Principal } from '../../core/principal.ts'
import type { Subscription } from '../../core/subscription.ts'
import { INVALID_REQUEST } from './codes.ts'
import type { CarriedAuth } from './connection.ts'
import { CAPABILITIES_2025, INSTRUCTIONS, serverInfo } from './discovery.ts'
import { refusal } from './json-rpc.ts'
import type { McpParts } from './parts.ts'
import { follow, MAX_FOLLOWED, requestAt } from './resources.ts'
import { handleRequests } from './revision-2025.ts'

interface Followed {
  readonly subscription: Promise<Subscription>
  /** Nothing changes any more. It stays, because the client may not have been told yet. */
  isOver: boolean
}

/** Made once: each takes 18 KB. It checks what people at clients fill into forms. */
const jsonSchemaValidator = new AjvJsonSchemaValidator()

/**
 * A session of a client as one process has it: the SDK's server and transport, which carry nothing
 * that can not be made again from the stored session.
 */
export class LiveSession {
  readonly transport: WebStandardStreamableHTTPServerTransport
  readonly principal: Principal
  readonly #server: Server
  readonly #parts: McpParts
  readonly #store: McpSessionStore
  readonly #stored: McpSession
  readonly #followed = new Map<string, Followed>()
  /** Ids of requests that are not answered yet, each with those that came in one POST with it. */
  readonly #answering = new Map<RequestId, readonly RequestId[]>()
  /**
   * The SDK numbers what it asks the client from 0, also when the session is made again, and an answer
   * says nothing but the number. So ours are counted from here, where no earlier ones are.
   */
  readonly #firstAsked = randomInt(2 ** 47)
  #open = 0
  usedAt: number

  constructor(
    session: McpSession,
    principal: Principal,
    parts: McpParts,
    store: McpSessionStore,
    onInitialized?: () => Promise<void>,
  ) {
    this.principal = principal
    this.#parts = parts
    this.#store = store
    this.#stored = session
    this.usedAt = parts.context.clock.now()
    this.transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => session.id,
      ...(onInitialized && { onsessioninitialized: onInitialized }),
    })
    this.#server = new Server(serverInfo(parts.version), {
      capabilities: CAPABILITIES_2025,
      instructions: INSTRUCTIONS,
      jsonSchemaValidator,
    })
    this.#server.onerror = (error) => parts.context.logger.debug({ err: error }, 'an MCP message')
    handleRequests(this.#server, this, parts)
  }

  get id(): string {
    return this.transport.sessionId ?? ''
  }

  /** Whether nothing of it is under way, so that it can be made again when it is needed. */
  get isIdle(): boolean {
    return this.#open === 0
  }

  async connect(): Promise<void> {
    const { transport } = this
    await this.#server.connect(transport)
    const { onmessage, send } = transport
    transport.send = (message, options) => {
      if (!('method' in message)) this.#answering.delete(message.id as RequestId)
      return send.call(transport, toClient(message, this.#firstAsked), options)
    }
    transport.onmessage = (message, extra) => {
      onmessage?.(fromClient(message, this.#firstAsked), extra)
      const cancelled = CancelledNotificationSchema.safeParse(message).data?.params.requestId
      // After the SDK has taken notice. It ignores the ids 0 and '', so we must, too.
      if (cancelled) setImmediate(() => this.#cancelled(cancelled))
    }
  }

  /**
   * Answers one HTTP request. Two requests of one id can not be told apart in their answers: the SDK
   * would give the second one the answer of the first.
   */
  async handle(request: Request, parsedBody: unknown, authInfo: CarriedAuth): Promise<Response> {
    const ids = requestIdsOf(parsedBody)
    if (new Set(ids).size < ids.length || ids.some((id) => this.#answering.has(id))) {
      return refusal(
        400,
        INVALID_REQUEST,
        'Invalid Request: a request of this id is not answered yet',
      )
    }
    for (const id of ids) this.#answering.set(id, ids)
    const response = await this.transport.handleRequest(request, { parsedBody, authInfo })
    // None of them was taken.
    if (!response.ok) for (const id of ids) this.#answering.delete(id)
    return response
  }

  /**
   * The SDK answers nothing to a request that was cancelled, and leaves its stream open. The answer
   * that finds no stream lets it forget the request.
   */
  #cancelled(id: RequestId): void {
    const together = this.#answering.get(id)
    if (!together) return
    const isLast = together.every((one) => one === id || !this.#answering.has(one))
    if (isLast) this.transport.closeSSEStream(id)
    this.transport.send({ jsonrpc: '2.0', id, result: {} }).catch(() => undefined)
  }

  /** Follows what it followed before, as far as that is still kept. */
  async resume(): Promise<void> {
    for (const uri of this.#stored.subscriptions) {
      await this.#follow(uri).catch((error: unknown) => {
        const isGone = error instanceof LoopgateError && error.code === 'REQUEST_NOT_FOUND'
        if (!isGone) throw error
      })
    }
  }

  /** An HTTP exchange begins. Returns what says that its response is written. */
  enter(): () => void {
    this.#open++
    return () => {
      this.#open--
      this.usedAt = this.#parts.context.clock.now()
    }
  }

  /** @throws {LoopgateError} REQUEST_NOT_FOUND; INVALID_INPUT when it follows too many. */
  async subscribe(uri: string): Promise<void> {
    const followed = this.#followed.get(uri)
    if (followed) {
      await followed.subscription
      if (followed.isOver) this.#changed(uri)
      return
    }
    this.#makeRoom()
    await this.#follow(uri)
    await this.#save()
  }

  async unsubscribe(uri: string): Promise<void> {
    const followed = this.#followed.get(uri)
    if (!followed) return
    this.#followed.delete(uri)
    leave(followed)
    await this.#save()
  }

  /** The standing stream is open: what changed while there was none is told now. */
  opened(): void {
    for (const uri of this.#followed.keys()) this.#changed(uri)
  }

  async close(): Promise<void> {
    for (const followed of this.#followed.values()) leave(followed)
    await this.#server.close()
  }

  #makeRoom(): void {
    if (this.#followed.size < MAX_FOLLOWED) return
    const over = [...this.#followed].find(([, { isOver }]) => isOver)
    if (!over)
      throw invalid(
        '/uri',
        `is one too many: a session follows at most ${MAX_FOLLOWED} open requests`,
      )
    this.#followed.delete(over[0])
  }

  async #follow(uri: string): Promise<void> {
    const followed: Followed = {
      isOver: false,
      subscription: this.#subscription(uri, () => {
        followed.isOver = true
      }),
    }
    // Before it is waited for: whoever subscribes meanwhile waits for the same one.
    this.#followed.set(uri, followed)
    try {
      await followed.subscription
    } catch (error) {
      if (this.#followed.get(uri) === followed) this.#followed.delete(uri)
      throw error
    }
  }

  async #subscription(uri: string, ended: () => void): Promise<Subscription> {
    const { hub } = this.#parts.context
    const request = await requestAt(hub, this.principal, uri)
    const changed = () => this.#changed(uri)
    const subscription = await follow(hub, this.principal, request, { changed, ended })
    // It may have ended after the client looked, and before this.
    if (request.state.status !== 'pending') changed()
    return subscription
  }

  #save(): Promise<void> {
    return this.#store.update(this.id, [...this.#followed.keys()])
  }

  #changed(uri: string): void {
    this.#server
      .sendResourceUpdated({ uri })
      .catch((error: unknown) =>
        this.#parts.context.logger.debug({ err: error }, 'an MCP notification'),
      )
  }
}

/** What we ask the client, and call off, by the number that it knows. */
function toClient(message: JSONRPCMessage, first: number): JSONRPCMessage {
  if (!('method' in message)) return message
  if ('id' in message) return { ...message, id: Number(message.id) + first }
  const cancelled = CancelledNotificationSchema.safeParse(message).data?.params.requestId
  if (cancelled === undefined) return message
  return { ...message, params: { ...message.params, requestId: Number(cancelled) + first } }
}

/** What the client answers, by the number that the SDK knows. */
const fromClient = (message: JSONRPCMessage, first: number): JSONRPCMessage =>
  'method' in message || message.id === undefined
    ? message
    : { ...message, id: Number(message.id) - first }

function requestIdsOf(body: unknown): RequestId[] {
  const messages: unknown[] = Array.isArray(body) ? body : [body]
  return messages.flatMap((message) => JSONRPCRequestSchema.safeParse(message).data?.id ?? [])
}

/** Whoever asked for one that could not be followed was told so. */
const leave = ({ subscription }: Followed): void => {
  subscription.then((followed) => followed.end('left')).catch(() => undefined)
}

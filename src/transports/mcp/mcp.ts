import { isJsonContentType, isLegacyRequest } from '@modelcontextprotocol/server'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import * as z from 'zod'
import { LoopgateError } from '../../core/errors.ts'
import { id, parse } from '../../protocol/fields.ts'
import { decodeJson } from '../../protocol/json.ts'
import { toProblem } from '../../protocol/problem.ts'
import { Backlogs } from '../backlog.ts'
import { DeadPeers } from '../dead-peers.ts'
import {
  authenticate,
  principalOf,
  type Transport,
  type TransportContext,
  type TransportDefinition,
} from '../transport.ts'
import { stillAuthorized, whileThere } from '../waiting.ts'
import { answerBare, bareCapabilities, isBare, toJsonRpcError } from './bare.ts'
import { SERVER_ERROR, SESSION_NOT_FOUND } from './codes.ts'
import { type Connection, carry } from './connection.ts'
import { refusal } from './json-rpc.ts'
import { LeftQuestions } from './left-questions.ts'
import type { McpParts } from './parts.ts'
import { serve2026 } from './revision-2026.ts'
import { McpSessions } from './sessions.ts'
import { Streams } from './streams.ts'
import { type Tool, toToolJson } from './tool.ts'
import { tools } from './tools.ts'

const PATH = '/mcp'

const NO_OAUTH =
  'Loopgate knows its clients by API keys and has no OAuth: give the client a valid key in the header ' +
  '"Authorization: Bearer <key>". A user of Loopgate makes keys with POST /api/user/apikeys.'

const address = z.object({ session_id: id.optional() })

/** MCP, with the tools of the registry. */
export const mcp: TransportDefinition = mcpWith(tools)

/** MCP with these tools. */
export function mcpWith(offered: readonly Tool[]): TransportDefinition {
  return { name: 'mcp', create: (context) => createMcp(context, offered) }
}

function createMcp(context: TransportContext, offered: readonly Tool[]): Transport {
  const { hub, callbacks, clock, defaults, logger, draining, version } = context
  const left = new LeftQuestions(clock)
  const parts: McpParts = {
    tools: offered,
    listed: offered.map(toToolJson),
    context: { hub, callbacks, clock, defaults, logger, draining, left },
    version,
  }
  const backlogs = new Backlogs(clock)
  const deadPeers = new DeadPeers(clock)
  const streams = new Streams({ context, backlogs, deadPeers })
  const sessions = new McpSessions(parts, context.mcpSessions)
  context.http.register((scope, _options, registered) => {
    acceptAnything(scope)
    scope.setErrorHandler((thrown: Error, request, reply) => {
      const error = context.refuse(thrown, request, reply)
      // What can not be read as a message is answered as one. Who is not let in gets what all get.
      if (error.code === 'INVALID_INPUT') {
        return reply.send({ jsonrpc: '2.0', error: toJsonRpcError(error), id: null })
      }
      return reply.type('application/problem+json').send(JSON.stringify(toProblem(error)))
    })
    addRoutes(scope, context, { parts, sessions, streams })
    registered()
  })
  return {
    name: 'mcp',
    close: async (spreadMs) => {
      await streams.close(spreadMs)
      await sessions.close()
      backlogs.stop()
      deadPeers.stop()
    },
  }
}

interface Served {
  readonly parts: McpParts
  readonly sessions: McpSessions
  readonly streams: Streams
}

function addRoutes(scope: FastifyInstance, context: TransportContext, served: Served): void {
  const { parts } = served
  const onRequest = authenticate(context.auth)
  const options = { onRequest, exposeHeadRoute: false }

  scope.post(PATH, options, async (request, reply) => {
    const connection = connect(context, request, reply)
    const { body } = request
    if (!isBare(body)) return serve(served, connection, request, reply)
    const answer = await answerBare(parts, connection, body)
    stillAuthorized(connection.gone)
    return answer
  })

  for (const method of ['GET', 'DELETE'] as const) {
    scope.route({
      ...options,
      method,
      url: PATH,
      handler: (request, reply) => serve(served, connect(context, request, reply), request, reply),
    })
  }

  scope.get('/mcp/tools', { onRequest }, () => ({
    result: { tools: parts.listed },
    id: 'tools-list',
  }))
  // Where a client without a key looks next (RFC 7591); it shows its user what it reads there.
  scope.post('/register', () => {
    throw new LoopgateError('NOT_FOUND', NO_OAUTH)
  })
  scope.get('/mcp/capabilities', { onRequest }, () => bareCapabilities(parts.version))
}

function connect(
  context: TransportContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Connection {
  const { session_id: sessionId } = parse(address, request.query)
  return { principal: principalOf(request), sessionId, gone: whileThere(context, reply) }
}

async function serve(
  { parts, sessions, streams }: Served,
  connection: Connection,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { body } = request
  const web = toWebRequest(request, connection.gone)
  if (!(await isLegacyRequest(web, body))) {
    const response = await serve2026(parts, connection, web, body)
    stillAuthorized(connection.gone)
    return streams.send(reply, response, methodOf(body) === 'subscriptions/listen')
  }
  if (isInitialize(body)) {
    return sessions.begin(connection, web, body, (response) => streams.send(reply, response))
  }
  const id = request.headers['mcp-session-id']?.toString()
  if (id === undefined) {
    return streams.send(
      reply,
      refusal(400, SERVER_ERROR, 'Bad Request: no Mcp-Session-Id; initialize first'),
    )
  }
  const entered = await sessions.enter(connection, id)
  if (!entered)
    return streams.send(
      reply,
      refusal(404, SESSION_NOT_FOUND, 'Session not found: initialize again'),
    )
  const { session, leave } = entered
  try {
    const response = await session.handle(web, body, carry(connection))
    if (request.method === 'DELETE' && response.ok) await sessions.end(session)
    if (request.method === 'GET' && response.ok) session.opened()
    return await streams.send(reply, response, request.method === 'GET')
  } finally {
    leave()
  }
}

const methodOf = (body: unknown): unknown =>
  typeof body === 'object' && body !== null && 'method' in body ? body.method : undefined

const isInitialize = (body: unknown): body is { method: 'initialize'; params?: object } =>
  methodOf(body) === 'initialize'

/** The body is parsed already, and goes beside it. */
function toWebRequest({ headers, method, url }: FastifyRequest, signal: AbortSignal): Request {
  const given = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name === 'content-length') continue
    given.set(name, Array.isArray(value) ? value.join(', ') : value)
  }
  return new Request(new URL(url, 'http://loopgate.invalid'), { method, headers: given, signal })
}

/**
 * Old clients send JSON under any content type. A page can do that, too, without asking; but it can
 * not leave out its Origin.
 */
function acceptAnything(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => {
    try {
      const { origin, 'content-type': type } = request.headers
      if (origin !== undefined && !isJsonContentType(type)) {
        throw new LoopgateError('UNSUPPORTED_MEDIA_TYPE')
      }
      // Some clients say that their DELETE has a JSON body, and send none.
      const isNothing = body.length === 0 && request.method !== 'POST'
      done(null, isNothing ? undefined : decodeJson(body as Buffer))
    } catch (error) {
      done(error as Error)
    }
  })
}

import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js'
import {
  CallToolRequestSchema,
  CancelTaskRequestSchema,
  ErrorCode,
  GetTaskPayloadRequestSchema,
  GetTaskRequestSchema,
  ListResourcesRequestSchema,
  ListResourceTemplatesRequestSchema,
  ListTasksRequestSchema,
  ListToolsRequestSchema,
  ReadResourceRequestSchema,
  type ServerNotification,
  type ServerRequest,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js'
import { LoopgateError } from '../../core/errors.ts'
import type { HitlRequest } from '../../core/request.ts'
import { toLoopgateError, toProblem } from '../../protocol/problem.ts'
import { awaitAnswer } from './asking.ts'
import { callIdOf } from './call-id.ts'
import { carried } from './connection.ts'
import { elicitation } from './elicitation.ts'
import type { LiveSession } from './live-session.ts'
import { viewResult } from './next-step.ts'
import { JsonRpcFailure, type McpParts } from './parts.ts'
import { requestIdOf, TEMPLATES, toContents, toResource } from './resources.ts'
import { POLL_MS, toTask } from './tasks.ts'
import { callTool, type Tool, type ToolCall, toToolJson, UnknownTool } from './tool.ts'

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>

/** Resources, "Error Handling", in the revisions up to 2025-11-25. */
const RESOURCE_NOT_FOUND = -32_002

/** Of a waiting tasks/result: until the request ends, which it does by itself. */
const UNTIL_SETTLED_SECONDS = 31 * 86_400

/** What the revisions up to 2025-11-25 ask for, over one session. */
export function handleRequests(server: Server, session: LiveSession, parts: McpParts): void {
  handleTools(server, session, parts)
  handleResources(server, session, parts)
  handleTasks(server, session, parts)
}

function handleTools(server: Server, session: LiveSession, parts: McpParts): void {
  const { tools, context } = parts
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: tools.map(toListed) }))

  server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
    const { name, arguments: input, task } = params
    if (task && tools.find((tool) => tool.name === name)?.canTakeLong === false) {
      throw new JsonRpcFailure(ErrorCode.MethodNotFound, `${name} makes no tasks`)
    }
    leaveWhenCancelled(session, extra)
    const call = callOf(server, session, extra, task !== undefined)
    const outcome = await callTool(tools, context, call, { name, input }).catch(refuseUnknown)
    if ('task' in outcome) return { task: toLegacyTask(outcome.task) }
    if (task) throw new JsonRpcFailure(ErrorCode.InvalidParams, outcome.content[0]?.text ?? '')
    return { ...outcome, content: [...outcome.content] }
  })
}

const toListed = (tool: Tool) => ({
  ...toToolJson(tool),
  ...(tool.canTakeLong && { execution: { taskSupport: 'optional' as const } }),
})

/**
 * The SDK answers nothing to a request that was cancelled, and leaves its stream open. The answer that
 * finds no stream lets it forget the request.
 */
function leaveWhenCancelled({ transport }: LiveSession, { signal, requestId }: Extra): void {
  signal.addEventListener('abort', () => {
    transport.closeSSEStream(requestId)
    transport.send({ jsonrpc: '2.0', id: requestId, result: {} }).catch(() => undefined)
  })
}

function callOf(
  server: Server,
  { principal }: LiveSession,
  extra: Extra,
  isTaskWanted: boolean,
): ToolCall {
  const { sessionId, gone } = carried(extra.authInfo)
  const { progressToken } = extra._meta ?? {}
  return {
    principal,
    sessionId,
    callId: callIdOf(extra._meta),
    task: isTaskWanted ? 'wanted' : 'none',
    signal: AbortSignal.any([extra.signal, gone]),
    progress(progress, total, message) {
      if (progressToken === undefined) return
      const params = { progressToken, progress, total, message }
      void extra
        .sendNotification({ method: 'notifications/progress', params })
        .catch(() => undefined)
    },
    inline: elicitation(server, extra.requestId),
  }
}

function refuseUnknown(error: unknown): never {
  if (error instanceof UnknownTool) throw new JsonRpcFailure(ErrorCode.InvalidParams, error.message)
  throw error
}

function handleResources(server: Server, session: LiveSession, { context }: McpParts): void {
  const { hub } = context
  const { principal } = session
  server.setRequestHandler(ListResourcesRequestSchema, async () => ({
    resources: (await hub.listPending(principal)).map(toResource),
  }))
  server.setRequestHandler(ListResourceTemplatesRequestSchema, () => ({
    resourceTemplates: TEMPLATES,
  }))
  server.setRequestHandler(ReadResourceRequestSchema, async ({ params: { uri } }) =>
    toContents(uri, await hub.get(principal, requestIdOf(uri) ?? '').catch(noResource(uri))),
  )
  server.setRequestHandler(SubscribeRequestSchema, async ({ params: { uri } }) => {
    await session.subscribe(uri).catch(noResource(uri))
    return {}
  })
  server.setRequestHandler(UnsubscribeRequestSchema, async ({ params: { uri } }) => {
    await session.unsubscribe(uri)
    return {}
  })
}

const noResource =
  (uri: string) =>
  (error: unknown): never => {
    throw isUnknown(error)
      ? new JsonRpcFailure(RESOURCE_NOT_FOUND, 'Resource not found', { uri })
      : toMcpError(error)
  }

const isUnknown = (error: unknown): boolean =>
  error instanceof LoopgateError && error.code === 'REQUEST_NOT_FOUND'

function toMcpError(thrown: unknown): JsonRpcFailure {
  const error = toLoopgateError(thrown)
  const isTheirs = error.status < 500
  const code = isTheirs ? ErrorCode.InvalidParams : ErrorCode.InternalError
  return new JsonRpcFailure(code, error.message, toProblem(error))
}

const toLegacyTask = (request: HitlRequest) => ({
  ...toTask(request),
  // Kept as long as the request is.
  ttl: null,
  pollInterval: POLL_MS,
})

/** Tasks of 2025-11-25: the id of a task is that of the request. */
function handleTasks(server: Server, session: LiveSession, { context }: McpParts): void {
  const { hub } = context
  const { principal } = session
  const find = (taskId: string) =>
    hub.get(principal, taskId).catch((error: unknown) => {
      throw isUnknown(error)
        ? new JsonRpcFailure(ErrorCode.InvalidParams, 'there is no task of this id')
        : toMcpError(error)
    })
  server.setRequestHandler(GetTaskRequestSchema, async ({ params: { taskId } }) =>
    toLegacyTask(await find(taskId)),
  )
  server.setRequestHandler(ListTasksRequestSchema, async () => ({
    tasks: (await hub.listPending(principal)).map(toLegacyTask),
  }))
  server.setRequestHandler(GetTaskPayloadRequestSchema, async ({ params: { taskId } }, extra) => {
    leaveWhenCancelled(session, extra)
    const request = await find(taskId)
    const call = { ...callOf(server, session, extra, false), inline: undefined }
    const asked = { request, body: undefined }
    const settled = await awaitAnswer(context, call, asked, UNTIL_SETTLED_SECONDS)
    if (settled.state.status === 'pending') {
      throw new JsonRpcFailure(ErrorCode.ConnectionClosed, 'the server is stopping; ask again')
    }
    const result = await viewResult(context, settled)
    const _meta = { 'io.modelcontextprotocol/related-task': { taskId } }
    return { ...result, content: [...result.content], _meta }
  })
  server.setRequestHandler(CancelTaskRequestSchema, async ({ params: { taskId } }) => {
    await find(taskId)
    return toLegacyTask(
      await hub.cancel(principal, taskId).catch((error: unknown) => {
        throw toMcpError(error)
      }),
    )
  })
}

import type { Server } from '@modelcontextprotocol/sdk/server/index.js'
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js'
import {
  CallToolRequestSchema,
  CancelTaskRequestSchema,
  GetTaskPayloadRequestSchema,
  GetTaskRequestSchema,
  ListResourcesRequestSchema,
  ListResourceTemplatesRequestSchema,
  ListTasksRequestSchema,
  ListToolsRequestSchema,
  ReadResourceRequestSchema,
  type RequestId,
  type ServerNotification,
  type ServerRequest,
  type ServerResult,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js'
import * as z from 'zod'
import { LoopgateError } from '../../core/errors.ts'
import type { HitlRequest } from '../../core/request.ts'
import { awaitAnswer } from './asking.ts'
import { toCall } from './call.ts'
import { INVALID_PARAMS, METHOD_NOT_FOUND, RESOURCE_NOT_FOUND, SERVER_ERROR } from './codes.ts'
import { carried } from './connection.ts'
import { toAnswer, toForm } from './form.ts'
import { JsonRpcFailure, toFailure } from './json-rpc.ts'
import type { LiveSession } from './live-session.ts'
import { viewResult } from './next-step.ts'
import type { McpParts } from './parts.ts'
import { requestAt, TEMPLATES, toContents, toResource } from './resources.ts'
import { POLL_MS, toTask } from './tasks.ts'
import { callTool, type ToolCall } from './tool.ts'

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>

/** The SDK hands it to setTimeout, which fires at once for more. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1

/** Of a waiting tasks/result: until the request ends, which it does by itself. */
const UNTIL_SETTLED_SECONDS = 31 * 86_400

/** What the revisions up to 2025-11-25 ask for, over one session. */
export function handleRequests(server: Server, session: LiveSession, parts: McpParts): void {
  handleTools(server, parts)
  handleResources(server, session, parts)
  handleTasks(server, session, parts)
}

type Requests = z.ZodObject<{ readonly method: z.ZodLiteral<string> }>

/** As the SDK does it, but what is wrong with the parameters is not an error of ours (INVALID_PARAMS). */
function handle<Schema extends Requests>(
  server: Server,
  schema: Schema,
  answer: (request: z.output<Schema>, extra: Extra) => ServerResult | Promise<ServerResult>,
): void {
  const { method } = schema.shape
  server.setRequestHandler(z.looseObject({ method }), (request, extra) => {
    const { data, error } = schema.safeParse(request)
    if (error) throw new JsonRpcFailure(INVALID_PARAMS, z.prettifyError(error))
    return answer(data, extra)
  })
}

function handleTools(server: Server, parts: McpParts): void {
  const { tools, listed, context } = parts
  const long = new Set(tools.filter(({ canTakeLong }) => canTakeLong).map(({ name }) => name))
  const withTasks = listed.map((tool) => ({
    ...tool,
    ...(long.has(tool.name) && { execution: { taskSupport: 'optional' as const } }),
  }))
  handle(server, ListToolsRequestSchema, () => ({ tools: withTasks }))

  handle(server, CallToolRequestSchema, async ({ params }, extra) => {
    const { name, arguments: input, task } = params
    if (task && !long.has(name)) {
      throw new JsonRpcFailure(METHOD_NOT_FOUND, `${name} makes no tasks`)
    }
    const call = callOf(server, extra, task !== undefined)
    const result = await callTool(tools, context, call, { name, input })
    if ('task' in result) return { task: toLegacyTask(result.task) }
    if ('asks' in result) throw new Error('this revision asks beside, never between')
    // Only an error comes without a task here, and CreateTaskResult has no place for one.
    if (task) throw new JsonRpcFailure(INVALID_PARAMS, result.content[0]?.text ?? '')
    return { ...result, content: [...result.content] }
  })
}

function callOf(server: Server, extra: Extra, isTaskWanted: boolean): ToolCall {
  const sent = {
    meta: extra._meta,
    cancelled: extra.signal,
    client: server.getClientVersion(),
    notify: extra.sendNotification,
  }
  return {
    ...toCall(carried(extra.authInfo), sent),
    task: isTaskWanted ? 'wanted' : 'none',
    askBeside: elicitation(server, extra.requestId),
  }
}

/** Asks with a form of the client. Undefined when it shows none. */
function elicitation(server: Server, requestId: RequestId): ToolCall['askBeside'] {
  if (!server.getClientCapabilities()?.elicitation?.form) return undefined
  return async (request, signal) => {
    const options = { relatedRequestId: requestId, signal, timeout: MAX_TIMEOUT_MS }
    return toAnswer(request, await server.elicitInput(toForm(request), options))
  }
}

function handleResources(server: Server, session: LiveSession, { context }: McpParts): void {
  const { hub } = context
  const { principal } = session
  handle(server, ListResourcesRequestSchema, async () => ({
    resources: (await hub.listPending(principal)).map(toResource),
  }))
  handle(server, ListResourceTemplatesRequestSchema, () => ({
    resourceTemplates: TEMPLATES,
  }))
  handle(server, ReadResourceRequestSchema, async ({ params: { uri } }) => {
    const request = await requestAt(hub, principal, uri).catch(noResource(uri))
    return toContents(context, uri, request)
  })
  handle(server, SubscribeRequestSchema, async ({ params: { uri } }) => {
    await session.subscribe(uri).catch(noResource(uri))
    return {}
  })
  handle(server, UnsubscribeRequestSchema, async ({ params: { uri } }) => {
    await session.unsubscribe(uri)
    return {}
  })
}

const noResource =
  (uri: string) =>
  (error: unknown): never => {
    throw isUnknown(error)
      ? new JsonRpcFailure(RESOURCE_NOT_FOUND, 'Resource not found', { uri })
      : toFailure(error)
  }

const isUnknown = (error: unknown): boolean =>
  error instanceof LoopgateError && error.code === 'REQUEST_NOT_FOUND'

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
        ? new JsonRpcFailure(INVALID_PARAMS, 'there is no task of this id')
        : toFailure(error)
    })
  handle(server, GetTaskRequestSchema, async ({ params: { taskId } }) =>
    toLegacyTask(await find(taskId)),
  )
  handle(server, ListTasksRequestSchema, async () => ({
    tasks: (await hub.listPending(principal)).map(toLegacyTask),
  }))
  handle(server, GetTaskPayloadRequestSchema, async ({ params: { taskId } }, extra) => {
    const request = await find(taskId)
    const call = { ...callOf(server, extra, false), askBeside: undefined }
    const asked = { request, body: undefined }
    const settled = await awaitAnswer(context, call, asked, UNTIL_SETTLED_SECONDS)
    if (settled.state.status === 'pending') {
      throw new JsonRpcFailure(SERVER_ERROR, 'the server is stopping; ask again')
    }
    const result = viewResult(context, settled)
    const _meta = { 'io.modelcontextprotocol/related-task': { taskId } }
    return { ...result, content: [...result.content], _meta }
  })
  handle(server, CancelTaskRequestSchema, async ({ params: { taskId } }) => {
    await find(taskId)
    return toLegacyTask(
      await hub.cancel(principal, taskId).catch((error: unknown) => {
        throw toFailure(error)
      }),
    )
  })
}

import {
  CLIENT_CAPABILITIES_META_KEY,
  CLIENT_INFO_META_KEY,
  type ClientCapabilities,
  createMcpHandler,
  type Implementation,
  inputRequired,
  Server,
  type ServerContext,
  type ServerEventBus,
} from '@modelcontextprotocol/server'
import * as z from 'zod'
import { LoopgateError } from '../../core/errors.ts'
import type { HitlRequest } from '../../core/request.ts'
import type { Subscription } from '../../core/subscription.ts'
import { toCall } from './call.ts'
import { INVALID_PARAMS, MISSING_CAPABILITY } from './codes.ts'
import type { Connection } from './connection.ts'
import { CAPABILITIES_2026, INSTRUCTIONS, serverInfo, TASKS } from './discovery.ts'
import { ANSWER, toAnswer, toForm } from './form.ts'
import { JsonRpcFailure, toFailure } from './json-rpc.ts'
import { viewResult } from './next-step.ts'
import type { McpParts } from './parts.ts'
import { follow, MAX_FOLLOWED, requestAt, TEMPLATES, toContents, toResource } from './resources.ts'
import { POLL_MS, toTask } from './tasks.ts'
import { callTool, type Resumed, type ToolCall } from './tool.ts'

/** What is the same for everybody may be kept by whoever is in between. */
const LISTS = { ttlMs: 300_000, cacheScope: 'public' } as const

const taskParams = z.looseObject({ taskId: z.string() })
const anyResult = z.looseObject({})

/**
 * Revision 2026-07-28: no sessions, every request for itself. Whoever closes the response does not
 * wait any more; the question stays open, and the repeated call finds it.
 */
export function serve2026(
  parts: McpParts,
  connection: Connection,
  request: Request,
  body: unknown,
): Promise<Response> {
  const { named, bounded } = boundedListen(body)
  const handler = createMcpHandler(() => serverFor(parts, connection), {
    legacy: 'reject',
    // Some clients give up soon when there is no head, whatever comes after it.
    responseMode: isCall(body) ? 'sse' : 'auto',
    bus: busFor(parts, connection, named),
    onerror: (error) => parts.context.logger.debug({ err: error }, 'an MCP message'),
  })
  return handler.fetch(request, { parsedBody: bounded })
}

const isCall = (body: unknown): boolean =>
  z.object({ method: z.literal('tools/call') }).safeParse(body).success

function serverFor(parts: McpParts, connection: Connection): Server {
  const server = new Server(serverInfo(parts.version), {
    capabilities: CAPABILITIES_2026,
    instructions: INSTRUCTIONS,
    cacheHints: {
      'server/discover': LISTS,
      'tools/list': LISTS,
      'resources/templates/list': LISTS,
    },
  })
  handleTools(server, parts, connection)
  handleResources(server, parts, connection)
  handleTasks(server, parts, connection)
  return server
}

function handleTools(server: Server, parts: McpParts, connection: Connection): void {
  const { tools, listed, context } = parts
  server.setRequestHandler('tools/list', () => ({ tools: listed.map((tool) => ({ ...tool })) }))

  server.setRequestHandler('tools/call', async ({ params }, ctx) => {
    const { name, arguments: input } = params
    const call = await callOf(parts, connection, ctx)
    const result = await callTool(tools, context, call, { name, input })
    if ('task' in result) return toCreated(result.task)
    if ('asks' in result) return toInputRequired(result.asks)
    return { ...result, content: [...result.content] }
  })
}

/** CreateTaskResult of the extension, where tools/call has its result. */
const toCreated = (request: HitlRequest) => ({
  resultType: 'task',
  content: [],
  ...toModernTask(request),
})

const toInputRequired = (request: HitlRequest) =>
  inputRequired({
    inputRequests: { [ANSWER]: inputRequired.elicit(toForm(request)) },
    // Only an id, which finds nothing but what is one's own and the same question: it needs no trust.
    requestState: request.question.id,
  })

/** What the client says of itself with every request. */
function declared({ envelope }: ServerContext['mcpReq']) {
  const given = envelope as Readonly<Record<string, unknown>> | undefined
  return {
    capabilities: given?.[CLIENT_CAPABILITIES_META_KEY] as ClientCapabilities | undefined,
    client: given?.[CLIENT_INFO_META_KEY] as Implementation | undefined,
  }
}

async function callOf(
  { context }: McpParts,
  connection: Connection,
  { mcpReq }: ServerContext,
): Promise<ToolCall> {
  const { capabilities, client } = declared(mcpReq)
  const sent = {
    meta: mcpReq._meta,
    cancelled: mcpReq.signal,
    client,
    notify: mcpReq.notify,
  }
  return {
    ...toCall(connection, sent),
    task: capabilities?.extensions?.[TASKS] ? 'taken' : 'none',
    asksBetween: showsForms(capabilities?.elicitation),
    resumed: await resumedOf(context.hub, connection.principal, mcpReq),
  }
}

/** A client that says nothing of its kind shows forms (elicitation, "Capabilities"). */
const showsForms = (elicitation: ClientCapabilities['elicitation']): boolean =>
  elicitation !== undefined && (elicitation.form !== undefined || elicitation.url === undefined)

/** The question that an earlier round of this call asked, and what the person at the client said. */
async function resumedOf(
  hub: McpParts['context']['hub'],
  principal: Connection['principal'],
  { requestState, inputResponses }: ServerContext['mcpReq'],
): Promise<Resumed | undefined> {
  const id = requestState<string>()
  if (typeof id !== 'string') return undefined
  const request = await hub.get(principal, id).catch((error: unknown) => {
    throw error instanceof LoopgateError && error.code === 'REQUEST_NOT_FOUND'
      ? new JsonRpcFailure(INVALID_PARAMS, 'requestState is none of this server')
      : toFailure(error)
  })
  const response = inputResponses?.[ANSWER] as Record<string, unknown> | undefined
  return { request, answer: response && toAnswer(request, response) }
}

function handleResources(server: Server, { context }: McpParts, { principal }: Connection): void {
  const { hub } = context
  server.setRequestHandler('resources/list', async () => ({
    resources: (await hub.listPending(principal)).map(toResource),
  }))
  server.setRequestHandler('resources/templates/list', () => ({ resourceTemplates: TEMPLATES }))
  server.setRequestHandler('resources/read', async ({ params: { uri } }) => {
    const request = await requestAt(hub, principal, uri).catch((error: unknown) => {
      throw toFailure(error, { uri })
    })
    return toContents(context, uri, request)
  })
}

const toModernTask = (request: HitlRequest) => ({
  ...toTask(request),
  // Kept as long as the request is.
  ttlMs: null,
  pollIntervalMs: POLL_MS,
})

/** Tasks of the extension: the id of a task is that of the request. */
function handleTasks(server: Server, { context }: McpParts, { principal }: Connection): void {
  const { hub } = context
  const schemas = { params: taskParams, result: anyResult }
  const find = (taskId: string) =>
    hub.get(principal, taskId).catch((error: unknown) => {
      throw toFailure(error)
    })

  server.setRequestHandler('tasks/get', schemas, async ({ taskId }, ctx) => {
    requireTasks(ctx)
    const request = await find(taskId)
    const task = { resultType: 'complete', ...toModernTask(request) }
    if (task.status !== 'completed') return task
    return { ...task, result: { resultType: 'complete', ...viewResult(context, request) } }
  })
  // No task of ours asks its client for anything, so whatever comes is ignored, as the extension says.
  server.setRequestHandler('tasks/update', schemas, async ({ taskId }, ctx) => {
    requireTasks(ctx)
    await find(taskId)
    return { resultType: 'complete' }
  })
  server.setRequestHandler('tasks/cancel', schemas, async ({ taskId }, ctx) => {
    requireTasks(ctx)
    await find(taskId)
    // One that has ended stays as it is, and that is no error.
    await hub.cancel(principal, taskId).catch((error: unknown) => {
      const isOver = error instanceof LoopgateError && error.code === 'REQUEST_ALREADY_SETTLED'
      if (!isOver) throw toFailure(error)
    })
    return { resultType: 'complete' }
  })
}

function requireTasks({ mcpReq }: ServerContext): void {
  if (declared(mcpReq).capabilities?.extensions?.[TASKS]) return
  throw new JsonRpcFailure(MISSING_CAPABILITY, `this needs the client capability ${TASKS}`, {
    requiredCapabilities: { extensions: { [TASKS]: {} } },
  })
}

const listenParams = z.looseObject({
  method: z.literal('subscriptions/listen'),
  params: z.looseObject({
    notifications: z.looseObject({ resourceSubscriptions: z.array(z.string()) }),
  }),
})

/** The same request for no more than one stream may follow: the acknowledgement says what is honored. */
function boundedListen(body: unknown): { named: readonly string[]; bounded: unknown } {
  const { data } = listenParams.safeParse(body)
  if (!data) return { named: [], bounded: body }
  const { notifications } = data.params
  const named = [...new Set(notifications.resourceSubscriptions)].slice(0, MAX_FOLLOWED)
  const params = {
    ...data.params,
    notifications: { ...notifications, resourceSubscriptions: named },
  }
  return { named, bounded: { ...data, params } }
}

/** What this principal hears of: the changes of the resources that are named, if they are its own. */
function busFor(
  { context }: McpParts,
  { principal }: Connection,
  named: readonly string[],
): ServerEventBus {
  return {
    publish: () => undefined,
    subscribe(listener) {
      let isOver = false
      const open = new Set<Subscription>()
      const start = async (uri: string) => {
        const request = await requestAt(context.hub, principal, uri)
        const changed = () => listener({ kind: 'resource_updated', uri })
        const subscription = await follow(context.hub, principal, request, { changed })
        if (isOver) return subscription.end('left')
        open.add(subscription)
        // It may have ended after the client looked, and before this.
        if (request.state.status !== 'pending') changed()
      }
      // One after the other: a stream takes no more of the database at a time than a call does.
      const startAll = async () => {
        for (const uri of named) {
          if (isOver) return
          await start(uri).catch((error: unknown) =>
            context.logger.debug({ err: error }, 'not followed'),
          )
        }
      }
      void startAll()
      return () => {
        isOver = true
        for (const subscription of open) subscription.end('left')
      }
    },
  }
}

import {
  Client,
  StreamableHTTPClientTransport,
  type VersionNegotiationMode,
} from '@modelcontextprotocol/client'
import {
  type ClientSessionPortOptions,
  createTaskSessionFromClient,
  type RawClientDispatch,
  resultFromTaskOutcome,
} from '@modelcontextprotocol/ext-tasks/client'
import { EventSourceParserStream } from 'eventsource-parser/stream'
import { must } from '../report.ts'
import { type AgentKind, CLIENT, type Input, toldIn } from './agent.ts'
import { MODERN } from './client.ts'

/**
 * Questions as tasks, by the reference implementation of both generations: the call is answered with
 * a task at once, and the answer is its result.
 */
export const tasks: readonly AgentKind[] = [
  kind('2025-11-25', 'legacy', () => ({})),
  kind(MODERN, { pin: MODERN }, (url) => ({
    rawDispatch: dispatchTo(url),
    v2RequestFraming: { protocolVersion: MODERN, clientInfo: CLIENT, clientCapabilities: {} },
  })),
]

function kind(
  name: string,
  mode: VersionNegotiationMode,
  optionsFor: (url: string) => ClientSessionPortOptions,
): AgentKind {
  return {
    name: `@modelcontextprotocol/ext-tasks, ${name}`,
    async connect(url) {
      const client = new Client(CLIENT, { versionNegotiation: { mode } })
      await client.connect(new StreamableHTTPClientTransport(new URL(url)))
      const session = createTaskSessionFromClient(client, { endpointId: url, ...optionsFor(url) })
      let isFirst = true
      const settle = async (tool: string, input: Input) => {
        const call = await session.callTool(tool, input, {
          task: { preference: 'prefer' },
        })
        const told = toldIn(resultFromTaskOutcome((await call.settle()).outcome))
        // What is answered already needs no task; the first question of all is not.
        must(call.kind === 'task' || !isFirst, `${tool} was answered without a task`)
        // Whoever has the id of one has the other: that is how a task outlives its connection.
        must([undefined, told.request_id].includes(call.handle?.taskId), 'the task has another id')
        isFirst = false
        return told
      }
      let last: Promise<unknown> = Promise.resolve()
      return {
        tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
        call(tool, input) {
          // A session follows a task for one call at a time: a repeated one takes over when the first is lost.
          const before = last.catch(() => undefined)
          const call = before.then(() => settle(tool, input))
          last = call
          return call
        },
        async [Symbol.asyncDispose]() {
          await session.close()
          await client.close()
        },
      }
    },
  }
}

type Request = {
  readonly method: string
  readonly params?: { readonly name?: string }
}

/** Sends what the SDK's own codecs do not know, as the revision says: one POST for each request. */
function dispatchTo(url: string): RawClientDispatch {
  let id = 0
  return async (request, { signal, context } = {}) => {
    const { method, params } = request as Request
    const answer = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': MODERN,
        'mcp-method': method,
        ...(params?.name === undefined ? {} : { 'mcp-name': params.name }),
        ...context?.headers,
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: ++id, ...(request as object) }),
      ...(signal ? { signal } : {}),
    })
    const { result, error } = await responseIn(answer, id)
    return error === undefined ? { kind: 'result', result } : { kind: 'error', error }
  }
}

/** The response to a request: the body, or the one with its id among the events. */
async function responseIn(answer: Response, id: number) {
  if (!answer.headers.get('content-type')?.startsWith('text/event-stream')) return answer.json()
  const events = answer.body
    ?.pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream())
  for await (const { data } of events ?? []) {
    const message = JSON.parse(data)
    if (message.id === id) return message
  }
  throw new Error('the stream ended without the response')
}

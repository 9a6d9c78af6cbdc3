import { EventSourceParserStream } from 'eventsource-parser/stream'

/** MCP as it is on the wire, for what no client would send. */

type Headers = Readonly<Record<string, string>>

/** A response of JSON-RPC, whatever is in it. */
interface RpcAnswer {
  /** Of the HTTP response. */
  readonly status: number
  readonly id?: unknown
  readonly result?: Readonly<Record<string, unknown>>
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown }
}

/** A way to speak to a server, as one client. */
export interface McpLine {
  /** One request under this id; the response that comes to it. */
  request(method: string, params: object, id: unknown): Promise<RpcAnswer>
  /** A body as it is, with what the way has around it. */
  post(body: string, headers?: Headers): Promise<RpcAnswer>
}

interface McpWay {
  readonly name: string
  /** @param url of the server, with nothing or a query behind it */
  open(url: string, headers: Headers): Promise<McpLine>
}

const VERSION = '2026-07-28'
const META = 'io.modelcontextprotocol'

/** Every way there is. */
export const MCP_WAYS: readonly McpWay[] = [
  { name: '2025-11-25', open: openSession },
  { name: VERSION, open: openModern },
  { name: 'the bare form', open: openBare },
]

/** The text of a result, which is the same in each of them. */
export const textOf = ({ result }: RpcAnswer): string =>
  (result?.['content'] as readonly { readonly text: string }[] | undefined)?.[0]?.text ?? ''

/** The arguments of `tools/call`. */
export const calling = (name: string, input: object): object => ({ name, arguments: input })

export const INITIALIZE = {
  protocolVersion: '2025-11-25',
  capabilities: { elicitation: {} },
  clientInfo: { name: 'wire', version: '1' },
}

async function openSession(url: string, headers: Headers): Promise<McpLine> {
  const first = await send(url, headers, rpc('initialize', INITIALIZE, 'first'))
  const session = first.headers.get('mcp-session-id')
  if (session === null) throw new Error(`no session: ${await first.text()}`)
  await first.text()
  const own = { ...headers, 'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25' }
  return {
    request: async (method, params, id) => read(await send(url, own, rpc(method, params, id)), id),
    post: async (body, more) => read(await send(url, { ...own, ...more }, body)),
  }
}

async function openModern(url: string, headers: Headers): Promise<McpLine> {
  const own = { ...headers, 'mcp-protocol-version': VERSION }
  return {
    async request(method, params, id) {
      const { name, uri, taskId, _meta } = params as Record<string, string>
      const meta = modernMeta(_meta as unknown as object)
      const routing = { ...own, 'mcp-method': method, 'mcp-name': taskId ?? uri ?? name ?? '' }
      const body = rpc(method, { ...params, _meta: meta }, id)
      return read(await send(url, routing, body), id)
    },
    post: async (body, more) => read(await send(url, { ...own, ...more }, body)),
  }
}

/** What every request of the revision carries, for a client that can do all there is. */
export const modernMeta = (more: object = {}): object => ({
  [`${META}/protocolVersion`]: VERSION,
  [`${META}/clientInfo`]: { name: 'wire', version: '1' },
  [`${META}/clientCapabilities`]: { elicitation: { form: {} } },
  ...more,
})

/** A client that can follow tasks. */
export const WITH_TASKS = {
  [`${META}/clientCapabilities`]: {
    elicitation: { form: {} },
    extensions: { [`${META}/tasks`]: {} },
  },
}

async function openBare(url: string, headers: Headers): Promise<McpLine> {
  const post = async (body: string, more: Headers = {}) =>
    read(await send(url, { ...headers, ...more }, body))
  return { request: (method, params, id) => post(JSON.stringify({ method, params, id })), post }
}

const rpc = (method: string, params: object, id: unknown): string =>
  JSON.stringify({ jsonrpc: '2.0', id, method, params })

function mcpOf(server: string): URL {
  const url = new URL(server)
  url.pathname = '/mcp'
  return url
}

const send = (url: string, headers: Headers, body: string): Promise<Response> =>
  fetch(mcpOf(url), {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...headers,
    },
    body,
  })

/** The response to an id among all that came, or whatever came when there is none. */
async function read(answer: Response, id?: unknown): Promise<RpcAnswer> {
  const { status } = answer
  const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream')
  const messages = isStream ? await eventsIn(answer) : [await jsonIn(answer)]
  const found = messages.find((message) => id === undefined || message.id === id) ?? messages[0]
  return { ...found, status }
}

async function jsonIn(answer: Response): Promise<Omit<RpcAnswer, 'status'>> {
  const text = await answer.text()
  return text === '' ? {} : JSON.parse(text)
}

async function eventsIn({ body }: Response): Promise<Omit<RpcAnswer, 'status'>[]> {
  const messages: Omit<RpcAnswer, 'status'>[] = []
  const events = body
    ?.pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream())
  for await (const { data } of events ?? []) if (data !== '') messages.push(JSON.parse(data))
  return messages
}

import type { RequestView } from '../../src/protocol/types.ts'

/** MCP by hand: what the SDK's clients do not say, or do not let anybody say. */

const ACCEPTED = {
  accept: 'application/json, text/event-stream',
  'content-type': 'application/json',
}

export interface Message {
  readonly id?: unknown
  readonly method?: string
  readonly params?: Record<string, unknown>
  readonly result?: {
    readonly isError?: boolean
    readonly content?: readonly { readonly text: string }[]
    readonly structuredContent?: RequestView
  } & Record<string, unknown>
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown }
}

export interface Said {
  readonly status: number
  readonly headers: Headers
  /** The messages of the answer, whether it was a stream or JSON. */
  readonly messages: readonly Message[]
}

/** One POST, read to its end. */
export async function post(
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Said> {
  const response = await fetch(`${url}/mcp`, {
    method: 'POST',
    headers: { ...ACCEPTED, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  const text = await response.text()
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream')
  const lines = isStream ? text.split('\n').filter((line) => line.startsWith('data: ')) : [text]
  return { status: response.status, headers: response.headers, messages: toMessages(lines) }
}

export interface Opening {
  readonly headers?: Record<string, string>
  readonly capabilities?: object
  readonly clientInfo?: object
}

export const initialize = ({ capabilities = {}, clientInfo = {} }: Opening = {}) => ({
  ...{ jsonrpc: '2.0', id: 'init', method: 'initialize' },
  params: {
    protocolVersion: '2025-06-18',
    capabilities,
    clientInfo: { name: 'attacker', version: '1', ...clientInfo },
  },
})

/** The headers of a new session of revision 2025-06-18. @throws when there is none. */
export async function openSession(
  url: string,
  opening: Opening = {},
): Promise<Record<string, string>> {
  const { headers, messages } = await post(url, initialize(opening), opening.headers)
  const id = headers.get('mcp-session-id')
  if (id === null) throw new Error(`initialize: ${JSON.stringify(messages)}`)
  const session = { ...opening.headers, 'mcp-session-id': id }
  await post(url, { jsonrpc: '2.0', method: 'notifications/initialized' }, session)
  return session
}

export const toolCall = (id: unknown, name: string, input: object, params: object = {}) => ({
  ...{ jsonrpc: '2.0', id, method: 'tools/call' },
  params: { name, arguments: input, ...params },
})

const toMessages = (lines: readonly string[]): Message[] =>
  lines
    .filter((line) => line !== '')
    .flatMap((line) => JSON.parse(line.replace(/^data: /, '')) as Message | Message[])

const modernHeaders = (method: string) => ({
  'mcp-protocol-version': '2026-07-28',
  'mcp-method': method,
})

const modernMeta = ({ capabilities = {}, clientInfo = {} }: Opening = {}) => ({
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'attacker', version: '1', ...clientInfo },
  'io.modelcontextprotocol/clientCapabilities': capabilities,
})

/** One call of revision 2026-07-28, which has no sessions. */
export async function callModern(
  url: string,
  name: string,
  input: object,
  { params = {}, ...opening }: Opening & { readonly params?: object } = {},
): Promise<Message> {
  const _meta = modernMeta(opening)
  const { messages } = await post(url, toolCall(1, name, input, { ...params, _meta }), {
    ...modernHeaders('tools/call'),
    ...{ 'mcp-name': name },
    ...opening.headers,
  })
  const answer = messages.at(-1)
  if (!answer) throw new Error('no answer')
  return answer
}

/** The view in the answer of a tool. @throws when there is none. */
export function viewOf(answer: Message | undefined): RequestView {
  const view = answer?.result?.structuredContent
  if (!view) throw new Error(`no view: ${JSON.stringify(answer)}`)
  return view
}

export const textOf = (answer: Message | undefined): string =>
  answer?.result?.content?.[0]?.text ?? ''

import { randomBytes } from 'node:crypto'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { listTools } from '../../../src/transports/mcp/tools.ts'
import { Exchange, type Message } from './mcp-wire.ts'

/** Small clients of MCP for tests, each of one revision: as strict as they can be, and no SDK. */

export interface ToolResult {
  readonly content: readonly { readonly type: string; readonly text: string }[]
  readonly structuredContent?: Readonly<Record<string, unknown>>
  readonly isError?: boolean
  readonly _meta?: Readonly<Record<string, unknown>>
}

export interface ClientOptions {
  readonly headers?: Readonly<Record<string, string>>
  /** After `/mcp`. */
  readonly query?: string
  readonly capabilities?: object
  readonly name?: string
}

/** Beside the arguments of a call. */
export interface CallMore {
  readonly _meta?: Readonly<Record<string, unknown>>
  readonly task?: object
  readonly [param: string]: unknown
}

/** A client of any revision, as far as it calls tools. */
export interface ToolClient {
  call(name: string, input?: object, more?: CallMore): Exchange
}

const JSON_TYPE = { 'content-type': 'application/json' }
const ACCEPT = { accept: 'application/json, text/event-stream' }

/** Revision 2025-11-25, over a session. */
export class McpClient implements ToolClient, AsyncDisposable {
  readonly url: string
  readonly sessionId: string
  /** What `initialize` was answered. */
  readonly welcome: Readonly<Record<string, unknown>>
  readonly #headers: Readonly<Record<string, string>>
  readonly #open = new Set<Exchange>()
  #id = 0

  private constructor(
    url: string,
    sessionId: string,
    headers: Readonly<Record<string, string>>,
    welcome: Readonly<Record<string, unknown>>,
  ) {
    this.url = url
    this.sessionId = sessionId
    this.#headers = headers
    this.welcome = welcome
  }

  static async open({ url }: { url: string }, options: ClientOptions = {}): Promise<McpClient> {
    const { headers = {}, query = '', capabilities = {}, name = 'test' } = options
    const params = {
      protocolVersion: '2025-11-25',
      capabilities,
      clientInfo: { name, version: '1' },
    }
    const begun = new Exchange(`${url}/mcp${query}`, {
      headers: { ...JSON_TYPE, ...ACCEPT, ...headers },
      body: { jsonrpc: '2.0', id: 'begin', method: 'initialize', params },
    })
    const welcome = await begun.answer()
    const id = (await begun.head).headers.get('mcp-session-id')
    if (id === null) throw new Error('no Mcp-Session-Id')
    const client = new McpClient(`${url}/mcp${query}`, id, headers, welcome)
    await client.notify('notifications/initialized')
    return client
  }

  /** The same client, at a server that came after; or with another credential. */
  at({ url }: { url: string }, headers = this.#headers): McpClient {
    const next = new McpClient(url + new URL(this.url).pathname, this.sessionId, headers, {})
    next.#id = this.#id
    return next
  }

  request(method: string, params: object = {}): Exchange {
    const id = ++this.#id
    return this.#send({ body: { jsonrpc: '2.0', id, method, params: { ...params } } })
  }

  call(name: string, input: object = {}, more: CallMore = {}): Exchange {
    return this.request('tools/call', { name, arguments: input, ...more })
  }

  /** The result of a call of a tool, checked against the tool's own schema. */
  async tool(name: string, input: object = {}, more: CallMore = {}): Promise<ToolResult> {
    return checked(name, await this.call(name, input, more).answer<ToolResult>())
  }

  /** Gives up the newest request, or that of the id. */
  cancel(requestId = this.#id): Promise<void> {
    return this.notify('notifications/cancelled', { requestId, reason: 'timed out' })
  }

  async notify(method: string, params: object = {}): Promise<void> {
    await this.#accepted({ jsonrpc: '2.0', method, params: { ...params } })
  }

  /** Answers what the server asked. */
  async reply({ id }: Message, result: object): Promise<void> {
    if (id === undefined) throw new Error('that was no request')
    await this.#accepted({ jsonrpc: '2.0', id, result })
  }

  /** The standing stream, when it is open. */
  async listen(): Promise<Exchange> {
    const stream = this.#send({ method: 'GET', headers: { accept: 'text/event-stream' } })
    const { status } = await stream.head
    if (status !== 200) throw new Error(`the standing stream is ${status}`)
    return stream
  }

  async end(): Promise<number> {
    return (await this.#send({ method: 'DELETE' }).head).status
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const exchange of this.#open) exchange.leave()
  }

  #send({ method = 'POST', headers = ACCEPT, body }: Parameters<typeof send>[1]): Exchange {
    const session = { 'mcp-session-id': this.sessionId, 'mcp-protocol-version': '2025-11-25' }
    const exchange = send(this.url, {
      method,
      headers: { ...headers, ...session, ...this.#headers },
      ...(body !== undefined && { body }),
    })
    this.#open.add(exchange)
    void exchange.ended.finally(() => this.#open.delete(exchange)).catch(() => undefined)
    return exchange
  }

  async #accepted(body: Message): Promise<void> {
    const { status } = await this.#send({ body }).head
    if (status !== 202) throw new Error(`${body.method ?? 'an answer'} was answered ${status}`)
  }
}

/** Revision 2026-07-28, where every request is for itself. */
export class ModernClient implements ToolClient {
  readonly url: string
  readonly #options: ClientOptions
  #id = 0

  constructor({ url }: { url: string }, options: ClientOptions = {}) {
    this.url = `${url}/mcp${options.query ?? ''}`
    this.#options = options
  }

  request(method: string, params: Record<string, unknown> = {}): Exchange {
    const { headers = {}, capabilities = {}, name = 'test' } = this.#options
    const { _meta, ...rest } = params
    const named = params['name'] ?? params['uri'] ?? params['taskId']
    return send(this.url, {
      headers: {
        ...ACCEPT,
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': method,
        ...(typeof named === 'string' && { 'mcp-name': named }),
        ...headers,
      },
      body: {
        jsonrpc: '2.0',
        id: ++this.#id,
        method,
        params: {
          ...rest,
          _meta: {
            'io.modelcontextprotocol/protocolVersion': '2026-07-28',
            'io.modelcontextprotocol/clientCapabilities': capabilities,
            'io.modelcontextprotocol/clientInfo': { name, version: '1' },
            ...(_meta as object | undefined),
          },
        },
      },
    })
  }

  call(name: string, input: object = {}, more: CallMore = {}): Exchange {
    return this.request('tools/call', { name, arguments: input, ...more })
  }

  async tool(name: string, input: object = {}, more: CallMore = {}): Promise<ToolResult> {
    return checked(name, await this.call(name, input, more).answer<ToolResult>())
  }
}

/** An old client of Loopgate: JSON-RPC without `jsonrpc`. */
export class BareClient implements ToolClient {
  readonly url: string
  readonly #headers: Readonly<Record<string, string>>

  constructor({ url }: { url: string }, { headers = {}, query = '' }: ClientOptions = {}) {
    this.url = `${url}/mcp${query}`
    this.#headers = headers
  }

  request(method: string, params: object = {}): Exchange {
    const id = randomBytes(4).toString('hex')
    const body = { id, method, params: { ...params } }
    return send(this.url, { headers: this.#headers, body, isBare: true })
  }

  call(name: string, input: object = {}, more: CallMore = {}): Exchange {
    return this.request('tools/call', { name, arguments: input, ...more })
  }

  async tool(name: string, input: object = {}, more: CallMore = {}): Promise<ToolResult> {
    return checked(name, await this.call(name, input, more).answer<ToolResult>())
  }
}

function send(
  url: string,
  { headers = {}, ...sending }: ConstructorParameters<typeof Exchange>[1],
): Exchange {
  const type = sending.body === undefined ? {} : JSON_TYPE
  return new Exchange(url, { ...sending, headers: { ...type, ...headers } })
}

const ajv = new Ajv2020({ strict: true, strictRequired: false, allowUnionTypes: true })
const outputs = new Map(
  listTools().map(({ name, outputSchema }) => [name, outputSchema && ajv.compile(outputSchema)]),
)

/** Text and structured content say the same, and are what the tool says it answers. */
function checked(name: string, result: ToolResult): ToolResult {
  const { content, structuredContent, isError } = result
  const validate = outputs.get(name)
  if (content.length !== 1 || content[0]?.type !== 'text') throw new Error('not one text block')
  if (isError || !validate) {
    if (structuredContent) throw new Error(`${name} has structured content`)
    return result
  }
  if (!validate(structuredContent)) {
    throw new Error(`${name}: ${ajv.errorsText(validate.errors)}: ${content[0].text}`)
  }
  if (content[0].text !== JSON.stringify(structuredContent)) throw new Error('two answers in one')
  return result
}

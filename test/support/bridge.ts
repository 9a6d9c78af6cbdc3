import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect } from 'vitest'
import { eventually } from './eventually.ts'

const ROOT = join(import.meta.dirname, '../..')

export interface RpcMessage {
  readonly jsonrpc: '2.0'
  readonly id?: string | number | null
  readonly method?: string
  readonly params?: Readonly<Record<string, unknown>>
  readonly result?: Readonly<Record<string, unknown>> & { readonly isError?: boolean }
  readonly error?: { readonly code: number; readonly message: string }
}

/** `loopgate mcp` in a process of its own, and the client at its standard streams. */
export class BridgeProcess implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #exited: Promise<unknown>
  /** Everything that came, in its order. */
  readonly said: (RpcMessage | readonly RpcMessage[])[] = []
  /** Lines of standard output that are no messages. */
  readonly noise: string[] = []
  log = ''
  #id = 0

  constructor(args: readonly string[], env: Record<string, string> = {}) {
    const node = join(ROOT, 'node_modules/.bin/node')
    this.#child = spawn(node, [join(ROOT, 'src/cli.ts'), 'mcp', ...args], {
      // Not where a .env may be.
      cwd: '/',
      env,
    })
    this.#exited = once(this.#child, 'close')
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.log += chunk.toString()
    })
    this.#child.stdin.on('error', () => undefined)
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      try {
        this.said.push(JSON.parse(line))
      } catch {
        this.noise.push(line)
      }
    })
  }

  write(text: string): void {
    this.#child.stdin.write(text)
  }

  notify(method: string, params: object = {}): void {
    this.write(`${JSON.stringify({ jsonrpc: '2.0', method, params })}\n`)
  }

  /** Sends a request. Returns its id. */
  send(method: string, params: object = {}): number {
    const id = ++this.#id
    this.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`)
    return id
  }

  /** Waits for the answer to the request with the id. */
  async answer(id: number | null): Promise<RpcMessage> {
    const look = () => this.messages.find((one) => one.id === id && one.method === undefined)
    await eventually(look).toBeDefined()
    return look() as RpcMessage
  }

  ask(method: string, params: object = {}): Promise<RpcMessage> {
    return this.answer(this.send(method, params))
  }

  call(name: string, args: object = {}, meta: object = {}): Promise<RpcMessage> {
    return this.ask('tools/call', { name, arguments: args, _meta: meta })
  }

  async initialize(protocolVersion = '2025-11-25'): Promise<RpcMessage> {
    const clientInfo = { name: 'test', version: '1' }
    const answer = await this.ask('initialize', { protocolVersion, capabilities: {}, clientInfo })
    this.notify('notifications/initialized')
    return answer
  }

  get messages(): readonly RpcMessage[] {
    return this.said.flat()
  }

  notifications(method: string): readonly RpcMessage[] {
    return this.messages.filter((one) => one.method === method)
  }

  endInput(): void {
    this.#child.stdin.end()
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Resolves with the exit code. */
  async exit(): Promise<number | null> {
    await this.#exited
    return this.#child.exitCode
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.signal('SIGKILL')
    await this.#exited
    expect(this.noise).toEqual([])
    for (const message of this.messages) expect(message).toMatchObject({ jsonrpc: '2.0' })
  }
}

import type { Readable, Writable } from 'node:stream'
import { Bridge } from '../bridge/bridge.ts'
import { Endpoint } from '../bridge/endpoint.ts'
import { linesOf } from '../bridge/lines.ts'

const DEFAULT_URL = 'http://127.0.0.1:8080'

/** How long calls that are under way may still be answered when nothing more comes in. */
const LAST_ANSWERS_MS = 700
/** How long telling the server that nobody comes back may take. Both together stay below two seconds. */
const FAREWELL_MS = 500
/** Bytes for a client that does not read. One that lets more come together never will. */
const MAX_UNREAD_BYTES = 64 * 1024 * 1024

/** The options of `loopgate mcp`. */
export interface McpOptions {
  readonly url?: string | undefined
  /** The Loopgate session that questions go to. */
  readonly session?: string | undefined
}

export interface StandardStreams {
  readonly stdin: Readable
  readonly stdout: Writable
  readonly stderr: Writable
}

/**
 * MCP on standard input and output, handed on to a server. Resolves with the exit code when standard input
 * ends, nobody reads standard output any more, or a signal asks: 0, or 2 for an address that is none.
 */
export async function runMcp(
  options: McpOptions,
  environment: Readonly<Record<string, string | undefined>>,
  { stdin, stdout, stderr }: StandardStreams,
): Promise<0 | 2> {
  const log = (line: string) => stderr.write(`loopgate mcp: ${line}\n`)
  let endpoint: Endpoint
  try {
    endpoint = endpointOf(options, environment)
  } catch (error) {
    log((error as Error).message)
    return 2
  }
  const ended = Promise.withResolvers<void>()
  const write = (message: unknown) => {
    stdout.write(`${JSON.stringify(message)}\n`)
    if (stdout.writableLength > MAX_UNREAD_BYTES) ended.resolve()
  }
  const bridge = new Bridge({ endpoint, write, log })
  process.once('SIGTERM', () => ended.resolve()).once('SIGINT', () => ended.resolve())
  // A client that is gone (EPIPE) needs no more answers.
  stdout.on('error', () => ended.resolve())
  stderr.on('error', () => undefined)
  await Promise.race([ended.promise, readAll(stdin, bridge)])
  const farewell = AbortSignal.timeout(FAREWELL_MS)
  await bridge.end(farewell)
  await written(stdout, farewell)
  return 0
}

/** Resolves when everything was taken, or the time is over. */
async function written(stream: Writable, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  signal.addEventListener('abort', () => resolve(), { once: true })
  if (signal.aborted || !stream.writable) return
  stream.write('', () => resolve())
  await promise
}

/** To the end of standard input, and a moment longer: `echo … | loopgate mcp` is answered. */
async function readAll(stdin: Readable, bridge: Bridge): Promise<void> {
  try {
    for await (const line of linesOf(stdin)) bridge.receive(line)
  } catch {
    return
  }
  const late = Promise.withResolvers<void>()
  setTimeout(late.resolve, LAST_ANSWERS_MS)
  await Promise.race([bridge.idle(), late.promise])
}

/** @throws what to tell when the address or the key can not be used. */
function endpointOf(
  { url, session }: McpOptions,
  environment: Readonly<Record<string, string | undefined>>,
): Endpoint {
  const given = url || setting(environment, 'LOOPGATE_URL') || DEFAULT_URL
  const address = URL.parse(given)
  if (!address || !/^https?:$/.test(address.protocol) || address.username || address.password) {
    const name = url ? '--url' : 'LOOPGATE_URL'
    // Without the address: it may hold a password, and clients keep what is written here.
    throw new Error(
      `${name} must be an http or https address without user and password, like ${DEFAULT_URL}`,
    )
  }
  if (address.pathname === '/') address.pathname = '/mcp'
  address.hash = ''
  if (session) address.searchParams.set('session_id', session)
  const apiKey = setting(environment, 'LOOPGATE_API_KEY')
  if (apiKey !== undefined && !/^[\x21-\x7e]+$/.test(apiKey)) {
    throw new Error('LOOPGATE_API_KEY must be visible ASCII characters, without blanks')
  }
  return new Endpoint(address, apiKey)
}

/** Some clients hand on what they were to replace, such as `${user_config.api_key}`, when it is not set. */
function setting(
  environment: Readonly<Record<string, string | undefined>>,
  name: string,
): string | undefined {
  const value = environment[name]?.trim()
  return value === undefined || value === '' || value.startsWith('${') ? undefined : value
}

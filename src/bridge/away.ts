import { SERVER_ERROR } from '../transports/mcp/codes.ts'
import type { PostResult } from './endpoint.ts'
import { fail, type Params, type Request, type Response, succeed } from './messages.ts'
import { loadRegistry, type Registry } from './registry.ts'

/** What became of a request that the server did not answer. */
export type Trouble = Extract<PostResult, { type: 'away' | 'broken' | 'refused' | 'failed' }>

interface Place {
  readonly url: URL
  readonly hasKey: boolean
}

/** What is true without the server, because the bridge is of the same version. */
const KNOWN = new Map<string, (registry: Registry, request: Request) => Params>([
  ['initialize', ({ initialize }, { params }) => initialize(params?.['protocolVersion'])],
  ['server/discover', ({ discover }) => discover()],
  ['ping', () => ({})],
  ['tools/list', ({ listTools }) => ({ tools: listTools() })],
])

/** Whether there is an answer without the server, so that nobody needs to wait for it. */
export const isKnownHere = (method: string): boolean => KNOWN.has(method)

/**
 * Answers a request in the server's place.
 *
 * @param revision that the request names itself: from 2026-07-28 on results have more to say.
 */
export async function answerInstead(
  request: Request,
  revision: string | undefined,
  trouble: Trouble,
  place: Place,
): Promise<Response> {
  const { id, method } = request
  const isAway = trouble.type === 'away' || trouble.type === 'broken'
  const known = isAway ? KNOWN.get(method) : undefined
  const told = known ? undefined : toolResultFor(request, trouble, place)
  if (!known && !told) return failFor(request, trouble, place)
  const registry = await loadRegistry()
  const result = known?.(registry, request) ?? told ?? {}
  if (revision === undefined) return succeed(id, result)
  return succeed(id, {
    ...result,
    resultType: 'complete',
    // Nothing of it is to be kept: the server may know better in a moment.
    ...(known && { ttlMs: 0, cacheScope: 'private' }),
    _meta: { 'io.modelcontextprotocol/serverInfo': registry.serverInfo },
  })
}

/** What the model is told; undefined when it is for the client alone. */
function toolResultFor(
  { method, params }: Request,
  trouble: Trouble,
  place: Place,
): Params | undefined {
  if (method !== 'tools/call') return undefined
  const text = sentenceFor(trouble, place)
  if (params?.['name'] === 'permission_prompt') {
    const verdict = { behavior: 'deny', message: text }
    return { content: [{ type: 'text', text: JSON.stringify(verdict) }] }
  }
  if (trouble.type === 'failed') return undefined
  return { content: [{ type: 'text', text }], isError: true }
}

function failFor({ id }: Request, trouble: Trouble, place: Place): Response {
  if (trouble.type === 'failed' && trouble.error)
    return { jsonrpc: '2.0', id, error: trouble.error }
  return fail(id, SERVER_ERROR, sentenceFor(trouble, place))
}

function sentenceFor(trouble: Trouble, { url, hasKey }: Place): string {
  const { type, reason } = trouble
  const nothing = 'Nothing was asked, and nothing is approved.'
  const start =
    'Start it with "npm start" in the folder of Loopgate, or set LOOPGATE_URL to where it runs, ' +
    'and call again.'
  switch (type) {
    case 'failed': {
      const isElsewhere = trouble.status < 400 || trouble.status === 404 || trouble.status === 405
      const doubt = isElsewhere ? ' See LOOPGATE_URL: is that the address of Loopgate?' : ''
      return `${url} did not take it: ${reason}. ${nothing}${doubt}`
    }
    case 'refused': {
      const what = hasKey ? 'the key in LOOPGATE_API_KEY' : 'a call without a key'
      const todo = hasKey ? 'Put a valid API key there' : 'Put an API key into LOOPGATE_API_KEY'
      return (
        `Loopgate at ${url} refused ${what} (${reason}). ${nothing} ${todo}, in the environment of ` +
        'this MCP server, and start it again.'
      )
    }
    case 'broken':
      return (
        `The connection to Loopgate at ${url} was lost (${reason}). What was asked stays open there, ` +
        `and nothing is approved. ${start} The same call finds its question.`
      )
    case 'away':
      return `Loopgate can not be reached at ${url} (${reason}). ${nothing} ${start}`
  }
}

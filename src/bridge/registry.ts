import type { ToolJson } from '../transports/mcp/tool.ts'
import { VERSION } from '../version.ts'
import type { Params } from './messages.ts'

/** The revisions that name themselves in each message. */
const REVISIONS_2026 = ['2026-07-28']

/** What a server of this version says of itself. */
export interface Registry {
  readonly serverInfo: Params
  /** Bytes of one message. */
  readonly maxBodyBytes: number
  readonly listTools: () => readonly ToolJson[]
  /** The answer to `initialize` of a client that asked for a revision. */
  initialize(revision: unknown): Params
  /** The answer to `server/discover`. */
  discover(): Params
  /** Seconds that a tool waits for a person when the call does not say it; undefined when it does not. */
  waitSeconds(tool: unknown): number | undefined
}

/** Loads the server's own words, which takes a quarter of a second and is seldom needed. */
export async function loadRegistry(): Promise<Registry> {
  const [revisions, discovery, questions, { MAX_BODY_BYTES }, { listTools, tools }] =
    await Promise.all([
      import('@modelcontextprotocol/sdk/types.js'),
      import('../transports/mcp/discovery.ts'),
      import('../transports/mcp/question-tools.ts'),
      import('../protocol/requests.ts'),
      import('../transports/mcp/tools.ts'),
    ])
  const { SUPPORTED_PROTOCOL_VERSIONS: known, LATEST_PROTOCOL_VERSION: latest } = revisions
  const { CAPABILITIES_2025, CAPABILITIES_2026, INSTRUCTIONS: instructions } = discovery
  const serverInfo = discovery.serverInfo(VERSION)
  return {
    serverInfo,
    maxBodyBytes: MAX_BODY_BYTES,
    listTools,
    initialize: (revision) => {
      const protocolVersion = known.find((one) => one === revision) ?? latest
      return { protocolVersion, capabilities: CAPABILITIES_2025, serverInfo, instructions }
    },
    discover: () => ({
      supportedVersions: REVISIONS_2026,
      capabilities: CAPABILITIES_2026,
      instructions,
    }),
    waitSeconds: (name) => {
      const tool = tools.find((one) => one.name === name)
      const isAsking = tool?.canTakeLong && !tool.annotations.readOnlyHint
      return isAsking ? questions.DEFAULT_WAIT_SECONDS : undefined
    },
  }
}

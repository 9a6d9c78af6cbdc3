import { runMcp } from '../commands/mcp.ts'

/** `loopgate mcp` alone, as it is packed for desktop clients. */
process.exit(await runMcp({}, process.env, process))

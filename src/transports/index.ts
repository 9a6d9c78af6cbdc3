import { mcp } from './mcp/mcp.ts'
import { poll } from './poll.ts'
import { receipts } from './receipts.ts'
import { rest } from './rest.ts'
import { socketio } from './socketio.ts'
import { sse } from './sse.ts'
import type { TransportDefinition } from './transport.ts'
import { webhook } from './webhook/webhook.ts'
import { websocket } from './websocket.ts'

/** The registry: one line for each transport. */
export const transports: readonly TransportDefinition[] = [
  ...[rest, poll, sse, websocket, socketio, webhook, receipts, mcp],
]

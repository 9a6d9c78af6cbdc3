import { connectPoll } from './poll.ts'
import type { Connect } from './reader.ts'
import { connectSocketIo } from './socketio.ts'
import { connectSse } from './sse.ts'
import { connectWebSocket, connectWebSocketByQuery } from './websocket.ts'

/** Every way in which an agent receives a session's events. */
export const READERS = {
  sse: connectSse,
  websocket: connectWebSocket,
  'websocket by query': connectWebSocketByQuery,
  'socket.io over websocket': connectSocketIo('websocket'),
  'socket.io over polling': connectSocketIo('polling'),
  poll: connectPoll,
} as const satisfies Readonly<Record<string, Connect>>

export type ReaderName = keyof typeof READERS

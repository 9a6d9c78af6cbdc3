import { connectWebSocket, connectWebSocketByQuery } from '../../support/readers/websocket.ts'
import { transportContract } from '../transport.suite.ts'

transportContract('WebSocket', connectWebSocket)
// The same code behind another door: one database will do.
transportContract('WebSocket by query', connectWebSocketByQuery, {}, ['postgres'])

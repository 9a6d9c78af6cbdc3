import { connectSocketIo } from '../../support/readers/socketio.ts'
import { transportContract } from '../transport.suite.ts'

transportContract('Socket.IO over websocket', connectSocketIo('websocket'))
// The same code over another wire: one database will do.
transportContract('Socket.IO over polling', connectSocketIo('polling'), {}, ['postgres'])

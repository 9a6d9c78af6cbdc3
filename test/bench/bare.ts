import websocket from '@fastify/websocket'
import fastify from 'fastify'
import { Server } from 'socket.io'

/** The bare libraries: connections that are held open and nothing else. */
const http = fastify()
await http.register(websocket, { options: { perMessageDeflate: false } })
http.get('/ws', { websocket: true }, (socket) => {
  socket.on('message', () => undefined)
})
http.get('/sse', (_request, reply) => {
  reply.hijack()
  reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
  reply.raw.write(':\n\n')
})
const address = await http.listen({ port: 0, host: '127.0.0.1' })

// A server of its own: on one server the two WebSocket libraries break each other.
const other = fastify()
new Server(other.server, { serveClient: false, perMessageDeflate: false })
const socketio = await other.listen({ port: 0, host: '127.0.0.1' })
console.log(`listening on ${address} ${socketio}`)
process.once('SIGTERM', () => process.exit(0))

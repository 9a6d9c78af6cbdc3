import websocket from '@fastify/websocket'
import fastify from 'fastify'
import pg from 'pg'
import type { WebSocket } from 'ws'

/**
 * The control: what the job costs without Loopgate. It receives a POST, makes one conditional UPDATE
 * and writes one WebSocket frame, with the same HTTP server, database driver and WebSocket library.
 */
const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'], max: 16 })
await pool.query('CREATE TABLE control (id uuid PRIMARY KEY, status text NOT NULL, answer text)')

const agents = new Set<WebSocket>()
const http = fastify()
await http.register(websocket, { options: { perMessageDeflate: false } })
http.get('/ws', { websocket: true }, (socket) => {
  agents.add(socket)
})

http.post<{ Body: { id: string } }>('/requests', async ({ body }) => {
  await pool.query("INSERT INTO control VALUES ($1, 'pending')", [body.id])
  return {}
})

http.post<{ Body: { id: string; answer: string } }>('/press', async ({ body }) => {
  const { rows } = await pool.query(
    "UPDATE control SET status = 'decided', answer = $2 WHERE id = $1 AND status = 'pending' RETURNING *",
    [body.id, body.answer],
  )
  const frame = JSON.stringify({ type: 'request.decided', data: rows[0] })
  for (const agent of agents) agent.send(frame)
  return {}
})

const address = await http.listen({ port: 0, host: '127.0.0.1' })
console.log(`listening on ${address}`)
process.once('SIGTERM', () => process.exit(0))

import { WebSocket } from 'ws'
import { inParallel, post } from './calls.ts'

/** Agents that are connected, each subscribed to a session of its own, and hear nothing. */
const [address = '', count = '0'] = process.argv.slice(2)

await inParallel(Number(count), async (i) => {
  const sessionId = `idle-${i}`
  await post(`${address}/hitl/register`, { session_id: sessionId, client_id: 'bench' })
  const socket = new WebSocket(`${address.replace('http', 'ws')}/ws?session_id=${sessionId}`, {
    perMessageDeflate: false,
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.on('error', reject)
  socket.on('message', (data) => {
    if (data.toString().includes('"subscribed"')) resolve()
  })
  await promise
})
console.log(`connected ${count}`)
process.once('SIGTERM', () => process.exit(0))

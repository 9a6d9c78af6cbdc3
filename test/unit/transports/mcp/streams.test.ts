import { once } from 'node:events'
import { get, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyReply } from 'fastify'
import { expect, test } from 'vitest'
import { Backlogs } from '../../../../src/transports/backlog.ts'
import { CLOSE_MS } from '../../../../src/transports/closing.ts'
import { DeadPeers } from '../../../../src/transports/dead-peers.ts'
import { Streams } from '../../../../src/transports/mcp/streams.ts'
import { anAgent } from '../../../support/builders.ts'
import { FakeClock } from '../../../support/clock.ts'

const PIECE = new Uint8Array(32 * 1024)

/** A server that answers with what `bodyOf` makes, and a reader that has the head of it alone. */
async function reading(bodyOf: (reply: FastifyReply) => ReadableStream<Uint8Array>) {
  const clock = new FakeClock()
  const backlogs = new Backlogs(clock)
  const context = {
    clock,
    authorizations: { hold: () => () => undefined },
    connections: () => undefined,
  }
  const streams = new Streams({
    context,
    backlogs,
    deadPeers: new DeadPeers(clock, async () => []),
  })
  const http = Fastify()
  http.decorateRequest('principal', null)
  http.get('/', (request, reply) => {
    request.principal = anAgent()
    const headers = { 'content-type': 'text/event-stream' }
    return streams.send(reply, new Response(bodyOf(reply), { headers }))
  })
  await http.listen({ host: '127.0.0.1', port: 0 })
  const { port } = http.server.address() as AddressInfo
  const [response] = (await once(get({ port, agent: false }), 'response')) as [IncomingMessage]
  return { clock, response, [Symbol.asyncDispose]: () => http.close() }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

async function isStuck(raw: ServerResponse): Promise<boolean> {
  for (let turns = 0; turns < 50; turns++) {
    if (raw.writableLength === 0) return false
    await turn()
  }
  return true
}

async function bytesOf(response: IncomingMessage): Promise<number> {
  let bytes = 0
  for await (const piece of response) bytes += (piece as Buffer).length
  return bytes
}

test('an answer that is written waits for a reader that is slow to take it', async () => {
  const { promise: written, resolve } = Promise.withResolvers<number>()
  let bytes = 0
  await using reader = await reading(
    ({ raw }) =>
      new ReadableStream({
        // The last piece is one that the connection does not take.
        async pull(body) {
          if (await isStuck(raw)) {
            body.close()
            resolve(bytes)
          } else {
            body.enqueue(PIECE)
            bytes += PIECE.length
          }
        },
      }),
  )
  const whole = await written
  await turn()
  reader.clock.advance(2 * CLOSE_MS)
  expect(await bytesOf(reader.response)).toBe(whole)
})

test('an answer that can not be written to its end is cut, not left open', async () => {
  await using reader = await reading(
    () =>
      new ReadableStream({
        pull(body) {
          body.error(new Error('the source failed'))
        },
      }),
  )
  await expect(bytesOf(reader.response)).rejects.toThrow('aborted')
})

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  Loopgate,
  LoopgateClient,
  LoopgateError,
  type TransportName,
} from '../../../client/index.ts'
import { type Account, makeKey, openAccount, revokeKey } from '../../support/accounts.ts'
import type { TestApp } from '../../support/app.ts'
import { newSession, startServer } from './server.ts'

let server: TestApp
let owner: Account

beforeAll(async () => {
  server = await startServer({ AUTH: 'required' })
  owner = await openAccount(server)
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

const decide = async (requestId: string) => {
  const path = `/api/requests/${requestId}/decision`
  const { status } = await server.post(path, { option: 'Yes' }, owner.headers)
  expect(status).toBe(200)
}

describe.each(['socketio', 'sse', 'poll'] as const satisfies readonly TransportName[])(
  'an agent with a key, over %s,',
  (transport) => {
    test('asks and has the decision pushed', async () => {
      const { key } = await makeKey(server, owner)
      const gate = new Loopgate({ url: server.url, apiKey: key, transports: [transport] })
      await gate.register(newSession())
      const options = ['Yes', 'No']
      const decision = await gate.request({
        ...{ message: 'Deploy?', options },
        onAsked: ({ request_id }) => void decide(request_id),
      })
      expect(decision).toMatchObject({ approved: true, decidedBy: { name: owner.username } })
      await gate.close()
    })

    test('whose key is revoked while it waits is told so, and does not come back for ever', async () => {
      const { id, key } = await makeKey(server, owner)
      const gate = new Loopgate({ url: server.url, apiKey: key, transports: [transport] })
      await gate.register(newSession())
      const off = gate.on('*', () => undefined, { onError: () => undefined })
      await off.ready
      const asked = gate.request({
        message: 'Deploy?',
        onAsked: () => void revokeKey(server, owner, id),
      })
      const error = await asked.catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(LoopgateError)
      expect(['UNAUTHORIZED', 'DISCONNECTED']).toContain((error as LoopgateError).code)
      await gate.close()
    })
  },
)

test('an agent without a key is told so at once', async () => {
  const gate = new Loopgate({ url: server.url })
  await expect(gate.register(newSession())).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
  await gate.close()
})

test('the client of the Go Loopgate takes a key, too', async () => {
  const { key } = await makeKey(server, owner)
  const client = new LoopgateClient(server.url, { apiKey: key })
  const { sessionId, clientId } = newSession()
  expect(await client.registerSession(sessionId, clientId)).toMatchObject({ success: true })
})

import { expect, test } from 'vitest'
import { openServer } from '../../support/readers/server.ts'
import { Wire } from '../../support/readers/wire.ts'

const BODY = JSON.stringify({ session_id: 'late', client_id: 'c1' })

/** A server that begins to stop while the body of a request is on its way, and then has it. */
async function stopInTheMiddle(env: Record<string, string>) {
  const server = await openServer('postgres', env)
  const wire = await Wire.open(server.app.url)
  wire.request('POST', '/hitl/register', {
    'Content-Type': 'application/json',
    'Content-Length': String(BODY.length),
  })
  wire.write(BODY.slice(0, 5))
  // The head has arrived when an answer to something later is there.
  await server.app.get('/livez')
  const began = performance.now()
  const stopped = server.app.app.stop().then(() => performance.now() - began)
  wire.write(BODY.slice(5))
  await wire.until('webhook_secret')
  const dispose = async () => {
    wire[Symbol.dispose]()
    await server[Symbol.asyncDispose]()
  }
  return { wire, stopped, [Symbol.asyncDispose]: dispose }
}

test('what was begun before the stop is answered', async () => {
  await using stopping = await stopInTheMiddle({ SHUTDOWN_GRACE: '1' })
  expect(stopping.wire.text).toMatch(/^HTTP\/1.1 200 /)
})

test('a stop does not wait for connections that have nothing to say any more', async () => {
  await using stopping = await stopInTheMiddle({ SHUTDOWN_GRACE: '6' })
  expect(await stopping.stopped).toBeLessThan(4_000)
  await stopping.wire.closed()
})

test('what is asked during the stop is 503, a problem that says when to come back', async () => {
  await using stopping = await stopInTheMiddle({ SHUTDOWN_GRACE: '1' })
  const { wire } = stopping
  wire.request('GET', '/hitl/pending')
  const text = await wire.closed()
  const refusal = text.slice(text.lastIndexOf('HTTP/1.1'))
  // Nothing at all is right as well: the connection was closed with the answer before.
  if (refusal.includes('webhook_secret')) return
  expect(refusal).toMatch(/^HTTP\/1.1 503 /)
  expect(refusal).toMatch(/^content-type: application\/problem\+json/im)
  expect(refusal).toMatch(/^retry-after: [1-9]\d*\r$/im)
  expect(refusal).toContain('"code":"UNAVAILABLE"')
})

test('a stop is not held up by a request that never ends, beyond SHUTDOWN_GRACE', async () => {
  await using server = await openServer('postgres', { SHUTDOWN_GRACE: '1' })
  using wire = await Wire.open(server.app.url)
  wire.request('POST', '/hitl/register', {
    'Content-Type': 'application/json',
    'Content-Length': '100',
  })
  await server.app.get('/livez')
  const began = performance.now()
  await server.app.app.stop()
  expect(performance.now() - began).toBeLessThan(8_000)
  await wire.closed()
})

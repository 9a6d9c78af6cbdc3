import type { ServerResponse } from 'node:http'
import { expect, test } from 'vitest'
import { Loopgate, type Retry } from '../../../client/index.ts'
import { APPROVED, decided, FakeServer, PENDING, QUESTION, stream } from './fake-server.ts'
import { FAST } from './server.ts'

/** Answers a question on its second stream; the first one ends as the test says. */
async function comeBack(farewell: (response: ServerResponse) => void): Promise<Retry | undefined> {
  await using fake = await FakeServer.start()
  fake.answer('POST /hitl/request', { success: true, ...PENDING })
  let streams = 0
  fake.routes.set('GET /hitl/stream', (response) => {
    const { say } = stream(response)
    streams++
    if (streams === 1) farewell(response)
    else say('request.decided', decided(APPROVED))
  })
  const retries: Retry[] = []
  await using gate = new Loopgate({
    url: fake.url,
    transports: ['sse'],
    timing: FAST,
    onRetry: (retry) => retries.push(retry),
  })
  expect(await gate.request(QUESTION)).toMatchObject({ approved: true })
  return retries[0]
}

test('a stream that ends with a hint is opened again that late, and a little spread', async () => {
  const retry = await comeBack((response) => response.end('retry: 300\n\n'))
  expect(retry?.delayMs).toBeGreaterThanOrEqual(300)
  expect(retry?.delayMs).toBeLessThanOrEqual(300 + FAST.minBackoffMs)
})

test('one that ends without a hint is opened again by the client’s own pauses', async () => {
  const retry = await comeBack((response) => response.end())
  expect(retry?.delayMs).toBeLessThanOrEqual(FAST.maxBackoffMs)
})

import { describe, expect, test } from 'vitest'
import type { DatabaseKind } from '../../support/database.ts'
import { Line } from '../../support/readers/line.ts'
import { personOf, serve } from '../../support/readers/server.ts'

const LIMIT = 7

describe.each<DatabaseKind>(['pglite', 'postgres'])('MAX_CONCURRENT_REQUESTS on %s', (kind) => {
  const app = serve(kind, { MAX_CONCURRENT_REQUESTS: String(LIMIT) })

  const submit = (line: Line, headers: Record<string, string> = {}) => {
    const body = { session_id: line.id, client_id: line.clientId, message: 'x' }
    return app().post('/hitl/request', body, headers)
  }

  test('is exact for sixty submissions at once, in two sessions of one client', async () => {
    const client_id = 'crowd'
    const lines = [await Line.open(app(), { client_id }), await Line.open(app(), { client_id })]
    const answers = await Promise.all(
      Array.from({ length: 30 }, () => lines.map((line) => submit(line))).flat(),
    )
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(LIMIT)
    const refused = answers.filter(({ status }) => status !== 200)
    for (const { status, headers, body } of refused) {
      expect({ status, code: body.code }).toEqual({ status: 429, code: 'TOO_MANY_PENDING' })
      expect(headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
    }
    const logs = await Promise.all(lines.map((line) => line.log()))
    expect(logs.flat()).toHaveLength(LIMIT)
  })

  test('is for each client and each tenant, and a settled request makes room', async () => {
    const line = await Line.open(app(), { client_id: 'one' })
    const asked = []
    for (let i = 0; i < LIMIT; i++) asked.push(await line.ask())
    expect((await submit(line)).status).toBe(429)
    const other = await Line.open(app(), { client_id: 'two' })
    expect((await submit(other)).status).toBe(200)
    const headers = { authorization: `Bearer ${await personOf(app(), 'elsewhere')}` }
    const session = { session_id: line.id, client_id: line.clientId }
    await app().post('/hitl/register', session, headers)
    expect((await submit(line, headers)).status).toBe(200)
    const [first, second] = asked
    if (first) await line.decide(first)
    expect((await submit(line)).status).toBe(200)
    expect((await submit(line)).status).toBe(429)
    if (second) await line.cancel(second)
    expect((await submit(line)).status).toBe(200)
    expect((await submit(line)).status).toBe(429)
  })
})

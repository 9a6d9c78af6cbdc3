import { describe, expect, test } from 'vitest'
import { login, openAccount } from '../../support/accounts.ts'
import { Line } from '../../support/readers/line.ts'
import { openServer } from '../../support/readers/server.ts'

describe.each(['pglite', 'postgres'] as const)('two hundred logins at once on %s', (kind) => {
  test('hold up no approval for a second, and who can not be served is told when to come back', async () => {
    await using server = await openServer(kind)
    const { app } = server
    const { username } = await openAccount(app)
    const line = await Line.open(app)
    await line.settled()

    let isOver = false
    const logins = Promise.all(Array.from({ length: 200 }, () => login(app, username))).finally(
      () => {
        isOver = true
      },
    )
    const took: number[] = []
    while (!isOver) {
      const began = performance.now()
      await line.settled()
      took.push(performance.now() - began)
    }
    const answers = await logins
    expect(Math.max(...took)).toBeLessThan(1_000)
    expect(took.length).toBeGreaterThan(10)
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 503]))
    const served = answers.filter(({ status }) => status === 200)
    expect(served.length).toBeGreaterThanOrEqual(64)
    for (const { status, body, headers } of answers) {
      if (status === 200) continue
      expect(body.code).toBe('UNAVAILABLE')
      expect(Number(headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    }
  }, 60_000)
})

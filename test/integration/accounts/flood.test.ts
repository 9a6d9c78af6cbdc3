import { describe, expect, test } from 'vitest'
import { openAccount } from '../../support/accounts.ts'
import { floodWithLogins } from '../../support/login-flood.ts'
import { Line } from '../../support/readers/line.ts'
import { openServer } from '../../support/readers/server.ts'

// On PostgreSQL: the hardening test of the same attack.
describe('two hundred logins at once on an embedded database', () => {
  test('hold up no approval for a second, and who can not be served is told when to come back', async () => {
    await using server = await openServer('pglite')
    const { app } = server
    const { username } = await openAccount(app)
    const line = await Line.open(app)
    await line.settled()

    const { answers, approvals } = await floodWithLogins(app, username, 200, () => line.settled())
    expect(Math.max(...approvals)).toBeLessThan(1_000)
    expect(approvals.length).toBeGreaterThan(10)
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

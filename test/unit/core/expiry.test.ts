import { describe, expect, test } from 'vitest'
import { aSubmission, overdue, TENANT } from '../../support/builders.ts'
import { eventually, startCore } from '../../support/builders-core.ts'

const terminal = (types: readonly { type: string }[]) =>
  types.filter(({ type }) => type === 'request.expired')

describe('the expiry', () => {
  test('R5: expires at its start whatever is overdue, and nothing else', async () => {
    await using core = await startCore()
    await core.session()
    const ids = []
    for (let i = 0; i < 3; i++) ids.push((await core.ask(overdue)).question.id)
    const open = await core.ask()
    core.expiry.start()
    core.clock.advance(0)
    await eventually(() => expect(terminal(core.told)).toHaveLength(3))
    const pending = await core.stores.requests.listPending(TENANT)
    expect(pending).toEqual([open])
  })

  test('expires more than one batch without waiting in between', async () => {
    await using core = await startCore({ maxPending: 1_000 })
    await core.session()
    await Promise.all(Array.from({ length: 130 }, () => core.ask(overdue)))
    core.expiry.start()
    await eventually(() => {
      core.clock.advance(0)
      expect(terminal(core.told)).toHaveLength(130)
    })
  })

  test('sleeps until the next deadline', async () => {
    await using core = await startCore()
    await core.session()
    await core.ask({ timeoutSeconds: 60 })
    await core.ask({ timeoutSeconds: 3 })
    core.expiry.start()
    core.clock.advance(0)
    await eventually(() => expect(core.clock.next).toBeGreaterThan(0))
    expect(core.clock.next).toBeLessThanOrEqual(3_001)
    expect(core.clock.next).toBeGreaterThan(1_000)
  })

  test('wakes earlier for a request whose time is over earlier', async () => {
    await using core = await startCore()
    await core.session()
    core.expiry.start()
    core.clock.advance(0)
    await eventually(() => expect(core.clock.next).toBe(5_000))
    await core.ask({ timeoutSeconds: 2 })
    expect(core.clock.next).toBe(2_000)
    await core.ask({ timeoutSeconds: 60 })
    expect(core.clock.next).toBe(2_000)
    expect(core.clock.waiting).toBe(1)
  })

  test('R6: is too early by its own clock without harm', async () => {
    await using core = await startCore()
    await core.session()
    core.expiry.start()
    await core.ask({ timeoutSeconds: 2 })
    core.clock.advance(2_000)
    await eventually(() => expect(core.clock.next).toBeGreaterThan(0))
    expect(core.clock.next).toBeLessThanOrEqual(2_000)
    expect(core.told.map(({ type }) => type)).toEqual(['request.created'])
  })

  test('finds within five seconds what another process asked', async () => {
    await using core = await startCore()
    await core.session()
    core.expiry.start()
    core.clock.advance(0)
    await eventually(() => expect(core.clock.next).toBe(5_000))
    await core.another().requests.submit(TENANT, aSubmission(overdue), 10, () => [])
    core.clock.advance(5_000)
    await eventually(() => expect(terminal(core.told)).toHaveLength(1))
  })

  test('goes on after the database was away', async () => {
    await using core = await startCore()
    await core.session()
    await core.ask(overdue)
    await core.db.schema.alterTable('requests').renameTo('away').execute()
    core.expiry.start()
    core.clock.advance(0)
    await eventually(() => expect(core.metrics.calls).toContain('failed expiry'))
    expect(core.warnings).toEqual(['expiring requests failed'])
    await core.db.schema.alterTable('away').renameTo('requests').execute()
    await eventually(() => {
      core.clock.advance(250)
      expect(terminal(core.told)).toHaveLength(1)
    })
  })

  test('R2: two processes expire a request once', async () => {
    await using core = await startCore()
    await core.session()
    const { question } = await core.ask(overdue)
    const other = core.another()
    const [due] = await other.requests.nextToExpire(1)
    core.expiry.start()
    core.clock.advance(0)
    const settlement = { status: 'expired', outcome: 'expired' } as const
    const nothing = { response: null, comment: null, decidedBy: null }
    if (due) await other.requests.settle(due.request, { ...settlement, ...nothing }, 'expiry')
    await core.expiry.stop()
    const target = { tenant: TENANT, sessionId: 'session-1', requestId: question.id }
    const { events } = await core.stores.log.read(target, 0, 10)
    expect(events.map(({ type }) => type)).toEqual(['request.created', 'request.expired'])
  })

  test('stops when what it does is done, and does not wake again', async () => {
    await using core = await startCore()
    await core.session()
    await core.ask(overdue)
    core.expiry.start()
    core.clock.advance(0)
    await core.expiry.stop()
    expect(terminal(core.told)).toHaveLength(1)
    expect(core.clock.waiting).toBe(0)
    await core.ask(overdue)
    expect(core.clock.waiting).toBe(0)
  })
})

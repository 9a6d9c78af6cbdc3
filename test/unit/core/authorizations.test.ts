import { describe, expect, test } from 'vitest'
import type { HeldBy } from '../../../src/core/account.ts'
import { Authorizations } from '../../../src/core/authorizations.ts'
import { LOCAL, type Principal } from '../../../src/core/principal.ts'
import { anAgent, aPerson } from '../../support/builders.ts'
import { FakeClock } from '../../support/clock.ts'

const NONE: HeldBy = { keys: [], users: [] }

/** Those who look, a clock that the test turns, and what the database says. */
function stage(answer: (held: HeldBy) => HeldBy = () => NONE) {
  const clock = new FakeClock()
  const asked: HeldBy[] = []
  const failed: string[] = []
  const silent = () => undefined
  const authorizations = new Authorizations({
    store: {
      ended: async (held) => {
        asked.push(held)
        return answer(held)
      },
    },
    clock,
    logger: { debug: silent, info: silent, warn: silent, error: silent },
    metrics: { failed: (stage) => failed.push(stage) },
  })
  const ended: string[] = []
  const hold = (principal: Principal, name: string) =>
    authorizations.hold(principal, () => ended.push(name))
  /** Lets time pass, and what was begun then end. */
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 1_000) {
      clock.advance(1_000)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  return { authorizations, pass, asked, failed, ended, hold }
}

describe('those who stay', () => {
  test('are asked for by key and by user, each once, however many there are', async () => {
    const at = stage()
    for (let i = 0; i < 3; i++) at.hold(anAgent({ id: 'key-1' }), `a${i}`)
    at.hold(anAgent({ id: 'key-2' }), 'b')
    at.hold(aPerson({ tenant: 'user-1' }), 'c')
    await at.pass(2_000)
    expect(at.asked).toEqual([{ keys: ['key-1', 'key-2'], users: ['user-1'] }])
    expect(at.ended).toEqual([])
  })

  test('are told once when their key or their user is gone, and nobody else is', async () => {
    const at = stage(() => ({ keys: ['key-1'], users: ['user-1'] }))
    at.hold(anAgent({ id: 'key-1' }), 'key-1')
    at.hold(anAgent({ id: 'key-1' }), 'key-1 too')
    at.hold(anAgent({ id: 'key-2' }), 'key-2')
    at.hold(aPerson({ tenant: 'user-1' }), 'user-1')
    at.hold(aPerson({ tenant: 'key-1' }), 'user-2')
    await at.pass(2_000)
    await at.pass(2_000)
    expect(at.ended).toEqual(['key-1', 'key-1 too', 'user-1'])
  })

  test('are told when their time is over, though the database is away', async () => {
    const at = stage(() => {
      throw new Error('away')
    })
    at.hold(anAgent({ until: new Date(Date.now() + 3_000) }), 'short')
    at.hold(anAgent({ until: new Date(Date.now() + 60_000) }), 'long')
    await at.pass(2_000)
    expect(at.ended).toEqual([])
    await at.pass(2_000)
    expect(at.ended).toEqual(['short'])
    expect(at.failed).toEqual(['authorization', 'authorization'])
  })

  test('and left are not asked for, nor are programs of this machine', async () => {
    const at = stage()
    at.hold(LOCAL, 'local')
    at.hold(aPerson({ tenant: 'local' }), 'person of this machine')
    at.hold(anAgent(), 'left')()
    await at.pass(10_000)
    expect(at.asked).toEqual([])
  })
})

import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { DeliveryError, NotYet } from '../../../src/core/card.ts'
import { anAgent, aPerson, approval, aSubmission, overdue, TENANT } from '../../support/builders.ts'
import { type Core, eventually, FakeCourier, startCore } from '../../support/builders-core.ts'

const REVIEWERS = { telegram: { address: '41', approvers: [] } }
const ANN = aPerson()

/** A core whose session asks on Telegram, with the deliveries started. */
async function startAsking(...couriers: FakeCourier[]) {
  const core = await startCore({ couriers, maxPending: 1_000 })
  await core.session({ reviewers: REVIEWERS })
  core.deliveries.start()
  return core
}

const types = (core: Core) => core.told.map(({ type }) => type)

/** Seconds until the delivery, or the card, is due again. */
async function dueIn(core: Core, table: 'deliveries' | 'cards'): Promise<number> {
  const { rows } = await sql<{ seconds: number }>`
    SELECT extract(epoch FROM due_at - clock_timestamp())::float8 AS seconds
    FROM ${sql.table(table)}`.execute(core.db)
  return rows[0]?.seconds ?? Number.NaN
}

describe('a card', () => {
  test('V1, V3: is sent directly after the commit, and then the agent hears of it', async () => {
    const courier = new FakeCourier()
    await using core = await startAsking(courier)
    const request = await core.ask()
    await eventually(() => expect(types(core)).toContain('request.delivered'))
    expect(courier.asked).toEqual([
      { type: 'ask', channel: 'telegram', audience: REVIEWERS.telegram, request, attempt: 1 },
    ])
    expect(await core.hub.get(anAgent(), request.question.id)).toMatchObject({
      state: { delivery: [{ channel: 'telegram', status: 'delivered' }] },
    })
    expect(core.metrics.calls).toContain('delivered telegram delivered')
  })

  test('is sent on every channel that can ask', async () => {
    const couriers = [
      new FakeCourier('telegram'),
      new FakeCourier('slack'),
      new FakeCourier('mail'),
    ]
    await using core = await startCore({ couriers })
    const slack = { slack: { address: 'C1', approvers: [] } }
    await core.session({ reviewers: { ...REVIEWERS, ...slack } })
    core.deliveries.start()
    const { question } = await core.ask()
    await eventually(() => {
      expect(types(core).filter((type) => type === 'request.delivered')).toHaveLength(2)
    })
    const { state } = await core.hub.get(anAgent(), question.id)
    expect(state.delivery).toEqual([
      { channel: 'telegram', status: 'delivered' },
      { channel: 'slack', status: 'delivered' },
      { channel: 'mail', status: 'failed', error: 'nobody has joined yet' },
    ])
  })

  test('V2: that a crash left owed is found by the sweep', async () => {
    const courier = new FakeCourier()
    await using core = await startCore({ couriers: [courier] })
    await core.session({ reviewers: REVIEWERS })
    await core.ask()
    core.deliveries.start()
    expect(courier.asked).toEqual([])
    core.clock.advance(0)
    await eventually(() => expect(types(core)).toContain('request.delivered'))
  })

  test('V2: whose sender crashed is due again within the 30 seconds that a restart may take', async () => {
    const courier = new FakeCourier()
    const answer = Promise.withResolvers<void>()
    courier.gate = answer.promise
    await using core = await startAsking(courier)
    await core.ask()
    await eventually(() => expect(courier.asked).toHaveLength(1))
    const seconds = await dueIn(core, 'deliveries')
    answer.resolve()
    expect(seconds).toBeGreaterThan(0)
    // The sweep of the process that starts then takes up to three.
    expect(seconds).toBeLessThanOrEqual(27)
  })

  test('of what another process asked is sent by the next sweep', async () => {
    const courier = new FakeCourier()
    await using core = await startAsking(courier)
    core.clock.advance(0)
    await eventually(() => expect(core.clock.next).toBe(3_000))
    const asked = aSubmission()
    await core.another().requests.submit(TENANT, asked, 10, () => [{ channel: 'telegram' }])
    core.clock.advance(3_000)
    await eventually(() => expect(courier.asked).toHaveLength(1))
  })

  test('is asked for only while there is time to answer', async () => {
    const courier = new FakeCourier()
    await using core = await startAsking(courier)
    await core.ask(overdue)
    await core.deliveries.stop()
    expect(courier.asked).toEqual([])
  })

  test('of a burst is sent once each, however many there are', async () => {
    const courier = new FakeCourier()
    await using core = await startAsking(courier)
    await Promise.all(Array.from({ length: 60 }, () => core.ask()))
    await eventually(() => {
      core.clock.advance(3_000)
      expect(types(core).filter((type) => type === 'request.delivered')).toHaveLength(60)
    })
    const ids = courier.asked.map(({ request }) => request.question.id)
    expect(ids).toHaveLength(60)
    expect(new Set(ids).size).toBe(60)
  })
})

describe('a card that could not be sent', () => {
  test('V3: for good is told to the agent with the reason, and not tried again', async () => {
    const courier = new FakeCourier()
    courier.failures.push(new DeliveryError('the bot was blocked by the user'))
    await using core = await startAsking(courier)
    const { question } = await core.ask()
    await eventually(() => expect(types(core)).toContain('request.undelivered'))
    expect((await core.hub.get(anAgent(), question.id)).state).toMatchObject({
      status: 'pending',
      delivery: [
        { channel: 'telegram', status: 'failed', error: 'the bot was blocked by the user' },
      ],
    })
    await core.everythingIsDue()
    core.clock.advance(3_000)
    await core.deliveries.stop()
    expect(courier.asked).toHaveLength(1)
    expect(core.metrics.calls).toContain('delivered telegram failed')
  })

  test.each([
    ['an error that nobody foresaw', new Error('socket hang up'), 0, 1],
    ['a passing refusal', new DeliveryError('flood control', 7_000), 5, 7],
  ])('for now is tried again later: %s', async (_, failure, least, most) => {
    const courier = new FakeCourier()
    courier.failures.push(failure)
    await using core = await startAsking(courier)
    await core.ask()
    await eventually(() => expect(core.metrics.calls).toContain('delivered telegram retried'))
    await eventually(async () => expect(await dueIn(core, 'deliveries')).toBeLessThanOrEqual(most))
    expect(await dueIn(core, 'deliveries')).toBeGreaterThan(least)
    expect(types(core)).toEqual(['request.created'])
    await core.everythingIsDue()
    core.clock.advance(3_000)
    await eventually(() => expect(types(core)).toEqual(['request.created', 'request.delivered']))
    expect(courier.asked.map(({ attempt }) => attempt)).toEqual([1, 2])
  })

  test('is tried again after longer and longer, up to half a minute', async () => {
    const courier = new FakeCourier()
    await using core = await startAsking(courier)
    const delays = [1, 2, 5, 10, 30, 30]
    courier.failures.push(...delays.map(() => new Error('socket hang up')))
    await core.ask()
    for (const [i, delay] of delays.entries()) {
      const attempts = i + 1
      await eventually(async () => {
        expect(core.warnings).toHaveLength(attempts)
        expect(await dueIn(core, 'deliveries')).toBeLessThanOrEqual(delay)
      })
      expect(await dueIn(core, 'deliveries')).toBeGreaterThan(delay / 2 - 0.5)
      await core.everythingIsDue()
      core.clock.advance(3_000)
    }
    await eventually(() => expect(types(core)).toContain('request.delivered'))
  })

  test('V2: is tried again also when even that could not be noted', async () => {
    const courier = new FakeCourier()
    courier.failures.push(new Error('socket hang up'))
    const answer = Promise.withResolvers<void>()
    courier.gate = answer.promise
    await using core = await startAsking(courier)
    await core.ask()
    await eventually(() => expect(courier.asked).toHaveLength(1))
    await core.db.schema.alterTable('deliveries').renameTo('away').execute()
    answer.resolve()
    await eventually(() => expect(core.metrics.calls).toContain('failed delivery'))
    await core.db.schema.alterTable('away').renameTo('deliveries').execute()
    await core.everythingIsDue()
    await eventually(() => {
      core.clock.advance(3_000)
      expect(types(core)).toContain('request.delivered')
    })
  })
})

describe('a card whose turn has not come', () => {
  test('V6: is given back for as long as it must wait, and nothing has failed', async () => {
    const courier = new FakeCourier()
    courier.failures.push(new NotYet(200_000))
    await using core = await startAsking(courier)
    await core.ask()
    await eventually(async () => expect(await dueIn(core, 'deliveries')).toBeGreaterThan(190))
    expect(core.warnings).toEqual([])
    expect(core.metrics.calls.filter((call) => call.startsWith('delivered'))).toEqual([])
    await core.everythingIsDue()
    core.clock.advance(3_000)
    await eventually(() => expect(types(core)).toContain('request.delivered'))
    expect(courier.asked.map(({ attempt }) => attempt)).toEqual([1, 1])
  })
})

describe('the card of a settled request', () => {
  test('V2: is brought up to date directly after the commit, and then left alone', async () => {
    const courier = new FakeCourier()
    await using core = await startAsking(courier)
    const { question } = await core.ask()
    await eventually(() => expect(types(core)).toContain('request.delivered'))
    const decided = await core.hub.decide(ANN, question.id, { option: 'Deploy' })
    await eventually(() => expect(courier.settled).toHaveLength(1))
    const card = { requestId: question.id, channel: 'telegram', address: '41', message: 'm1' }
    expect(courier.settled[0]).toEqual({
      type: 'settle',
      channel: 'telegram',
      card,
      request: decided,
      attempt: 1,
    })
    await eventually(async () => {
      const { rows } = await sql`SELECT 1 FROM cards WHERE closed`.execute(core.db)
      expect(rows).toHaveLength(1)
    })
    await core.everythingIsDue()
    core.clock.advance(3_000)
    await core.deliveries.stop()
    expect(courier.settled).toHaveLength(1)
  })

  test.each(['expired', 'canceled'] as const)(
    'V2: is brought up to date also when it %s',
    async (how) => {
      const courier = new FakeCourier()
      await using core = await startAsking(courier)
      const request = await core.ask()
      await eventually(() => expect(types(core)).toContain('request.delivered'))
      if (how === 'canceled') await core.hub.cancel(anAgent(), request.question.id)
      else {
        await sql`UPDATE requests SET expires_at = created_at`.execute(core.db)
        await core.hub.expire(request)
      }
      await eventually(() => expect(courier.settled).toHaveLength(1))
      expect(courier.settled[0]?.request.state.outcome).toBe(how)
    },
  )

  test('L3, V2: that was on its way meanwhile gets its outcome, and no event follows', async () => {
    const courier = new FakeCourier()
    const answer = Promise.withResolvers<void>()
    courier.gate = answer.promise
    await using core = await startAsking(courier)
    const { question } = await core.ask()
    await eventually(() => expect(courier.asked).toHaveLength(1))
    await core.hub.decide(ANN, question.id, { option: 'Deploy' })
    // The settled request is looked at, and has no card yet: the database answers in order.
    for (let i = 0; i < 5; i++) await core.stores.ping()
    answer.resolve()
    await eventually(() => expect(courier.settled).toHaveLength(1))
    expect(types(core)).toEqual(['request.created', 'request.decided'])
  })

  test('is tried again when it could not be changed for now', async () => {
    const courier = new FakeCourier()
    courier.failures.push(undefined, new DeliveryError('flood control', 4_000))
    await using core = await startAsking(courier)
    const { question } = await core.ask()
    await eventually(() => expect(types(core)).toContain('request.delivered'))
    await core.hub.decide(ANN, question.id, { option: 'Deploy' })
    await eventually(async () => expect(await dueIn(core, 'cards')).toBeLessThanOrEqual(4))
    expect(await dueIn(core, 'cards')).toBeGreaterThan(2)
    await core.everythingIsDue()
    core.clock.advance(3_000)
    await eventually(() => expect(courier.settled.map(({ attempt }) => attempt)).toEqual([1, 2]))
  })

  test('is given up when it can never be changed, and nothing is told', async () => {
    const courier = new FakeCourier()
    courier.failures.push(undefined, new DeliveryError('message to edit not found'))
    await using core = await startAsking(courier)
    const { question } = await core.ask()
    await eventually(() => expect(types(core)).toContain('request.delivered'))
    await core.hub.decide(ANN, question.id, { option: 'Deploy' })
    await eventually(async () => {
      const { rows } = await sql`SELECT 1 FROM cards WHERE closed`.execute(core.db)
      expect(rows).toHaveLength(1)
    })
    expect(types(core)).toEqual(['request.created', 'request.delivered', 'request.decided'])
  })

  test('of another process is brought up to date by the sweep', async () => {
    const courier = new FakeCourier()
    await using core = await startAsking(courier)
    const request = await core.ask()
    await eventually(() => expect(types(core)).toContain('request.delivered'))
    await core.another().requests.settle(request, approval(), 'person:console:ann')
    await eventually(() => {
      core.clock.advance(3_000)
      expect(courier.settled).toHaveLength(1)
    })
  })
})

describe('the deliveries', () => {
  test('do nothing without a channel that asks', async () => {
    await using core = await startCore()
    core.deliveries.start()
    await core.session()
    await core.ask()
    expect(core.clock.waiting).toBe(0)
  })

  test('send what is owed when they are woken', async () => {
    const courier = new FakeCourier()
    await using core = await startCore({ couriers: [courier] })
    await core.session({ reviewers: REVIEWERS })
    await core.ask()
    core.deliveries.wake()
    await eventually(() => expect(types(core)).toContain('request.delivered'))
  })

  test('stop when what is in the air is done, and send nothing more', async () => {
    const courier = new FakeCourier()
    const answer = Promise.withResolvers<void>()
    courier.gate = answer.promise
    await using core = await startAsking(courier)
    await core.ask()
    await eventually(() => expect(courier.asked).toHaveLength(1))
    const stopping = core.deliveries.stop()
    await core.ask()
    core.deliveries.wake()
    answer.resolve()
    await stopping
    expect(courier.asked).toHaveLength(1)
    expect(types(core)).toContain('request.delivered')
    expect(core.clock.waiting).toBe(0)
  })
})

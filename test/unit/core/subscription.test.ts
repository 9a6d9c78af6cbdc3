import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Event, Since } from '../../../src/core/event.ts'
import type { Position, Target } from '../../../src/core/ports.ts'
import { type EndReason, type Reader, Subscription } from '../../../src/core/subscription.ts'
import { type Chaos, ModelLog } from './model-log.ts'

const SESSION: Target = { tenant: 'tenant-1', sessionId: 'session-1' }

/** Keeps what it was told, in order. */
class Recorder implements Reader {
  readonly told: (Event | Position | EndReason)[] = []
  subscription: Subscription | undefined
  readonly #chaos: Chaos

  constructor(chaos: Chaos) {
    this.#chaos = chaos
  }

  started(position: Position, subscription: Subscription): void {
    this.subscription = subscription
    this.told.push(position)
  }

  event(event: Event): void {
    this.told.push(event)
  }

  drained(): Promise<void> {
    return this.#chaos.pause()
  }

  ended(reason: EndReason): void {
    this.told.push(reason)
  }

  get events(): Event[] {
    return this.told.filter((one): one is Event => typeof one === 'object' && 'type' in one)
  }

  get position(): Position | undefined {
    return this.told.find((one) => typeof one === 'object' && 'recovered' in one)
  }
}

/**
 * A session in which everything happens at the worst moment: events are committed wherever a reading
 * or a reader waits, hints are lost, repeated and late, and readings fail.
 */
class World implements Chaos {
  readonly log = new ModelLog(this)
  readonly reader = new Recorder(this)
  readonly subscription: Subscription
  readonly failures: unknown[] = []
  left = 0
  mostReadings = 0
  #isCalm = false
  #hints: Event[] = []
  #next = 0
  /** What happens ends some time: a log that grows for ever has no last event to wait for. */
  #stepsLeft = 150
  readonly #choices: readonly number[]

  constructor(choices: readonly number[], requestId?: string) {
    this.#choices = choices
    this.subscription = new Subscription({ ...SESSION, requestId }, this.reader, this.log, {
      left: () => {
        this.left++
      },
      failed: (error: unknown) => this.failures.push(error),
    })
  }

  pick(limit: number): number {
    const choice = this.#choices[this.#next++ % this.#choices.length] ?? 0
    return limit === 0 ? 0 : choice % limit
  }

  fails(): boolean {
    return this.#stepsLeft > 0 && !this.#isCalm && this.pick(5) === 0
  }

  async pause(): Promise<void> {
    this.mostReadings = Math.max(this.mostReadings, this.log.reading)
    if (this.#isCalm) return
    this.step()
    for (let turns = this.pick(3); turns > 0; turns--) await Promise.resolve()
    this.step()
  }

  /** Something happens: an event, and what the reader hears of it, or of an earlier one. */
  step(): void {
    if (this.#stepsLeft-- <= 0) return
    const choice = this.pick(8)
    if (choice < 3) this.#commit(choice)
    else if (choice === 3) this.#hint()
    else if (choice === 4) this.subscription.wake()
  }

  /** At once, twice, or later, perhaps never. */
  #commit(hints: number): void {
    if (this.log.events.length >= 60) return
    const event = this.log.commit()
    for (let i = 0; i < hints; i++) this.subscription.push(event)
    if (hints === 0) this.#hints.push(event)
  }

  #hint(): void {
    const at = this.pick(this.#hints.length)
    const hint = this.#hints[at]
    if (hint) this.subscription.push(hint)
    if (this.pick(2) === 0) this.#hints.splice(at, 1)
  }

  async subscribe(since: Since): Promise<void> {
    await this.subscription.start(await this.log.locate(this.subscription.target, since))
  }

  /** Nothing new happens, and the sweep of the hub does its work. */
  async calm(): Promise<void> {
    this.#isCalm = true
    await setImmediate()
    for (let sweeps = 0; sweeps < 3; sweeps++) {
      if (this.subscription.isLive && this.subscription.seq < this.log.events.length) {
        this.subscription.wake()
      }
      await setImmediate()
    }
  }
}

const choices = fc.array(fc.nat({ max: 9_999 }), { minLength: 20, maxLength: 200 })
const since = fc.oneof(
  fc.constantFrom<Since>(undefined, 'earliest', 'unknown'),
  fc.nat({ max: 20 }).map((seq) => ({ epoch: 'e1', seq })),
)

/** Lets the world go on for a while around a reader that comes at some moment. */
async function live(world: World, before: number, since: Since, steps: number): Promise<void> {
  for (let i = 0; i < before; i++) world.log.commit()
  const subscribing = world.subscribe(since)
  for (let i = 0; i < steps; i++) {
    world.step()
    if (world.pick(2) === 0) await Promise.resolve()
    if (world.pick(6) === 0) await setImmediate()
  }
  await subscribing
  await world.calm()
}

const numbers = (events: readonly Event[]) => events.map(({ cursor }) => cursor.seq)

describe('whatever happens meanwhile', () => {
  test('S1, S4: a reader of a session gets every event after its cursor, in order, each once', async () => {
    await fc.assert(
      fc.asyncProperty(
        choices,
        fc.nat(8),
        since,
        fc.nat(40),
        async (random, before, from, steps) => {
          const world = new World(random)
          await live(world, before, from, steps)
          const start = world.reader.position?.cursor.seq ?? -1
          const expected = world.log.events.slice(start)
          expect(numbers(world.reader.events)).toEqual(numbers(expected))
          expect(world.reader.told.filter((one) => typeof one === 'string')).toEqual([])
        },
      ),
      { numRuns: 300 },
    )
  })

  test('S2: a reader of a request gets its events alone, and ends after the last', async () => {
    await fc.assert(
      fc.asyncProperty(
        choices,
        fc.nat(8),
        since,
        fc.nat(40),
        async (random, before, from, steps) => {
          const world = new World(random, 'request-1')
          await live(world, before, from, steps)
          const start = world.reader.position?.cursor.seq ?? -1
          const expected = world.log.events
            .slice(start)
            .filter(({ question }) => question.id === 'request-1')
          expect(world.reader.events).toEqual(expected)
          const isOver = expected.at(-1)?.state.status === 'decided'
          expect(world.reader.told.filter((one) => typeof one === 'string')).toEqual(
            isOver ? ['settled'] : [],
          )
          expect(world.reader.told.at(-1) === 'settled').toBe(isOver)
          expect(world.left).toBe(isOver ? 1 : 0)
        },
      ),
      { numRuns: 300 },
    )
  })

  test('S3: where it starts is what a reader is told first, and once', async () => {
    await fc.assert(
      fc.asyncProperty(choices, fc.nat(8), since, async (random, before, from) => {
        const world = new World(random)
        await live(world, before, from, 10)
        const { told, position, events } = world.reader
        expect(told[0]).toBe(position)
        expect(told.filter((one) => one === position)).toHaveLength(1)
        if (position?.recovered === false) {
          expect(numbers(events)).toEqual(numbers(world.log.events))
        }
      }),
    )
  })

  test('S5: nothing is read twice at a time, and nothing is kept for later', async () => {
    await fc.assert(
      fc.asyncProperty(choices, fc.nat(40), async (random, steps) => {
        const world = new World(random)
        await live(world, 3, 'earliest', steps)
        expect(world.mostReadings).toBeLessThanOrEqual(1)
      }),
    )
  })

  test('a reader that left hears nothing more', async () => {
    await fc.assert(
      fc.asyncProperty(choices, fc.nat(20), fc.nat(20), async (random, until, more) => {
        const world = new World(random)
        const subscribing = world.subscribe('earliest')
        for (let i = 0; i < until; i++) {
          world.step()
          await Promise.resolve()
        }
        const { subscription } = world.reader
        subscription?.end('left')
        const heard = world.reader.told.length
        for (let i = 0; i < more; i++) world.step()
        await subscribing
        if (!subscription) world.subscription.end('left')
        await world.calm()
        if (subscription) expect(world.reader.told).toHaveLength(heard)
        expect(world.reader.told.at(-1)).toBe('left')
        expect(world.left).toBe(1)
      }),
    )
  })
})

describe('a subscription', () => {
  /** Does the same each time: nothing fails, nothing happens by itself. */
  const quiet: Chaos = {
    pick: (limit) => limit - 1,
    fails: () => false,
    pause: async () => undefined,
  }

  function open(requestId?: string, chaos = quiet) {
    const log = new ModelLog(chaos)
    const reader = new Recorder(chaos)
    const failures: unknown[] = []
    const subscription = new Subscription({ ...SESSION, requestId }, reader, log, {
      left: () => undefined,
      failed: (error: unknown) => failures.push(error),
    })
    const begin = async (since: Since) =>
      subscription.start(await log.locate(subscription.target, since))
    return { log, reader, subscription, begin, failures }
  }

  test('gives an event in the tick in which it is pushed', async () => {
    const { log, reader, subscription, begin } = open()
    await begin(undefined)
    subscription.push(log.commit())
    expect(numbers(reader.events)).toEqual([1])
  })

  test('reads the log for what it was not told of', async () => {
    const { log, reader, subscription, begin } = open()
    await begin(undefined)
    log.commit()
    subscription.push(log.commit())
    expect(reader.events).toEqual([])
    await setImmediate()
    expect(numbers(reader.events)).toEqual([1, 2])
  })

  test('S4: does not read the log for what it has given already', async () => {
    let readings = 0
    const { log, subscription, begin } = open(undefined, {
      ...quiet,
      pause: async () => {
        readings++
      },
    })
    await begin(undefined)
    const event = log.commit()
    subscription.push(event)
    readings = 0
    subscription.push(event)
    await setImmediate()
    expect(readings).toBe(0)
  })

  test('gives what is committed while its place is looked for, without waiting for the sweep', async () => {
    const { log, reader, subscription } = open()
    const position = await log.locate(SESSION, undefined)
    subscription.push(log.commit())
    await subscription.start(position)
    expect(numbers(reader.events)).toEqual([1])
    expect(subscription.isLive).toBe(true)
  })

  test('gives what is committed while a page is read, without waiting for the sweep', async () => {
    const parts: { commit?: () => void } = {}
    const { log, reader, subscription, begin } = open(undefined, {
      ...quiet,
      pause: async () => {
        if (log.reading === 0) return
        parts.commit?.()
      },
    })
    // Before the reading and after it.
    let commits = 2
    parts.commit = () => {
      if (commits-- > 0) subscription.push(log.commit())
    }
    await begin('earliest')
    subscription.wake()
    await setImmediate()
    expect(numbers(reader.events)).toEqual([1, 2])
  })

  test('a reading that fails is told, and the next hint makes up for it', async () => {
    let isAway = true
    const { log, reader, subscription, begin, failures } = open(undefined, {
      ...quiet,
      fails: () => isAway,
    })
    log.commit()
    await begin('earliest')
    expect(failures).toHaveLength(1)
    expect(subscription.isLive).toBe(true)
    expect(reader.events).toEqual([])
    isAway = false
    subscription.push(log.commit())
    await setImmediate()
    expect(numbers(reader.events)).toEqual([1, 2])
  })

  test('S5: waits for its reader after each event that it reads', async () => {
    const { log, reader, begin } = open()
    const taken = [0, 1, 2].map(() => Promise.withResolvers<void>())
    let waits = 0
    reader.drained = () => taken[waits++]?.promise ?? Promise.resolve()
    for (let i = 0; i < 3; i++) log.commit()
    const beginning = begin('earliest')
    for (const [given, { resolve }] of taken.entries()) {
      await setImmediate()
      expect(reader.events).toHaveLength(given + 1)
      resolve()
    }
    await beginning
    expect(numbers(reader.events)).toEqual([1, 2, 3])
  })

  test('may be ended by its reader at any event, and then reads no further', async () => {
    const { log, reader, subscription, begin } = open()
    for (let i = 0; i < 5; i++) log.commit()
    reader.event = function (event) {
      this.told.push(event)
      if (event.cursor.seq === 3) subscription.end('left')
    }
    await begin('earliest')
    subscription.push(log.commit())
    subscription.wake()
    await setImmediate()
    expect(numbers(reader.events)).toEqual([1, 2, 3])
    expect(reader.told.at(-1)).toBe('left')
  })

  test('ends once', async () => {
    const { reader, subscription, begin } = open()
    await begin('earliest')
    subscription.end('left')
    subscription.end('left')
    expect(reader.told.filter((one) => one === 'left')).toHaveLength(1)
  })
})

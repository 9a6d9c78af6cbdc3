import { describe, expect, test } from 'vitest'
import { Backlogs } from '../../../src/transports/backlog.ts'
import { FakeClock } from '../../support/clock.ts'

const MIB = 1024 * 1024

/** A connection whose other side takes what the test says. */
class Pipe {
  readonly #backlogs: Backlogs
  waiting = 0
  cuts = 0

  constructor(backlogs: Backlogs) {
    this.#backlogs = backlogs
  }

  backlog(): number {
    return this.waiting
  }

  cut(): void {
    this.cuts++
  }

  write(bytes: number): void {
    this.waiting += bytes
    this.#backlogs.wrote(this, bytes)
  }

  take(bytes: number): void {
    this.waiting = Math.max(0, this.waiting - bytes)
  }
}

function open() {
  const clock = new FakeClock()
  const backlogs = new Backlogs(clock)
  return { clock, backlogs, pipe: new Pipe(backlogs) }
}

describe('a connection is cut', () => {
  test('as soon as more than 1 MiB waits, and not at 1 MiB', () => {
    const { pipe } = open()
    pipe.write(MIB)
    expect(pipe.cuts).toBe(0)
    pipe.write(1)
    expect(pipe.cuts).toBe(1)
  })

  test('when what waits has waited for 5 s, and a second of looking', () => {
    const { pipe, clock } = open()
    pipe.write(100)
    clock.advance(4_999)
    expect(pipe.cuts).toBe(0)
    clock.advance(1_001)
    expect(pipe.cuts).toBe(1)
  })

  test('also when it takes a byte a second', () => {
    const { pipe, clock } = open()
    pipe.write(1_000)
    for (let second = 0; second < 6; second++) {
      pipe.take(1)
      clock.advance(1_000)
    }
    expect(pipe.cuts).toBe(1)
  })

  test('also when new events keep coming, each taken too late', () => {
    const { pipe, clock } = open()
    pipe.write(50_000)
    for (let second = 0; second < 6 && pipe.cuts === 0; second++) {
      pipe.take(5_000)
      pipe.write(5_000)
      clock.advance(1_000)
    }
    expect(pipe.cuts).toBe(1)
  })

  test('once', () => {
    const { pipe, clock } = open()
    pipe.write(100)
    clock.advance(60_000)
    expect(pipe.cuts).toBe(1)
    expect(clock.waiting).toBe(0)
  })
})

describe('a connection is not cut', () => {
  test('that takes everything within 5 s, for however long it goes on and whatever waits', () => {
    const { pipe, clock } = open()
    for (let second = 0; second < 60; second++) {
      pipe.write(200_000)
      clock.advance(1_000)
      if (second >= 3) pipe.take(200_000)
    }
    expect(pipe.waiting).toBeGreaterThan(0)
    expect(pipe.cuts).toBe(0)
  })

  test('that is gone', () => {
    const { pipe, clock, backlogs } = open()
    pipe.write(100)
    backlogs.forget(pipe)
    clock.advance(60_000)
    expect(pipe.cuts).toBe(0)
  })
})

test('whoever has nothing waiting costs no timer', () => {
  const { pipe, clock } = open()
  pipe.write(0)
  expect(clock.waiting).toBe(0)
  pipe.write(10)
  expect(clock.waiting).toBe(1)
  pipe.take(10)
  clock.advance(1_000)
  expect(clock.waiting).toBe(0)
})

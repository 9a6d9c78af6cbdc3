import { expect, test } from 'vitest'
import { Heartbeats } from '../../../src/transports/heartbeat.ts'
import { FakeClock } from '../../support/clock.ts'

class Peer {
  readonly #clock: FakeClock
  readonly beats: number[] = []
  readonly expected: number[] = []

  constructor(clock: FakeClock) {
    this.#clock = clock
  }

  beat(): void {
    this.beats.push(this.#clock.now() / 1_000)
  }

  expect(): void {
    this.expected.push(this.#clock.now() / 1_000)
  }
}

test('each connection beats once a period, and is expected to have answered after the grace', () => {
  const clock = new FakeClock()
  const wheel = new Heartbeats(25, 8, clock)
  const early = new Peer(clock)
  const late = new Peer(clock)
  wheel.add(early)
  clock.advance(10_000)
  wheel.add(late)
  clock.advance(70_000)
  expect(early.beats).toEqual([25, 50, 75])
  expect(late.beats).toEqual([35, 60])
  // Before the first beat nobody has anything to answer: what a peer does then is its own to know.
  expect(early.expected).toEqual([8, 33, 58])
  expect(late.expected).toEqual([18, 43, 68])
})

test('ten thousand connections turn on one timer, and none when they are gone', () => {
  const clock = new FakeClock()
  const wheel = new Heartbeats(15, 0, clock)
  const leaves = Array.from({ length: 10_000 }, () => wheel.add(new Peer(clock)))
  expect(clock.waiting).toBe(1)
  clock.advance(20_000)
  expect(clock.waiting).toBe(1)
  for (const leave of leaves) leave()
  clock.advance(1_000)
  expect(clock.waiting).toBe(0)
})

import { setTimeout } from 'node:timers/promises'
import type { Weather } from '../proxy.ts'
import type { Fault } from './fault.ts'

/** Agents are cut off anywhere in what they are told, and go on elsewhere. */
const cutReaders: Fault = {
  name: 'reader cut',
  every: [0.5, 2],
  fits: () => true,
  async inject({ place }, random) {
    const bytes = random.whole(0, 4_000)
    random.pick(place.lines).cut(bytes)
    return `after ${bytes} bytes`
  },
}

const weather = (
  kind: Weather,
  every: readonly [number, number],
  forMs: readonly [number, number],
): Fault => ({
  name: `database ${kind}`,
  every,
  fits: ({ place }) => place.network !== undefined,
  async inject({ place: { network } }, random) {
    const ms = random.whole(...forMs)
    const delayMs = random.whole(20, 300)
    if (network?.weather !== 'fair') return 'the network was bad already'
    network.delayMs = delayMs
    network.weather = kind
    if (kind === 'reset') network.cut()
    await setTimeout(ms)
    network.weather = 'fair'
    // What was swallowed can not be made up: such connections are dead.
    if (kind === 'half-open' || kind === 'blackhole') network.cut()
    return `${ms} ms`
  },
})

const restart: Fault = {
  name: 'pg_ctl restart -m immediate',
  every: [18, 25],
  fits: ({ place }) => place.postgres !== undefined,
  async inject({ place: { postgres } }) {
    await postgres?.restart()
    return ''
  },
}

const endListeners: Fault = {
  name: 'LISTEN ended',
  every: [5, 10],
  fits: ({ place }) => place.postgres !== undefined,
  async inject({ place: { postgres } }) {
    let ended = 0
    for (let i = 0; i < 10; i++) {
      ended += (await postgres?.endListeners().catch(() => 0)) ?? 0
      await setTimeout(200)
    }
    return `${ended} connections`
  },
}

export const networkFaults = [
  cutReaders,
  restart,
  endListeners,
  weather('slow', [25, 45], [2_000, 5_000]),
  weather('narrow', [30, 50], [2_000, 8_000]),
  weather('reset', [20, 40], [100, 2_000]),
  weather('half-open', [40, 70], [1_000, 5_000]),
  weather('blackhole', [60, 100], [2_000, 15_000]),
]

import { setTimeout } from 'node:timers/promises'
import { READERS, type ReaderName } from '../support/readers/index.ts'
import type { Reader } from '../support/readers/reader.ts'
import { heardOf } from './facts.ts'
import type { History } from './history.ts'
import type { Line } from './line.ts'
import type { Place } from './place.ts'
import { Random } from './random.ts'

const NAMES = Object.keys(READERS) as ReaderName[]
const LOOK_MS = 50
const CONNECT_MS = 5_000

/**
 * An agent that reads a session from its beginning. It stays nowhere for long: each time it goes on
 * from its cursor, over another transport, at any of the servers.
 */
export class SessionReader {
  readonly name: string
  readonly line: Line
  /** From the loss of a connection to the next, at worst. */
  worstRecoveryMs = 0
  heard = 0
  #cursor = 'earliest'
  readonly #place: Place
  readonly #history: History
  readonly #random: Random
  #lostAt: number | undefined

  constructor(name: string, line: Line, place: Place, history: History, seed: number) {
    this.name = name
    this.line = line
    this.#place = place
    this.#history = history
    this.#random = new Random(seed, name)
  }

  get seq(): number {
    return Number(this.#cursor.slice(this.#cursor.lastIndexOf('-') + 1)) || 0
  }

  async run(over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      const way = this.#random.pick(NAMES)
      const { number } = this.#random.pick(this.#place.servers)
      const lifeMs = this.#random.whole(500, 8_000)
      const reader = await this.#connect(way, number)
      if (!reader) {
        this.#lostAt ??= Date.now()
        await setTimeout(this.#random.whole(20, 200))
        continue
      }
      await this.#read(reader, lifeMs, over)
      this.#lostAt = Date.now()
    }
  }

  async #connect(way: ReaderName, number: number): Promise<Reader | undefined> {
    const since = this.#cursor
    const target = { session_id: this.line.session }
    const { token } = this.line
    const connecting = READERS[way](this.#place.url(number), { target, since, token })
    const late = setTimeout(CONNECT_MS, undefined, { ref: false })
    const reader = await Promise.race([connecting, late]).catch(() => undefined)
    if (!reader) {
      connecting.then((tooLate) => tooLate[Symbol.asyncDispose]()).catch(() => undefined)
      return undefined
    }
    const recovered = reader.place?.recovered === true
    const at = Date.now()
    if (this.#lostAt !== undefined) {
      this.worstRecoveryMs = Math.max(this.worstRecoveryMs, at - this.#lostAt)
      this.#lostAt = undefined
    }
    this.#history.add({
      t: 'resumed',
      at,
      reader: this.name,
      since,
      recovered,
      way,
      process: number,
    })
    return reader
  }

  async #read(reader: Reader, lifeMs: number, over: AbortSignal): Promise<void> {
    const until = Date.now() + lifeMs
    let isBroken = false
    reader.ended().catch(() => {
      isBroken = true
    })
    let taken = 0
    const take = () => {
      for (const envelope of reader.events.slice(taken)) {
        // A frame that says why the server closes is no event.
        if (!envelope.type.startsWith('request.')) continue
        this.#history.add({ t: 'heard', at: Date.now(), reader: this.name, ...heardOf(envelope) })
        this.#cursor = envelope.id
        this.heard += 1
      }
      taken = reader.events.length
    }
    while (!isBroken && Date.now() < until && !over.aborted) {
      take()
      await setTimeout(LOOK_MS)
    }
    take()
    await reader[Symbol.asyncDispose]()
  }
}

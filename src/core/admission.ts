import { LoopgateError } from './errors.ts'
import type { EventLog } from './ports.ts'

/** Readings of the log at once: a part of what the database takes, so that deciding goes on. */
const AT_ONCE = 8
/** Readers that wait to begin. The others are told when to come back. */
const MAX_WAITING = 4_096
/** They are told one second after the other, so that they do not come back together. */
const SPREAD_SECONDS = 4

export interface AdmissionLimits {
  readonly atOnce: number
  readonly maxWaiting: number
}

/**
 * The log, read by few at once and in the order of asking: thousands of readers that come back
 * together, after a restart say, are no storm on the database.
 *
 * A reader that begins (`locate`) may be turned away; one that has begun waits its turn, and there
 * are no more of those than were let in. Nobody holds a turn while somebody else is waited for.
 */
export function paced(
  log: EventLog,
  { atOnce, maxWaiting }: AdmissionLimits = { atOnce: AT_ONCE, maxWaiting: MAX_WAITING },
): EventLog {
  const turns = new Turns(atOnce)
  let beginning = 0
  let refused = 0
  return {
    async locate(target, since) {
      if (beginning >= maxWaiting) {
        const retryAfterSeconds = 1 + (refused++ % SPREAD_SECONDS)
        throw new LoopgateError('UNAVAILABLE', 'too many readers come at once; try again', {
          retryAfterSeconds,
        })
      }
      beginning++
      try {
        return await turns.take(() => log.locate(target, since))
      } finally {
        beginning--
      }
    },
    read: (target, seq, limit) => turns.take(() => log.read(target, seq, limit)),
    // One for all readers, by the hub's own clock.
    ahead: (readers) => log.ahead(readers),
  }
}

/** Runs so many tasks at once, the others in the order in which they came. */
export class Turns {
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(atOnce: number) {
    this.#free = atOnce
  }

  /** How many wait for a turn. */
  get waiting(): number {
    return this.#waiting.length
  }

  async take<Answer>(task: () => Promise<Answer>): Promise<Answer> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await task()
    } finally {
      // Handed on, not given back: nobody who comes meanwhile overtakes.
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }
}

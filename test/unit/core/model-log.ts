import type { Event, Since } from '../../../src/core/event.ts'
import type { EventLog, Page, Position, Target } from '../../../src/core/ports.ts'
import { anEvent } from '../../support/builders.ts'

/**
 * The log of one session as the specification has it, in memory: what the subscription is held
 * against. `pause` is called wherever a real log would let others run.
 */
export class ModelLog implements EventLog {
  readonly events: Event[] = []
  /** Readings that have begun and not ended. */
  reading = 0
  readonly #chaos: Chaos
  #requests = 0
  #open: string[] = []

  constructor(chaos: Chaos) {
    this.#chaos = chaos
  }

  /** Appends what may happen next: a request, something of a pending one, or its end. */
  commit(): Event {
    const choice = this.#chaos.pick(4)
    const id = this.#open[this.#chaos.pick(this.#open.length)]
    if (id === undefined || choice === 0) return this.#append(this.#ask(), 'request.created')
    if (choice < 3) return this.#append(id, 'request.delivered')
    this.#open = this.#open.filter((open) => open !== id)
    return this.#append(id, 'request.decided')
  }

  async locate(_target: Target, since: Since): Promise<Position> {
    await this.#chaos.pause()
    const position = this.#place(since)
    await this.#chaos.pause()
    return position
  }

  async read(target: Target, seq: number, limit: number): Promise<Page> {
    this.reading++
    try {
      await this.#chaos.pause()
      if (this.#chaos.fails()) throw new Error('the log can not be read')
      const page = this.#page(target, seq, 1 + this.#chaos.pick(limit))
      await this.#chaos.pause()
      return page
    } finally {
      this.reading--
    }
  }

  async ahead(): Promise<[]> {
    return []
  }

  #place(since: Since): Position {
    const { cursor, recovered } = this.#resolve(since)
    return { cursor, recovered, isAtEnd: cursor.seq === this.events.length }
  }

  #resolve(since: Since): Omit<Position, 'isAtEnd'> {
    const floor = { epoch: 'e1', seq: 0 }
    if (since === undefined) {
      return { cursor: this.events.at(-1)?.cursor ?? floor, recovered: true }
    }
    const isKnown = typeof since === 'object' && since.seq <= this.events.length
    return isKnown
      ? { cursor: since, recovered: true }
      : { cursor: floor, recovered: since === 'earliest' }
  }

  #page({ requestId }: Target, seq: number, limit: number): Page {
    const rest = this.events
      .slice(seq)
      .filter(({ question }) => requestId === undefined || question.id === requestId)
    const events = rest.slice(0, limit)
    const complete = events.length < limit
    const head = this.events.length
    return { events, seq: complete ? head : (events.at(-1)?.cursor.seq ?? seq), complete }
  }

  #ask(): string {
    const id = `request-${++this.#requests}`
    this.#open.push(id)
    return id
  }

  #append(id: string, type: Event['type']): Event {
    const state = { status: type === 'request.decided' ? 'decided' : 'pending' } as const
    const event = anEvent(type, { question: { id }, state, seq: this.events.length + 1 })
    this.events.push(event)
    return event
  }
}

/** What happens at every place where something else may run. */
export interface Chaos {
  /** A number below `limit`. */
  pick(limit: number): number
  fails(): boolean
  pause(): Promise<void>
}

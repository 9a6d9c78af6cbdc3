import type { Envelope, Hello } from '../../../src/protocol/types.ts'
import { Watch } from './watch.ts'

/** What is read. */
export type Target = { readonly session_id: string } | { readonly request_id: string }

export interface Wish {
  readonly target: Target
  /** A cursor, or `earliest`; from now on when there is none. */
  readonly since?: string | undefined
  /** The credential, if any. */
  readonly token?: string | undefined
}

/** Begins to read. Resolves when the server has said where reading starts, or that nothing follows. */
export type Connect = (url: string, wish: Wish) => Promise<Reader>

/** The server did not let us read. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly code: string
  /** The HTTP status, where the transport has one. */
  readonly status: number | undefined

  constructor(code: string, status?: number) {
    super(status === undefined ? code : `${status} ${code}`)
    this.code = code
    this.status = status
  }
}

/**
 * An agent that reads: the events as they come, whatever the transport is.
 *
 * A transport calls `started`, `heard`, `over` and `failed`; a test calls the rest. An event before
 * `started` is a failure, since the place comes before anything else.
 */
export class Reader implements AsyncDisposable {
  readonly #leave: () => void | Promise<void>
  readonly #watch = new Watch()
  readonly #events: Envelope[] = []
  #place: Hello | undefined
  #isOver = false
  #failure: Error | undefined

  constructor(leave: () => void | Promise<void>) {
    this.#leave = leave
  }

  started(place: Hello): void {
    this.#place = place
    this.#watch.changed()
  }

  heard(event: Envelope): void {
    if (!this.#place) this.failed(new Error(`${event.id} came before the place`))
    this.#events.push(event)
    this.#watch.changed()
  }

  over(): void {
    this.#isOver = true
    this.#watch.changed()
  }

  failed(error: Error): void {
    this.#failure ??= error
    this.#watch.changed()
  }

  /** Where reading started; undefined when there was nothing to read any more. */
  get place(): Hello | undefined {
    return this.#place
  }

  get events(): readonly Envelope[] {
    return this.#events
  }

  /** Resolves when the server has said where reading starts, or that nothing follows. */
  begun(): Promise<this> {
    return this.#until(() => (this.#place || this.#isOver ? this : undefined), 'a place')
  }

  /** All events up to the one with this cursor, which may be to come. */
  upTo(cursor: string): Promise<readonly Envelope[]> {
    const look = () => {
      const at = this.#events.findIndex(({ id }) => id === cursor)
      return at < 0 ? undefined : this.#events.slice(0, at + 1)
    }
    return this.#until(look, `the event ${cursor}`)
  }

  /** The first event of this type, past or to come. */
  first(type: Envelope['type']): Promise<Envelope> {
    return this.#until(() => this.#events.find((event) => event.type === type), type)
  }

  /** All events, when the server has said that nothing follows. */
  ended(): Promise<readonly Envelope[]> {
    return this.#until(() => (this.#isOver ? this.#events : undefined), 'the end')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leave()
  }

  #until<Value>(look: () => Value | undefined, what: string): Promise<Value> {
    const lookOrThrow = () => {
      if (this.#failure) throw this.#failure
      return look()
    }
    return this.#watch.until(
      lookOrThrow,
      () => `${what}; there came ${this.#events.map(({ id, type }) => `${id} ${type}`).join(', ')}`,
    )
  }
}

export const bearer = (token: string | undefined): Record<string, string> =>
  token === undefined ? {} : { authorization: `Bearer ${token}` }

/** A problem answer as what it means to a reader. */
export async function refusedBy(response: Response): Promise<Refused> {
  const problem = (await response.json()) as { readonly code: string }
  return new Refused(problem.code, response.status)
}

import type { ApiError } from '@grammyjs/types'
import type { Params } from './params.ts'
import type { Fields } from './values.ts'
import { Waiters } from './waiters.ts'

/**
 * `ok` and `error` were answered so; `reset` and `hang` were not done and not answered;
 * `dropped` was done, but its answer never left; `abandoned` means the client hung up first.
 */
export type CallOutcome = 'pending' | 'ok' | 'error' | 'reset' | 'hang' | 'dropped' | 'abandoned'

export interface FakeCall {
  readonly id: number
  readonly method: string
  readonly params: Fields
  /** Telegram's time in milliseconds. */
  readonly at: number
  readonly finishedAt: number | undefined
  readonly outcome: CallOutcome
  readonly result: unknown
  readonly error: ApiError | undefined
}

export class OpenCall implements FakeCall {
  readonly id: number
  readonly method: string
  readonly params: Fields
  readonly at: number
  finishedAt: number | undefined
  outcome: CallOutcome = 'pending'
  result: unknown
  error: ApiError | undefined

  constructor(id: number, method: string, params: Params, at: number) {
    this.id = id
    this.method = method
    this.params = params.values
    this.at = at
  }
}

/** Every call the bot made, in the order of arrival. */
export class CallLog {
  readonly finished = new Waiters<FakeCall>()
  readonly #limit: number
  #calls: OpenCall[] = []
  #count = 0

  /** Keeps the last `limit` calls at least, so that long runs do not fill the memory. */
  constructor(limit: number) {
    this.#limit = limit
  }

  open(method: string, params: Params, at: number): OpenCall {
    this.#count += 1
    const call = new OpenCall(this.#count, method, params, at)
    this.#calls.push(call)
    if (this.#calls.length > this.#limit * 2) this.#calls = this.#calls.slice(-this.#limit)
    return call
  }

  close(call: OpenCall, outcome: CallOutcome, at: number): void {
    if (call.outcome !== 'pending') return
    call.outcome = outcome
    call.finishedAt = at
    this.finished.notify(call)
  }

  list(method?: string): FakeCall[] {
    if (method === undefined) return [...this.#calls]
    return this.#calls.filter((call) => call.method.toLowerCase() === method.toLowerCase())
  }

  stop(): void {
    this.finished.close()
  }
}

import type { Fields } from './values.ts'

export type FaultMode = 'error' | 'reset' | 'hang' | 'drop-after-execute' | 'too-many-requests'

export interface FaultOptions {
  /** How many calls it hits; once unless said. */
  readonly times?: number
  /**
   * `error` answers an error, `reset` cuts the connection before anything is done, `hang` never
   * answers and does nothing, `drop-after-execute` does the call and cuts the connection,
   * `too-many-requests` answers 429 and watches that `retryAfter` is kept.
   */
  readonly mode: FaultMode
  /** For `error`; 500 unless said. */
  readonly status?: number
  /** Seconds, for `too-many-requests`; 1 unless said. */
  readonly retryAfter?: number
  readonly description?: string
  /** Which calls it may hit. */
  readonly when?: (params: Fields) => boolean
  /** The chance that a matching call is hit; 1 unless said. */
  readonly probability?: number
}

export interface Fault {
  readonly method: string
  readonly options: FaultOptions
  readonly remaining: number
  cancel(): void
}

class PlannedFault implements Fault {
  readonly method: string
  readonly options: FaultOptions
  remaining: number

  constructor(method: string, options: FaultOptions) {
    this.method = method
    this.options = options
    this.remaining = options.times ?? 1
  }

  cancel(): void {
    this.remaining = 0
  }

  hits(method: string, params: Fields): boolean {
    const { when, probability = 1 } = this.options
    if (this.remaining <= 0) return false
    if (this.method !== '*' && this.method.toLowerCase() !== method.toLowerCase()) return false
    return (when?.(params) ?? true) && Math.random() < probability
  }
}

/** Faults a test planned, used up in the order they were planned. */
export class Faults {
  #planned: PlannedFault[] = []

  plan(method: string, options: FaultOptions): Fault {
    const fault = new PlannedFault(method, options)
    this.#planned.push(fault)
    return fault
  }

  take(method: string, params: Fields): Fault | undefined {
    this.#planned = this.#planned.filter((fault) => fault.remaining > 0)
    const fault = this.#planned.find((planned) => planned.hits(method, params))
    if (fault) fault.remaining -= 1
    return fault
  }

  clear(): void {
    for (const fault of this.#planned) fault.cancel()
  }
}

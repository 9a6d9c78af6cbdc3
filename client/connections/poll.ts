import { Disconnected, LoopgateError, malformed } from '../errors.ts'
import { REST_MS } from '../fallback.ts'
import type { Http } from '../http.ts'
import { isRecord } from '../record.ts'
import { readHello } from '../wire.ts'
import type { Connection, ConnectionContext, ConnectionDefinition, Reading } from './connection.ts'

/** Seconds that the server holds an answer. Proxies give up at 60, and some at 30. */
const WAIT_SECONDS = 25
/** On top of the wait, for the answer to come. */
const GRACE_MS = 10_000
/** An empty page that came sooner was not waited for: the server is stopping. */
const MIN_WAIT_MS = 1_000

/** Long-polling: gets through wherever HTTP does. */
export const poll = {
  name: 'poll',
  create: (context): Connection => new PollConnection(context),
} as const satisfies ConnectionDefinition

interface Page {
  readonly events: readonly unknown[]
  readonly cursor: string
}

class PollConnection implements Connection {
  readonly name = 'poll'
  readonly #http: Http

  constructor({ http }: ConnectionContext) {
    this.#http = http
  }

  async read(reading: Reading): Promise<void> {
    const began = performance.now()
    try {
      let cursor = await this.#begin(reading)
      // After a while a better kind may get through again.
      while (performance.now() - began < REST_MS) cursor = await this.#next(reading, cursor)
    } catch (error) {
      if (!reading.signal.aborted) throw error
    }
  }

  /** Finds the place at once, so that whoever waits for it need not wait for the next event. */
  async #begin(reading: Reading): Promise<string> {
    const { since } = reading
    try {
      const page = await this.#page(reading, since, 0)
      reading.started({ cursor: since ?? page.cursor, recovered: true })
      return give(reading, page)
    } catch (error) {
      if (!(error instanceof LoopgateError && error.code === 'CURSOR_GONE')) throw error
      reading.started({ cursor: 'earliest', recovered: false })
      return 'earliest'
    }
  }

  async #next(reading: Reading, cursor: string): Promise<string> {
    const asked = performance.now()
    const page = await this.#page(reading, cursor, WAIT_SECONDS)
    if (page.events.length === 0 && performance.now() - asked < MIN_WAIT_MS) {
      throw new Disconnected('the server did not wait', { retryAfterMs: 0 })
    }
    return give(reading, page)
  }

  async #page({ sessionId, signal }: Reading, since: string | undefined, wait: number) {
    const query = { session_id: sessionId, since, wait: String(wait) }
    const call = { method: 'GET', path: '/hitl/poll', query } as const
    const { body } = await this.#http.call(
      wait === 0 ? call : { ...call, timeoutMs: wait * 1000 + GRACE_MS },
      signal,
    )
    return readPage(body)
  }
}

function give(reading: Reading, { events, cursor }: Page): string {
  for (const event of events) reading.event(event)
  return cursor
}

function readPage(body: unknown): Page {
  const { cursor } = readHello(body)
  if (!isRecord(body) || !Array.isArray(body['events'])) throw malformed('a page of events')
  return { cursor, events: body['events'] }
}

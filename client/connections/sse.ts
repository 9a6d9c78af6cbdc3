import { createParser, type EventSourceMessage } from 'eventsource-parser'
import { follow, type Scope } from '../abort.ts'
import { Disconnected, malformed, toWait } from '../errors.ts'
import type { Http } from '../http.ts'
import { isTrouble } from '../retry.ts'
import type { Timing } from '../timing.ts'
import { readHello, readJson } from '../wire.ts'
import type { Connection, ConnectionContext, ConnectionDefinition, Reading } from './connection.ts'

/** Characters of one event. A request's body is at most 256 KiB. */
const MAX_EVENT_LENGTH = 1024 * 1024

/** Server-sent events over fetch: a stream for each session, over plain HTTP. */
export const sse = {
  name: 'sse',
  create: (context): Connection => new SseConnection(context),
} as const satisfies ConnectionDefinition

class SseConnection implements Connection {
  readonly name = 'sse'
  readonly #http: Http
  readonly #timing: Timing

  constructor({ http, timing }: ConnectionContext) {
    this.#http = http
    this.#timing = timing
  }

  async read(reading: Reading): Promise<void> {
    const { connectMs, silenceMs } = this.#timing
    const watch = new SilenceWatch(reading.signal)
    // The hello comes at once; one that does not is held back by something in between.
    watch.expect(connectMs)
    const messages = new Messages(reading)
    const parser = createParser({
      maxBufferSize: MAX_EVENT_LENGTH,
      onEvent: (message) => messages.take(message),
      onRetry: (ms) => messages.hint(ms),
      onError: ({ type }) => {
        if (type === 'max-buffer-size-exceeded') throw malformed('the length of an event')
      },
    })
    try {
      for await (const text of this.#texts(reading, watch.signal)) {
        parser.feed(text)
        if (messages.haveBegun) watch.expect(silenceMs)
      }
      throw new Disconnected('the stream ended', { retryAfterMs: messages.farewellMs })
    } catch (error) {
      if (reading.signal.aborted) return
      watch.signal.throwIfAborted()
      throw isTrouble(error) ? error : new Disconnected('the stream broke', { cause: error })
    } finally {
      watch.end()
    }
  }

  async *#texts({ sessionId, since }: Reading, signal: AbortSignal): AsyncGenerator<string> {
    const query = { session_id: sessionId, since }
    const { headers, body } = await this.#http.stream('/hitl/stream', query, signal)
    if (!body || !/^text\/event-stream\b/i.test(headers.get('content-type') ?? '')) {
      throw new Disconnected('the answer is no event stream')
    }
    const decoder = new TextDecoder()
    for await (const chunk of body) yield decoder.decode(chunk, { stream: true })
  }
}

/** A stream's messages: the hello, then events. */
class Messages {
  readonly #reading: Reading
  #haveBegun = false
  #farewellMs: number | undefined

  constructor(reading: Reading) {
    this.#reading = reading
  }

  get haveBegun(): boolean {
    return this.#haveBegun
  }

  /** When to come back, if the server said so as the last thing before it ended the stream. */
  get farewellMs(): number | undefined {
    return this.#farewellMs
  }

  /** Before the hello it is for streams that break, whose pauses are our own. */
  hint(ms: number): void {
    if (this.#haveBegun) this.#farewellMs = toWait(ms)
  }

  /** @throws {LoopgateError} MALFORMED_ANSWER. */
  take({ data }: EventSourceMessage): void {
    this.#farewellMs = undefined
    const value = readJson(data, 'an event')
    if (this.#haveBegun) {
      this.#reading.event(value)
      return
    }
    const hello = readHello(value)
    this.#haveBegun = true
    this.#reading.started(hello)
  }
}

/** Aborts its signal when nothing came for as long as was expected last. */
class SilenceWatch {
  readonly #bounded: Scope
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(signal: AbortSignal) {
    this.#bounded = follow(signal)
  }

  get signal(): AbortSignal {
    return this.#bounded.signal
  }

  expect(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(
      () => this.#bounded.abort(new Disconnected(`silent for ${ms} ms`, { isSilence: true })),
      ms,
    )
  }

  /** Ends the stream too, if it is still there. */
  end(): void {
    clearTimeout(this.#timer)
    this.#bounded.release()
    this.#bounded.abort(new Disconnected('no longer read'))
  }
}

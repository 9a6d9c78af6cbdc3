import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'
import { type Backlogged, type Backlogs, drained, FULL_BYTES } from '../backlog.ts'
import { CLOSE_MS, closeEvenly } from '../closing.ts'
import type { DeadPeers, Watched } from '../dead-peers.ts'
import { principalOf, type TransportContext } from '../transport.ts'

interface StreamParts {
  readonly context: Pick<TransportContext, 'authorizations' | 'clock' | 'connections'>
  readonly backlogs: Backlogs
  readonly deadPeers: DeadPeers
}

/** The event streams that are open, whatever they answer. */
export class Streams {
  readonly #parts: StreamParts
  readonly #standing = new Set<Stream>()
  readonly #answering = new Set<Stream>()
  #whenAnswered: (() => void) | undefined

  constructor(parts: StreamParts) {
    this.#parts = parts
  }

  /**
   * Writes a response of the SDK. Resolves when it is written, or nobody reads it any more.
   * @param isStanding whether it is open until somebody ends it, and answers nothing
   */
  async send(reply: FastifyReply, response: Response, isStanding = false): Promise<FastifyReply> {
    const headers = Object.fromEntries(response.headers)
    const isStream = headers['content-type']?.startsWith('text/event-stream') ?? false
    if (!isStream || !response.body) {
      const text = await response.text()
      reply.code(response.status).headers(headers)
      return text === '' ? reply.send() : reply.send(text)
    }
    reply.hijack()
    const { raw } = reply
    if (raw.destroyed) {
      await response.body.cancel()
      return reply
    }
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) raw.setHeader(name, value)
    }
    raw.writeHead(response.status, headers)
    // Some clients wait for them, and the first event may be far away.
    raw.flushHeaders()
    const stream = new Stream(raw, response.body, this.#parts)
    const open = isStanding ? this.#standing : this.#answering
    const release = this.#parts.context.authorizations.hold(principalOf(reply.request), () =>
      stream.end(),
    )
    const unwatch = this.#parts.deadPeers.add(stream)
    open.add(stream)
    this.#parts.context.connections('mcp', 1)
    try {
      await stream.pump()
    } finally {
      open.delete(stream)
      if (this.#answering.size === 0) this.#whenAnswered?.()
      this.#parts.context.connections('mcp', -1)
      release()
      unwatch()
    }
    return reply
  }

  /** Those that wait for an answer get it when the stop begins; what is left then is ended. */
  async close(spreadMs: number): Promise<void> {
    const { clock } = this.#parts.context
    const answered = this.#answered(spreadMs)
    await closeEvenly(this.#standing, spreadMs, clock, (stream) => stream.end())
    await answered
    for (const stream of this.#answering) stream.end()
  }

  #answered(ms: number): Promise<void> {
    if (this.#answering.size === 0) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#whenAnswered = resolve
    return promise.finally(this.#parts.context.clock.after(ms, resolve))
  }
}

/**
 * Hands on what the SDK writes, piece by piece: an answer may be larger than what a reader may have
 * waiting, and is cut only when its reader does not take it.
 */
class Stream implements Backlogged, Watched {
  readonly #raw: ServerResponse
  readonly #source: ReadableStreamDefaultReader<Uint8Array>
  readonly #parts: StreamParts

  constructor(raw: ServerResponse, body: ReadableStream<Uint8Array>, parts: StreamParts) {
    this.#raw = raw
    this.#source = body.getReader()
    this.#parts = parts
  }

  /** Resolves when the connection is closed. A reader that is slow, and reads, gets it all. */
  async pump(): Promise<void> {
    const raw = this.#raw
    const closed = new Promise((resolve) => raw.once('close', resolve))
    raw.once('close', () => void this.#source.cancel().catch(() => undefined))
    try {
      for (;;) {
        const { done, value } = await this.#source.read()
        if (done || this.#isOver) break
        await this.#write(value)
      }
      raw.end()
    } catch (error) {
      raw.destroy()
      throw error
    } finally {
      await closed
      this.#parts.backlogs.forget(this)
    }
  }

  get #isOver(): boolean {
    return this.#raw.writableEnded || this.#raw.destroyed
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const raw = this.#raw
    for (let at = 0; at < bytes.length && !this.#isOver; at += FULL_BYTES) {
      const piece = bytes.subarray(at, at + FULL_BYTES)
      raw.write(piece)
      this.#parts.backlogs.wrote(this, piece.length)
      await drained(raw)
    }
  }

  backlog(): number {
    return this.#raw.writableLength
  }

  cut(): void {
    this.#raw.destroy()
  }

  get socket(): Socket | null {
    return this.#raw.socket
  }

  lost(): void {
    this.#raw.destroy()
  }

  /** Ends, takes nothing more from the SDK, and cuts whoever does not take what is there. */
  end(): void {
    const raw = this.#raw
    if (raw.destroyed) return
    raw.end()
    void this.#source.cancel().catch(() => undefined)
    const cancel = this.#parts.context.clock.after(CLOSE_MS, () => raw.destroy())
    raw.once('close', cancel)
  }
}

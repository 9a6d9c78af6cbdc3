import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'
import type { Backlogged, Backlogs } from '../backlog.ts'
import { CLOSE_MS, closeEvenly } from '../closing.ts'
import type { DeadPeers, Watched } from '../dead-peers.ts'
import { principalOf, type TransportContext } from '../transport.ts'

export interface StreamParts {
  readonly context: TransportContext
  readonly backlogs: Backlogs
  readonly deadPeers: DeadPeers
}

/** The event streams that are open, whatever they answer. */
export class Streams {
  readonly #parts: StreamParts
  /** Those that end only when somebody ends them. */
  readonly #standing = new Set<Stream>()
  readonly #answers = new Set<Promise<void>>()

  constructor(parts: StreamParts) {
    this.#parts = parts
  }

  /** Writes a response of the SDK. Resolves when it is written, or nobody reads it any more. */
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
    const release = this.#parts.context.authorizations.hold(principalOf(reply.request), () =>
      stream.end(),
    )
    const unwatch = this.#parts.deadPeers.add(stream)
    const pumped = stream.pump()
    if (isStanding) this.#standing.add(stream)
    else this.#answers.add(pumped)
    this.#parts.context.connections('mcp', 1)
    try {
      await pumped
    } finally {
      this.#standing.delete(stream)
      this.#answers.delete(pumped)
      this.#parts.context.connections('mcp', -1)
      release()
      unwatch()
    }
    return reply
  }

  /** Who waits for an answer gets one as soon as the stop begins, and has it before this resolves. */
  async close(spreadMs: number): Promise<void> {
    const { clock } = this.#parts.context
    await closeEvenly(this.#standing, spreadMs, clock, (stream) => stream.end())
    await Promise.allSettled(this.#answers)
  }
}

/**
 * Takes what the SDK writes as soon as it is there, so that what waits for a slow reader waits in one
 * place, where it is counted.
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

  async pump(): Promise<void> {
    const raw = this.#raw
    raw.once('close', () => void this.#source.cancel().catch(() => undefined))
    for (;;) {
      const { done, value } = await this.#source.read()
      if (done || raw.destroyed) break
      raw.write(value)
      this.#parts.backlogs.wrote(this, value.byteLength)
    }
    this.#parts.backlogs.forget(this)
    this.end()
    if (!raw.destroyed) await new Promise((resolve) => raw.once('close', resolve))
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

  /** Ends, and cuts whoever does not take what is there. */
  end(): void {
    const raw = this.#raw
    if (raw.writableEnded || raw.destroyed) return
    raw.end()
    const cancel = this.#parts.context.clock.after(CLOSE_MS, () => raw.destroy())
    raw.once('close', cancel)
  }
}

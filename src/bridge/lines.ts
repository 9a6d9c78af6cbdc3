import type { Readable } from 'node:stream'

/** Bytes of one line. What the server takes is far less; it refuses the rest in its own words. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024

const NEWLINE = 0x0a

/**
 * The lines of a stream, without their ends; undefined stands for one that was too long. Only a
 * newline ends a line: `node:readline` also splits at U+2028, which JSON has inside of strings.
 */
export async function* linesOf(
  stream: Readable,
  maxBytes = MAX_LINE_BYTES,
): AsyncGenerator<string | undefined> {
  const line = new Line(maxBytes)
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let from = 0
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      line.add(chunk.subarray(from, at))
      yield line.take()
      from = at + 1
    }
    line.add(chunk.subarray(from))
  }
  if (!line.isEmpty) yield line.take()
}

class Line {
  readonly #maxBytes: number
  #chunks: Buffer[] = []
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get isEmpty(): boolean {
    return this.#bytes === 0
  }

  add(chunk: Buffer): void {
    this.#bytes += chunk.length
    if (this.#bytes <= this.#maxBytes) this.#chunks.push(chunk)
    else this.#chunks = []
  }

  take(): string | undefined {
    const text = this.#bytes <= this.#maxBytes ? Buffer.concat(this.#chunks).toString() : undefined
    this.#chunks = []
    this.#bytes = 0
    return text
  }
}

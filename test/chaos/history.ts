import { createReadStream, createWriteStream, type WriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { finished } from 'node:stream/promises'
import type { Fact } from './facts.ts'

/** Facts in a file, a line each. Nothing of them is kept in memory but what is being written. */
export class History {
  readonly path: string
  readonly #file: WriteStream
  #facts = 0

  constructor(path: string) {
    this.path = path
    this.#file = createWriteStream(path, { flags: 'w' })
  }

  get facts(): number {
    return this.#facts
  }

  add(fact: Fact): void {
    this.#facts += 1
    this.#file.write(`${JSON.stringify(fact)}\n`)
  }

  /** Resolves when everything is in the file. */
  async close(): Promise<void> {
    this.#file.end()
    await finished(this.#file)
  }
}

export async function* readHistory(path: string): AsyncGenerator<Fact> {
  for await (const line of createInterface({ input: createReadStream(path) })) {
    if (line !== '') yield JSON.parse(line) as Fact
  }
}

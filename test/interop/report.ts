/** One thing that was to be shown, and what came of it. */
interface Proof {
  readonly name: string
  readonly failure: string | undefined
}

/** A failure that is the reader's to see as it is: its lines, without a stack. */
export class Disproof extends Error {
  override readonly name = 'Disproof'
}

/** @throws {Disproof} */
export function must(isSo: boolean, otherwise: string): asserts isSo {
  if (!isSo) throw new Disproof(otherwise)
}

/** Prints a line for each proof as it ends, and at the end how it went. */
export class Report {
  readonly #proofs: Proof[] = []
  readonly #started = performance.now()

  heading(text: string): void {
    console.log(`\n${text}`)
  }

  /** A line of its own below the proof that it belongs to. */
  remark(text: string): void {
    console.log(text.replace(/^/gm, '      '))
  }

  /**
   * Runs it, and keeps its failure instead of throwing it, so that the others are run as well.
   *
   * @param prove resolves with what its line says besides the name; undefined for nothing
   * @returns whether it held
   */
  async prove(name: string, prove: () => Promise<string | undefined>): Promise<boolean> {
    const started = performance.now()
    const [said, failure] = await prove().then(
      (text) => [text, undefined] as const,
      (error: unknown) => [undefined, textOf(error)] as const,
    )
    const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(5)
    console.log(`${failure === undefined ? 'ok  ' : 'FAIL'}${seconds} s  ${name}${tail(said)}`)
    if (failure !== undefined) this.remark(failure)
    this.#proofs.push({ name, failure })
    return failure === undefined
  }

  /** Says how it went. The exit code of the process: 1 when something failed, or nothing was run. */
  summary(): number {
    const failed = this.#proofs.filter(({ failure }) => failure !== undefined)
    const seconds = ((performance.now() - this.#started) / 1000).toFixed(0)
    console.log(
      `\n${this.#proofs.length - failed.length} of ${this.#proofs.length} in ${seconds} s`,
    )
    for (const { name } of failed) console.log(`FAIL ${name}`)
    return failed.length > 0 || this.#proofs.length === 0 ? 1 : 0
  }
}

const tail = (said: string | undefined): string => (said === undefined ? '' : `: ${said}`)

function textOf(error: unknown): string {
  if (error instanceof Disproof) return error.message
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `\ncaused by ${textOf(error.cause)}`
  return `${error.stack ?? error.message}${cause}`
}

import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const ROOT = join(import.meta.dirname, '../..')
const HOOK = join(import.meta.dirname, 'memory-hook.ts')
/** Those of `npm start`, for us and for every control alike. */
const START_FLAGS = ['--max-semi-space-size=8']

/** A process of the benchmark, which says on its first lines where it is. */
export interface Running extends AsyncDisposable {
  /** The first line that matches, as matched. */
  said(pattern: RegExp): Promise<RegExpExecArray>
  /** Resident memory in bytes, after garbage collection. */
  memory(): Promise<number>
  signal(signal: NodeJS.Signals): void
  /** Resolves when the process has ended. */
  exited(): Promise<void>
}

/** Runs a script of this project with Node, with a hook that tells its memory. */
export function run(
  script: string,
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Running {
  const child = fork(join(ROOT, script), args, {
    cwd: ROOT,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    execArgv: [...START_FLAGS, '--expose-gc', '--import', HOOK],
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  return new ChildRunning(child)
}

class ChildRunning implements Running {
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  readonly #waiting = new Set<() => void>()

  constructor(child: ChildProcess) {
    this.#child = child
    if (!child.stdout) throw new Error('the process has no output')
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.#lines.push(line)
      for (const look of this.#waiting) look()
    })
  }

  async said(pattern: RegExp): Promise<RegExpExecArray> {
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>()
    const look = () => {
      const found = this.#lines.map((line) => pattern.exec(line)).find((match) => match !== null)
      if (found) resolve(found)
    }
    const gone = () => reject(new Error(`the process ended before it said ${pattern}`))
    this.#waiting.add(look)
    this.#child.once('exit', gone)
    look()
    try {
      return await promise
    } finally {
      this.#waiting.delete(look)
      this.#child.off('exit', gone)
    }
  }

  async memory(): Promise<number> {
    const answered = once(this.#child, 'message')
    this.#child.send('memory')
    const [rss] = await answered
    return Number(rss)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async exited(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      await once(this.#child, 'exit')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return
    const gone = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 15_000)
    await gone
    clearTimeout(late)
  }
}

export const nodeVersion = (): string => process.version

/** The output of a command, for naming the machine. */
export async function output(command: string, ...args: string[]): Promise<string> {
  const child = spawn(command, args)
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  await once(child, 'close')
  return text.trim()
}

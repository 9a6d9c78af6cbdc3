import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')

export interface Exit {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A command of this project in a process of its own, with no environment but what is given. */
export class Command implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>
  #stdout = ''
  #stderr = ''
  readonly #waiting = new Set<() => void>()

  constructor(command: string, args: readonly string[], env: Record<string, string> = {}) {
    const path = `${join(ROOT, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}`
    this.#child = spawn(command, args, {
      cwd: ROOT,
      env: { PATH: path, HOME: process.env['HOME'] ?? '/', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.#exited = once(this.#child, 'close')
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.#stdout += chunk.toString()
      for (const look of [...this.#waiting]) look()
    })
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString()
    })
  }

  /** Resolves with the match as soon as standard output has it. Rejects when the process ends first. */
  async said(pattern: RegExp): Promise<RegExpExecArray> {
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>()
    const look = () => {
      const match = pattern.exec(this.#stdout)
      if (match) resolve(match)
    }
    this.#waiting.add(look)
    void this.#exited.then(() => reject(new Error(`ended without ${pattern}:\n${this.#stderr}`)))
    look()
    return promise.finally(() => this.#waiting.delete(look))
  }

  write(text: string): void {
    this.#child.stdin?.write(text)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async exit(): Promise<Exit> {
    this.#child.stdin?.end()
    await this.#exited
    return { code: this.#child.exitCode, stdout: this.#stdout, stderr: this.#stderr }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.signal('SIGKILL')
    await this.#exited
  }
}

/** `npm start` without npm's own lines. */
export const npmStart = (env: Record<string, string> = {}) =>
  new Command('npm', ['start', '--silent'], {
    SERVER_PORT: '0',
    LOOPGATE_DATA_DIR: 'memory://',
    ...env,
  })

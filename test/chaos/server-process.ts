import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Order } from './orders.ts'

const ROOT = join(import.meta.dirname, '../..')
const HOOK = './test/chaos/server-hook.ts'
const NODE = join(ROOT, 'node_modules/.bin/node')
/** Between an end and the next start, as a supervisor would. */
const PAUSE_MS = 200

export interface Launch {
  readonly port: number
  readonly env: Readonly<Record<string, string>>
  readonly logPath: string
  /** What is run; the server unless said. */
  readonly script?: string | undefined
  /** What stands before it: options of Node. */
  readonly nodeOptions?: readonly string[]
}

/** A Loopgate in a process of its own, that is started again whenever it ends. */
export class ServerProcess implements AsyncDisposable {
  readonly number: number
  readonly port: number
  readonly logPath: string
  /** Endings nobody asked for, after it could serve. */
  readonly crashes: string[] = []
  /** From an end to the next readiness, at worst. */
  worstRecoveryMs = 0
  starts = 0
  isReady = false
  isStopped = false
  readonly #launch: Launch
  #child: ChildProcess | undefined
  #isWanted = true
  #isEndAsked = false
  #endedAt: number | undefined
  readonly #running: Promise<void>

  constructor(number: number, launch: Launch) {
    this.number = number
    this.port = launch.port
    this.logPath = launch.logPath
    this.#launch = launch
    this.#running = this.#run()
    process.on('exit', this.#orphaned)
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get pid(): number | undefined {
    return this.#child?.exitCode === null ? this.#child.pid : undefined
  }

  /** Also a process that is stopped, or that is just starting. */
  kill(): void {
    this.#isEndAsked = true
    this.#child?.kill('SIGKILL')
  }

  stop(): void {
    this.isStopped = true
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.isStopped = false
    this.#child?.kill('SIGCONT')
  }

  /** Has its hook do something to the process that runs now, from inside. */
  order(order: Order): void {
    this.#child?.send(order, () => undefined)
  }

  /** Asks it to end. The exit code, or why there was none. */
  async end(withinMs: number): Promise<string> {
    const child = this.#child
    if (!child || child.exitCode !== null) return 'was not running'
    if (!this.isReady || this.isStopped) return 'was not serving'
    this.#isEndAsked = true
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const late = setTimeout(withinMs, ['late', null], { ref: false })
    const [code, signal] = await Promise.race([exited, late])
    if (code === 'late') child.kill('SIGKILL')
    return signal ? String(signal) : String(code)
  }

  async untilReady(withinMs: number): Promise<void> {
    const until = Date.now() + withinMs
    while (!this.isReady) {
      if (Date.now() > until)
        throw new Error(`process ${this.number} is not ready; ${this.logPath}`)
      await setTimeout(50)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isWanted = false
    this.kill()
    await this.#running
    process.off('exit', this.#orphaned)
  }

  /** Whoever started it is gone, in whatever way. */
  readonly #orphaned = () => {
    this.kill()
  }

  async #run(): Promise<void> {
    while (this.#isWanted) {
      const log = openSync(this.logPath, 'a')
      this.#isEndAsked = false
      this.starts += 1
      const { env, script = 'src/main.ts', nodeOptions = [] } = this.#launch
      const child = spawn(NODE, [...nodeOptions, '--import', HOOK, script], {
        cwd: ROOT,
        env: { PATH: process.env['PATH'] ?? '', SERVER_PORT: String(this.port), ...env },
        stdio: ['ignore', log, log, 'ipc'],
      })
      closeSync(log)
      this.#child = child
      const ended = once(child, 'exit')
      const watching = this.#watch(child)
      const [code, signal] = await ended
      if (this.isReady && !this.#isEndAsked) this.crashes.push(`ended with ${code ?? signal}`)
      if (this.isReady) this.#endedAt = Date.now()
      this.isReady = false
      this.isStopped = false
      await watching
      if (this.#isWanted) await setTimeout(PAUSE_MS)
    }
  }

  async #watch(child: ChildProcess): Promise<void> {
    while (child.exitCode === null && child.signalCode === null) {
      if (await answers(`${this.url}/readyz`)) break
      await setTimeout(50)
    }
    if (child.exitCode !== null || child.signalCode !== null) return
    this.isReady = true
    const ms = this.#endedAt === undefined ? 0 : Date.now() - this.#endedAt
    this.worstRecoveryMs = Math.max(this.worstRecoveryMs, ms)
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(1_000) })
    await answer.arrayBuffer()
    return answer.ok
  } catch {
    return false
  }
}

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TestApp } from '../../support/app.ts'
import { FlakyProxy } from './proxy.ts'
import { newSession } from './server.ts'

const AGENT = join(import.meta.dirname, 'agent.ts')

let server: TestApp
let proxy: FlakyProxy

/** An agent's process, and what it says. */
class Agent implements AsyncDisposable {
  readonly said: string[] = []
  errors = ''
  readonly child: ChildProcess
  readonly #exited: Promise<unknown>

  constructor(transport: string, act: string, sessionId = newSession().sessionId) {
    this.child = spawn(process.execPath, [AGENT, proxy.url, transport, act, sessionId])
    this.#exited = once(this.child, 'exit')
    const { stdout, stderr } = this.child
    if (stdout) createInterface(stdout).on('line', (line) => this.said.push(line))
    stderr?.on('data', (data) => {
      this.errors += data
    })
  }

  /** Until it is over by itself; then, how long after it was done that was. */
  async over(): Promise<{ said: string[]; errors: string; code: number | null; afterMs: number }> {
    await expect.poll(() => this.said.at(-1), { timeout: 10_000 }).toBe('done')
    const done = performance.now()
    await this.#exited
    const { said, errors, child } = this
    return { said, errors, code: child.exitCode, afterMs: performance.now() - done }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL')
    await this.#exited
  }
}

/** What a client leaves behind in a process. */
export function processTests(get: () => TestApp): void {
  beforeAll(() => {
    server = get()
  })

  beforeEach(async () => {
    proxy = await FlakyProxy.start(server.url)
    return () => proxy[Symbol.asyncDispose]()
  })

  describe.each(['socketio', 'sse', 'poll'])('a process over %s is over by itself', (transport) => {
    test('when its requests are decided', async () => {
      await using agent = new Agent(transport, 'request')
      await expect.poll(() => agent.said.length, { timeout: 10_000 }).toBe(30)
      const asked = agent.said.map((line) => line.replace('asked ', ''))
      await Promise.all(asked.map((id) => server.decide(id, { response: 'yes' })))

      const { said, errors, code, afterMs } = await agent.over()
      expect(said.slice(30)).toEqual(['approved 30', 'done'])
      expect({ errors, code }).toEqual({ errors: '', code: 0 })
      expect(afterMs).toBeLessThan(1_500)
    })

    test('when it no longer listens, and not before', async () => {
      const { sessionId } = newSession()
      await using agent = new Agent(transport, 'on', sessionId)
      await expect.poll(() => agent.said, { timeout: 10_000 }).toEqual(['ready', 'done'])
      const asked = await server.ask({ session_id: sessionId, client_id: 'agent' })
      await server.decide(asked.request_id, { response: 'no' })
      await expect.poll(() => agent.said.at(-1)).toBe('heard rejected')
      await expect.poll(() => agent.child.exitCode, { timeout: 1_500 }).toBe(0)
      expect(agent.errors).toBe('')
    })

    test('when it aborted', async () => {
      await using agent = new Agent(transport, 'abort')

      const { said, errors, code, afterMs } = await agent.over()
      expect(said.slice(-2)).toEqual(['over enough', 'done'])
      expect({ errors, code }).toEqual({ errors: '', code: 0 })
      expect(afterMs).toBeLessThan(1_500)
    })

    test('when it was closed before anything answered it', async () => {
      proxy.rule = ({ method }) => (method === 'POST' ? 'pass' : 'hang')
      await using agent = new Agent(transport, 'early')

      const { said, errors, code, afterMs } = await agent.over()
      expect(said.slice(-2)).toEqual(['over CLOSED', 'done'])
      expect({ errors, code }).toEqual({ errors: '', code: 0 })
      expect(afterMs).toBeLessThan(1_500)
    })

    test('when it was closed, also with a server that does not say goodbye', async () => {
      await using agent = new Agent(transport, 'close')
      await expect.poll(() => agent.said.length, { timeout: 10_000 }).toBe(2)
      proxy.freeze()
      agent.child.stdin?.write('close\n')

      const { said, errors, code, afterMs } = await agent.over()
      expect(said.slice(-2)).toEqual(['over CLOSED', 'done'])
      expect({ errors, code }).toEqual({ errors: '', code: 0 })
      expect(afterMs).toBeLessThan(1_500)
    })
  })
}

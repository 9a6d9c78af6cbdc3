import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync } from 'node:fs'
import { Agent, type ClientRequest, get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RequestView } from '../../src/protocol/types.ts'
import type { FakePress, StoredMessage } from '../support/telegram/telegram.ts'
import { type Answer, call, callUntilAnswered } from './call.ts'
import { Place } from './place.ts'
import { Random } from './random.ts'
import type { ServerProcess } from './server-process.ts'

/** A server that lacks something refuses what it can not take, and goes on with what it has. */

const WAIT_MS = 20_000
const HEAP_MB = 96
const SPARE_FILES = 15
const STREAMS = 60
const FLOOD = 24
const BLOCKED_MS = 2_000
const LABEL = '🚀 Deploy'
const NAMES = { session_id: 's', client_id: 'c' }
const ANN = { id: 40_001, first_name: 'Ann', is_bot: false } as const

describe('a server with little memory', () => {
  let place: Place
  let server: ServerProcess
  const random = new Random(1)
  const opened = new AsyncDisposableStack()
  beforeAll(async () => {
    place = opened.use(
      await Place.open({
        ...{ database: 'postgres', processes: 1, telegram: 'polling' },
        directory: mkdtempSync(join(tmpdir(), 'loopgate-chaos-')),
        script: 'test/chaos/unpaced-server.ts',
        nodeOptions: [`--max-old-space-size=${HEAP_MB}`],
      }),
    )
    server = place.servers[0] as ServerProcess
    place.tg.privateChat(ANN)
    await request('/hitl/register', { ...NAMES, telegram_id: ANN.id })
    await request('/hitl/register', { session_id: 'many', client_id: 'many' })
  }, 60_000)
  afterAll(() => opened.disposeAsync(), 30_000)

  const request = async (path: string, body?: object): Promise<Answer['body']> => {
    const asked = body ? { body } : {}
    const answer = await callUntilAnswered(place, random, path, asked, WAIT_MS)
    if (answer?.status !== 200) throw new Error(`${path}: ${JSON.stringify(answer)}`)
    return answer.body
  }

  async function ask() {
    const question = { message: 'Deploy?', options: [LABEL, '⏸️ Hold'] }
    const view = (await request('/hitl/request', { ...NAMES, ...question })) as unknown
    const { request_id: id } = view as RequestView
    const isCard = ({ text = '' }: StoredMessage) => text.includes(id)
    const card = await place.tg.waitForMessage(ANN.id, isCard, { timeoutMs: WAIT_MS })
    return { id, card }
  }

  const press = ({ card }: { card: StoredMessage }): FakePress =>
    place.tg.pressButton({ user: ANN, messageId: card.message_id, label: LABEL })

  /** What was open is decided, its card is true, and nothing was started anew for it. */
  async function expectResumed({ id, card }: Awaited<ReturnType<typeof ask>>) {
    expect(await request(`/hitl/poll?request_id=${id}&wait=20`)).toMatchObject({
      outcome: 'approved',
      decided_by: { id: String(ANN.id) },
    })
    const isEdit = ({ message_id }: StoredMessage) => message_id === card.message_id
    const edit = await place.tg.waitForEdit(ANN.id, isEdit, { timeoutMs: WAIT_MS })
    expect(edit.text).toMatch(/^✅ Approved by Ann/)
    expect((await fetch(`${server.url}/livez`)).status).toBe(200)
    expect({ starts: server.starts, crashes: server.crashes }).toEqual({ starts: 1, crashes: [] })
  }

  test('takes what it may hold of a flood, and refuses the rest', async () => {
    const open = await ask()
    const long = { message: 'x'.repeat(20_000), metadata: { notes: 'y'.repeat(30_000) } }
    const flood = Array.from({ length: FLOOD }, (_, i) => {
      const body = { session_id: 'many', client_id: 'many', ...long }
      const tooLong = { ...body, metadata: { notes: 'z'.repeat(300_000) } }
      return call(server.url, '/hitl/request', { body: i % 4 === 0 ? tooLong : body })
    })
    const statuses = (await Promise.all(flood)).map(({ status }) => status)
    expect(statuses.filter((status) => status === 413)).toHaveLength(FLOOD / 4)
    const others = new Set(statuses.filter((status) => status !== 413))
    // Stored, more than may be pending, or more than the database could take within its time.
    expect([200, 429, 503]).toEqual(expect.arrayContaining([...others]))
    expect(others).toContain(200)
    press(open)
    await expectResumed(open)
  })

  test('whose event loop is blocked goes on where it was', async () => {
    const open = await ask()
    server.order({ type: 'block', ms: BLOCKED_MS })
    press(open)
    await expectResumed(open)
  })

  // Last: the limit stays.
  test('without file descriptors refuses connections until there are some again', async (context) => {
    const { pid = 0 } = server
    if (!limitFiles(pid)) context.skip('prlimit or /proc is missing: its files can not be limited')
    const open = await ask()
    const streams = new Streams(server.url)
    expect(await streams.refused()).toBeGreaterThan(0)
    press(open)
    streams.close()
    await expectResumed(open)
  })
})

/** A few more than it has open. False where that can not be done. */
function limitFiles(pid: number): boolean {
  try {
    const open = readdirSync(`/proc/${pid}/fd`).length
    const limit = `--nofile=${open + SPARE_FILES}`
    return spawnSync('prlimit', [`--pid=${pid}`, limit]).status === 0
  } catch {
    return false
  }
}

/** More readers than there are files for. */
class Streams {
  readonly #agent = new Agent()
  readonly #requests: ClientRequest[] = []
  #begun = 0
  #refused = 0

  constructor(url: string) {
    for (let i = 0; i < STREAMS; i++) {
      const request = get(`${url}/hitl/stream?session_id=s`, { agent: this.#agent })
      request.on('response', (response) => {
        this.#begun += 1
        response.resume()
      })
      request.on('error', () => {
        this.#refused += 1
      })
      this.#requests.push(request)
    }
  }

  /** How many were refused, when each of them knows. */
  async refused(): Promise<number> {
    const until = Date.now() + WAIT_MS
    while (this.#begun + this.#refused < STREAMS && Date.now() < until) await setTimeout(20)
    return this.#refused
  }

  close(): void {
    for (const request of this.#requests) request.destroy()
    this.#agent.destroy()
  }
}

import { connect, createServer, type Socket } from 'node:net'
import { describe, type TestContext, test } from 'vitest'
import { openTestDatabase } from '../../support/database.ts'
import { Scene, webhookEnv } from './scene.ts'

/** What people are told while the database is away, and what counts when it is back. */

const OPTIONS = ['🚀 Deploy', '⏸️ Hold']
const SLOW = { timeout: 40_000 }
/** More than the three tries that an update gets which our own code fails on. */
const MANY = 9

/** Expiry alone knocks four times a second: longer than it is tried to write a card down. */
const LONG = 70

/** The way to a database, which can be shut. */
class Gate implements AsyncDisposable {
  /** How often somebody stood before it while it was shut. */
  refused = 0
  readonly #sockets = new Set<Socket>()
  readonly #server
  #isShut = false

  constructor(target: URL) {
    this.#server = createServer((socket) => {
      this.#keep(socket)
      if (this.#isShut) {
        this.refused += 1
        socket.destroy()
        return
      }
      const onward = connect(Number(target.port), target.hostname)
      this.#keep(onward)
      socket.pipe(onward).pipe(socket)
      socket.on('close', () => onward.destroy())
      onward.on('close', () => socket.destroy())
    })
  }

  async listen(): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server.listen(0, '127.0.0.1', resolve)
    await promise
    const address = this.#server.address()
    return typeof address === 'object' && address ? address.port : 0
  }

  shut(): void {
    this.#isShut = true
    for (const socket of this.#sockets) socket.destroy()
  }

  open(): void {
    this.#isShut = false
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.shut()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server.close(() => resolve())
    await promise
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
  }
}

/** A scene whose database can go away. Asking returns when it is written that the card is there. */
async function openScene(env: Record<string, string> = {}) {
  await using opened = new AsyncDisposableStack()
  const store = opened.use(await openTestDatabase('postgres'))
  const url = new URL(store.url ?? '')
  const gate = opened.use(new Gate(new URL(url)))
  url.port = String(await gate.listen())
  const telegram = { timeScale: 0.1 }
  const scene = opened.use(await Scene.open({ telegram, env: { DATABASE_URL: url.href, ...env } }))
  const ann = scene.person('Ann')
  const line = await scene.line(ann.id)
  const ask = async (fields: object = {}) => {
    const asked = await scene.ask(line, fields)
    await scene.news(line, asked.id)
    return asked
  }
  const disposables = opened.move()
  return { gate, scene, ann, line, ask, [Symbol.asyncDispose]: () => disposables.disposeAsync() }
}

const untilTriedOften = (gate: Gate, expect: TestContext['expect']) =>
  expect.poll(() => gate.refused, { timeout: 20_000 }).toBeGreaterThan(MANY)

describe.concurrent('while the database is away', () => {
  test(
    'a press is told that it is not saved yet, waits, and counts at last',
    SLOW,
    async ({ expect }) => {
      await using opened = await openScene()
      const { gate, scene, ann, ask } = opened
      const asked = await ask({ options: OPTIONS })
      gate.shut()
      const press = scene.press(ann, asked, '🚀 Deploy')
      expect(await press.answer).toEqual({
        text: expect.stringMatching(/^Not saved yet.*I keep trying; the card will show/),
        show_alert: true,
      })
      await untilTriedOften(gate, expect)
      expect(scene.tg.pendingUpdates).toBe(1)
      gate.open()
      await press.confirmed
      expect(await scene.view(asked.id)).toMatchObject({ outcome: 'approved' })
      expect((await scene.closed(asked)).text).toMatch(/^✅ Approved by Ann/)
      expect(scene.tg.calls('answerCallbackQuery')).toHaveLength(1)
    },
  )

  test('a reply is not said to be recorded before it is', SLOW, async ({ expect }) => {
    await using opened = await openScene()
    const { gate, scene, ann, ask } = opened
    const asked = await ask()
    gate.shut()
    const act = scene.tg.reply({ user: ann, replyTo: asked.card, text: 'yes' })
    await untilTriedOften(gate, expect)
    expect(scene.tg.messages(ann.id).filter(({ text }) => text?.includes('Recorded'))).toEqual([])
    expect(scene.tg.pendingUpdates).toBe(1)
    gate.open()
    await act.confirmed
    expect(await scene.view(asked.id)).toMatchObject({ outcome: 'approved', response: 'yes' })
    await scene.tg.waitForMessage(ann.id, ({ text }) => text?.startsWith('Recorded.') ?? false)
  })

  test(
    'a card that could not be written down is settled all the same',
    SLOW,
    async ({ expect }) => {
      await using opened = await openScene()
      const { gate, scene, ann, line } = opened
      const asked = await scene.ask(line, { options: OPTIONS })
      gate.shut()
      const press = scene.press(ann, asked, '⏸️ Hold')
      await press.answer
      gate.open()
      await press.confirmed
      expect(await scene.view(asked.id)).toMatchObject({ outcome: 'rejected' })
      expect((await scene.closed(asked)).text).toMatch(/^❌ Rejected by Ann/)
    },
  )

  test(
    'a card that could not be written down is settled however long the database is away',
    SLOW,
    async ({ expect }) => {
      await using opened = await openScene()
      const { gate, scene, ann, line } = opened
      const asked = await scene.ask(line, { options: OPTIONS })
      gate.shut()
      await expect.poll(() => gate.refused, { timeout: 30_000 }).toBeGreaterThan(LONG)
      gate.open()
      await scene.press(ann, asked, '⏸️ Hold').confirmed
      expect(await scene.view(asked.id)).toMatchObject({ outcome: 'rejected' })
      expect((await scene.closed(asked)).text).toMatch(/^❌ Rejected by Ann/)
    },
  )

  test(
    'what is pressed, said and asked for is done in order when it is back',
    SLOW,
    async ({ expect }) => {
      await using opened = await openScene()
      const { gate, scene, ann, ask } = opened
      const asked = await ask({ options: OPTIONS })
      gate.shut()
      const presses = [scene.press(ann, asked, '⏸️ Hold'), scene.press(ann, asked, '🚀 Deploy')]
      const act = scene.tg.send({ user: ann, text: '/pending' })
      await presses[0]?.answer
      gate.open()
      await act.confirmed
      expect(await scene.view(asked.id)).toMatchObject({ outcome: 'rejected' })
      const answer = await scene.tg.waitForMessage(
        ann.id,
        ({ reply_to_message }) => reply_to_message?.message_id === act.message.message_id,
      )
      expect(answer.text).toBe('No open questions here.')
    },
  )

  test(
    'a webhook answers 503, and the press counts when Telegram sends it again',
    SLOW,
    async ({ expect }) => {
      await using opened = await openScene(await webhookEnv())
      const { gate, scene, ann, ask } = opened
      const asked = await ask({ options: OPTIONS })
      gate.shut()
      const press = scene.press(ann, asked, '🚀 Deploy')
      expect((await press.answer).text).toMatch(/^Not saved yet/)
      const tries = () => scene.tg.webhookAttempts.filter((one) => one.updateId === press.updateId)
      await expect.poll(() => tries().length, { timeout: 20_000 }).toBeGreaterThan(4)
      expect(tries().map(({ status }) => status)).toEqual(tries().map(() => 503))
      // Telegram drops a press when it is asked to wait longer than the press lives, 150 s.
      expect(Math.max(...tries().map(({ retryInSeconds = 0 }) => retryInSeconds))).toBeLessThan(30)
      gate.open()
      await press.confirmed
      expect(await scene.view(asked.id)).toMatchObject({ outcome: 'approved' })
      expect(scene.tg.calls('answerCallbackQuery')).toHaveLength(1)
    },
  )
})

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, test } from 'vitest'
import { startTestApp } from '../../support/app.ts'
import { openTestDatabase } from '../../support/database.ts'
import { FakeTelegram } from '../../support/telegram/telegram.ts'
import { botOf, isCardOf, labelsOf, Scene } from './scene.ts'

/**
 * What was owed when a call got stuck or a server ended is done later. These wait for the real limits
 * of time, so they wait together.
 */

const ANN = { id: 501, first_name: 'Ann', is_bot: false } as const
const OPTIONS = ['🚀 Deploy', '⏸️ Hold']
/** Contract, section 5: sent within 30 s of a restart. */
const WITHIN = { timeoutMs: 30_000 }
const FAILS = { mode: 'error', status: 500, times: 1_000 } as const

async function startTelegram(): Promise<FakeTelegram> {
  const tg = await FakeTelegram.start({ waitMs: 30_000 })
  tg.privateChat(ANN)
  return tg
}

describe.concurrent('what is owed is done later:', { timeout: 60_000 }, () => {
  test('a card that Telegram never answers for is sent again', async ({ expect }) => {
    await using scene = await Scene.open()
    const ann = scene.person()
    const line = await scene.line(ann.id)
    scene.tg.failNext('sendMessage', { mode: 'hang' })
    const view = await scene.submit(line, { options: OPTIONS })
    const card = await scene.tg.waitForMessage(ann.id, isCardOf(view.request_id), WITHIN)
    const asked = { id: view.request_id, view, card }
    expect(await scene.decide(ann, asked, '🚀 Deploy')).toMatchObject({ outcome: 'approved' })
    expect(scene.cards(ann.id, asked.id)).toHaveLength(1)
  })

  test('a card that could not be edited before the restart is edited after it', async ({
    expect,
  }) => {
    await using database = await openTestDatabase('postgres')
    await using tg = await startTelegram()
    const env = { ...botOf(tg), DATABASE_URL: database.url ?? '' }
    const fault = tg.failNext('editMessageText', FAILS)

    const before = await startTestApp(env)
    await before.register({ telegram_id: ANN.id })
    const { request_id } = await before.ask({ options: OPTIONS })
    const card = await tg.waitForMessage(ANN.id, isCardOf(request_id))
    await before.post('/hitl/cancel', { request_id })
    await tg.waitForCall('editMessageText')
    await before.app.stop()
    fault.cancel()

    await using _app = await startTestApp(env)
    const edit = await tg.waitForEdit(ANN.id, undefined, WITHIN)
    expect(edit).toMatchObject({ message_id: card.message_id })
    expect(labelsOf(edit)).toEqual([])
  })

  test('a press on a card from before the restart counts', async ({ expect }) => {
    await using database = await openTestDatabase('postgres')
    await using tg = await startTelegram()
    const env = { ...botOf(tg), DATABASE_URL: database.url ?? '' }
    const before = await startTestApp(env)
    await before.register({ telegram_id: ANN.id })
    const { request_id } = await before.ask({ options: OPTIONS })
    const { message_id } = await tg.waitForMessage(ANN.id, isCardOf(request_id))
    await before.app.stop()
    const press = tg.pressButton({ user: ANN, messageId: message_id, label: '⏸️ Hold' })

    await using app = await startTestApp(env)
    expect((await press.answer).text).toMatch(/^❌ Rejected by Ann/)
    expect(await app.view(request_id)).toMatchObject({ outcome: 'rejected' })
  })

  test('a card that was being sent when the server was killed is sent after the restart', async ({
    expect,
  }) => {
    await using database = await openTestDatabase('postgres')
    await using tg = await startTelegram()
    const env = { ...botOf(tg), DATABASE_URL: database.url ?? '' }
    const fault = tg.failNext('sendMessage', { mode: 'hang', times: 1_000 })
    await using killed = await spawnServer(env)
    const names = { session_id: 's1', client_id: 'c1' }
    const { post } = killed
    await post('/hitl/register', { ...names, telegram_id: ANN.id })
    const { request_id } = await post('/hitl/request', { ...names, message: 'Deploy?' })
    await tg.waitForCall('sendMessage')
    await killed.kill()
    fault.cancel()

    await using _app = await startTestApp(env)
    const card = await tg.waitForMessage(ANN.id, isCardOf(String(request_id)), WITHIN)
    expect(card.text).toContain('Deploy?')
  })
})

// Not beside the others: the embedded database holds the whole process while it starts.
describe('on the embedded database', { timeout: 60_000 }, () => {
  test('a card that could not be sent before the restart is sent after it, once', async ({
    expect,
  }) => {
    const dataDir = mkdtempSync(join(tmpdir(), 'loopgate-telegram-'))
    await using after = new AsyncDisposableStack()
    after.defer(() => rmSync(dataDir, { recursive: true }))
    const tg = after.use(await startTelegram())
    const env = { ...botOf(tg), LOOPGATE_DATA_DIR: dataDir }
    const fault = tg.failNext('sendMessage', FAILS)

    const before = await startTestApp(env)
    await before.register({ telegram_id: ANN.id })
    const { request_id } = await before.ask({ options: OPTIONS })
    await tg.waitForCall('sendMessage')
    await before.app.stop()
    expect(tg.messages(ANN.id)).toEqual([])
    fault.cancel()

    const app = after.use(await startTestApp(env))
    const card = await tg.waitForMessage(ANN.id, isCardOf(request_id), WITHIN)
    const press = tg.pressButton({ user: ANN, messageId: card.message_id, label: '🚀 Deploy' })
    await press.answer
    expect(await app.view(request_id)).toMatchObject({ outcome: 'approved' })
    expect(tg.messages(ANN.id).filter(isCardOf(request_id))).toHaveLength(1)
  })
})

/** A server as a process of its own, to be killed. */
async function spawnServer(env: Record<string, string>) {
  const child = spawn(process.execPath, ['src/main.ts'], {
    cwd: join(import.meta.dirname, '../../..'),
    env: { ...process.env, SERVER_PORT: '0', LOG_LEVEL: 'silent', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const { promise: address, resolve, reject } = Promise.withResolvers<string>()
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  child.once('exit', (code) => {
    reject(new Error(`the server ended with ${code}`))
    end()
  })
  createInterface(child.stdout).on('line', (line) => {
    const [, url] = /listening on (http:\S+)/.exec(line) ?? []
    if (url !== undefined) resolve(url)
  })
  const url = await address
  const kill = (): Promise<void> => {
    child.kill('SIGKILL')
    return ended
  }
  return {
    async post(path: string, body: object): Promise<Record<string, unknown>> {
      const headers = { 'content-type': 'application/json' }
      const answer = await fetch(url + path, {
        method: 'POST',
        headers,
        body: JSON.stringify(body),
      })
      return (await answer.json()) as Record<string, unknown>
    },
    kill,
    [Symbol.asyncDispose]: kill,
  }
}

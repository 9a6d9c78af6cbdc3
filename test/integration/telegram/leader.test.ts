import { sql } from 'kysely'
import { describe, test } from 'vitest'
import { startTestApp, type TestApp } from '../../support/app.ts'
import { openTestDatabase, type TestDatabase } from '../../support/database.ts'
import { Command } from '../../support/process.ts'
import { FakeTelegram } from '../../support/telegram/telegram.ts'
import { botOf, isCardOf } from './scene.ts'

/** Several servers on one database and one bot: exactly one of them polls. */

const ANN = { id: 501, first_name: 'Ann', is_bot: false } as const
const OPTIONS = ['🚀 Deploy', '⏸️ Hold']
const SLOW = { timeout: 90_000 }
/** How soon another process polls when the holder is gone or stopped. */
const TAKEOVER_MS = 15_000

async function open() {
  await using opened = new AsyncDisposableStack()
  const store = opened.use(await openTestDatabase('postgres'))
  const tg = opened.use(await FakeTelegram.start({ waitMs: 30_000 }))
  tg.privateChat(ANN)
  const env = { ...botOf(tg), DATABASE_URL: store.url ?? '' }
  const disposables = opened.move()
  return { store, tg, env, [Symbol.asyncDispose]: () => disposables.disposeAsync() }
}

const fact = ({ app }: TestApp) => app.facts().find((one) => one.startsWith('telegram:'))

const conflicts = (tg: FakeTelegram) =>
  tg.calls('getUpdates').filter(({ error }) => error?.error_code === 409).length

/** Asks by one server and presses; what became of it by another one. */
async function decides(tg: FakeTelegram, asking: TestApp, reading = asking, waitMs = 10_000) {
  const { request_id } = await asking.ask({ options: OPTIONS })
  const { message_id } = await tg.waitForMessage(ANN.id, isCardOf(request_id))
  const press = tg.pressButton({ user: ANN, messageId: message_id, label: '🚀 Deploy' })
  await press.answerWithin(waitMs)
  await press.confirmedWithin(waitMs)
  return (await reading.view(request_id)).outcome
}

/** A server as a process of its own. */
async function spawn(env: Record<string, string>) {
  const server = new Command('node', ['src/main.ts'], {
    ...env,
    SERVER_PORT: '0',
    LOG_LEVEL: 'silent',
  })
  await server.said(/^telegram: .*polling\)$/m)
  return server
}

/** The sessions that hold a lock, or try to get it. */
async function sessions({ database }: TestDatabase) {
  const { rows } = await sql<{ pid: number; holds: boolean }>`
    SELECT pid, EXISTS (
      SELECT FROM pg_locks WHERE pg_locks.pid = pg_stat_activity.pid
        AND locktype = 'advisory' AND granted) AS holds
    FROM pg_stat_activity
    WHERE application_name = 'loopgate leader' AND datname = current_database()`.execute(
    database.db,
  )
  return rows
}

describe.concurrent('P1: of two servers on one database', () => {
  test(
    'one polls, both send cards, and Telegram sees no second poller',
    SLOW,
    async ({ expect }) => {
      await using opened = await open()
      const { tg, env, store } = opened
      await using first = await startTestApp(env)
      await tg.waitForPoll()
      await using second = await startTestApp(env)
      await first.register({ telegram_id: ANN.id })
      expect(await decides(tg, first, second)).toBe('approved')
      expect(await decides(tg, second, first)).toBe('approved')
      expect(fact(first)).toMatch(/\(polling\)$/)
      expect(fact(second)).toMatch(/\(polling; another process does it\)$/)
      expect(await sessions(store)).toHaveLength(2)
      expect((await sessions(store)).filter(({ holds }) => holds)).toHaveLength(1)
      expect(conflicts(tg)).toBe(0)
    },
  )

  test('the other one polls at once when the first stops', SLOW, async ({ expect }) => {
    await using opened = await open()
    const { tg, env } = opened
    const first = await startTestApp(env)
    await using second = await startTestApp(env)
    await first.register({ telegram_id: ANN.id })
    expect(await decides(tg, first)).toBe('approved')
    await first.app.stop()
    await tg.waitForPoll({ timeoutMs: 3_000 })
    expect(await decides(tg, second)).toBe('approved')
    expect(fact(second)).toMatch(/\(polling\)$/)
    expect(conflicts(tg)).toBe(0)
  })

  test('the other one polls when the first is killed', SLOW, async ({ expect }) => {
    await using opened = await open()
    const { tg, env } = opened
    await using first = await spawn(env)
    await tg.waitForPoll()
    await using second = await startTestApp(env)
    await second.register({ telegram_id: ANN.id })
    expect(await decides(tg, second)).toBe('approved')
    expect(fact(second)).toMatch(/another process/)
    first.signal('SIGKILL')
    await first.exit()
    await tg.waitForPoll({ timeoutMs: TAKEOVER_MS })
    expect(await decides(tg, second)).toBe('approved')
  })

  test(
    'the other one polls when the first is stopped, and the first leaves it alone when it goes on',
    SLOW,
    async ({ expect }) => {
      await using opened = await open()
      const { tg, env, store } = opened
      await using first = await spawn(env)
      await tg.waitForPoll()
      await using second = await startTestApp(env)
      await second.register({ telegram_id: ANN.id })
      expect(await decides(tg, second)).toBe('approved')
      first.signal('SIGSTOP')
      await tg.waitForPoll({ fresh: true, timeoutMs: TAKEOVER_MS })
      expect(fact(second)).toMatch(/\(polling\)$/)
      expect(await decides(tg, second)).toBe('approved')
      const before = conflicts(tg)
      first.signal('SIGCONT')
      // It competes again, and does not win.
      await expect
        .poll(async () => (await sessions(store)).map(({ holds }) => holds).sort(), {
          timeout: 10_000,
        })
        .toEqual([false, true])
      for (let i = 0; i < 3; i++) expect(await decides(tg, second)).toBe('approved')
      expect(fact(second)).toMatch(/\(polling\)$/)
      expect(conflicts(tg)).toBe(before)
    },
  )
})

describe.concurrent('P1: a server whose lock is gone', () => {
  test('stops polling at once, competes again, and loses nothing', SLOW, async ({ expect }) => {
    await using opened = await open()
    const { tg, env, store } = opened
    await using app = await startTestApp(env)
    await app.register({ telegram_id: ANN.id })
    for (let round = 0; round < 3; round++) {
      await tg.waitForPoll()
      const polls = tg.calls('getUpdates').length
      const [holder] = await sessions(store)
      await sql`SELECT pg_terminate_backend(${holder?.pid ?? 0})`.execute(store.database.db)
      const ended = tg.calls('getUpdates')[polls - 1]
      await expect.poll(() => ended?.outcome).toBe('abandoned')
      expect(await decides(tg, app)).toBe('approved')
    }
    expect(conflicts(tg)).toBe(0)
  })
})

test('on the embedded database there is nobody to compete with', SLOW, async ({ expect }) => {
  await using tg = await FakeTelegram.start()
  tg.privateChat(ANN)
  await using app = await startTestApp(botOf(tg))
  await app.register({ telegram_id: ANN.id })
  expect(await decides(tg, app)).toBe('approved')
  expect(fact(app)).toMatch(/\(polling\)$/)
})

import { sql } from 'kysely'
import { describe, test } from 'vitest'
import { startTestApp } from '../../support/app.ts'
import { openTestDatabase, type TestDatabase } from '../../support/database.ts'
import { FakeTelegram } from '../../support/telegram/telegram.ts'
import { botOf, isCardOf, labelsOf, webhookEnv } from './scene.ts'

/** Telegram drops a press after 150 s. When nobody listened for longer, the open cards say so. */

const ANN = { id: 501, first_name: 'Ann', is_bot: false } as const
const OPTIONS = ['🚀 Deploy', '⏸️ Hold']
const SLOW = { timeout: 60_000 }
const AWAY =
  /^⚠️ I was away from \d{4}-\d\d-\d\d \d\d:\d\d to (\d{4}-\d\d-\d\d )?\d\d:\d\d UTC: presses in that time may be lost\. Please press again\./

/** A server that asked, and is gone. */
async function asked(fields: object = { options: OPTIONS }, more: Record<string, string> = {}) {
  await using opened = new AsyncDisposableStack()
  const store = opened.use(await openTestDatabase('postgres'))
  const tg = opened.use(await FakeTelegram.start({ waitMs: 20_000 }))
  tg.privateChat(ANN)
  const env = { ...botOf(tg), DATABASE_URL: store.url ?? '', ...more }
  await using before = await startTestApp(env)
  await before.register({ telegram_id: ANN.id })
  const { request_id } = await before.ask(fields)
  const card = await tg.waitForMessage(ANN.id, isCardOf(request_id))
  await contacts(store)
  const disposables = opened.move()
  return {
    ...{ store, tg, env, request_id, card },
    [Symbol.asyncDispose]: () => disposables.disposeAsync(),
  }
}

/** Waits until it is written that Telegram was heard. */
async function contacts({ database }: TestDatabase): Promise<void> {
  for (;;) {
    const { rows } = await sql`SELECT 1 FROM contacts`.execute(database.db)
    if (rows.length > 0) return
  }
}

const silentFor = ({ database }: TestDatabase, seconds: number) =>
  sql`UPDATE contacts SET at = at - make_interval(secs => ${seconds})`.execute(database.db)

describe.concurrent('V5: after more than 150 s in which nobody listened', () => {
  test('an open card says so, keeps its buttons, and a press counts', SLOW, async ({ expect }) => {
    await using gone = await asked()
    const { tg, store, env, card, request_id } = gone
    const lost = tg.pressButton({ user: ANN, messageId: card.message_id, label: '⏸️ Hold' })
    tg.advance(200_000)
    await silentFor(store, 200)
    await using app = await startTestApp(env)
    const edit = await tg.waitForEdit(ANN.id)
    expect(edit.message_id).toBe(card.message_id)
    expect(edit.text).toMatch(AWAY)
    expect(edit.text).toContain(card.text)
    expect(labelsOf(edit)).toEqual(OPTIONS)
    expect(lost.update?.fate).toBe('expired')
    const press = tg.pressButton({ user: ANN, messageId: card.message_id, label: '🚀 Deploy' })
    await press.confirmed
    expect(await app.view(request_id)).toMatchObject({ outcome: 'approved' })
    const settled = await tg.waitForEdit(ANN.id, ({ text }) => /^✅/.test(text ?? ''))
    expect(settled.text).not.toMatch(/away/)
    expect(tg.calls('editMessageText')).toHaveLength(2)
  })

  test(
    'a press that Telegram still has counts, and its card says no more',
    SLOW,
    async (context) => {
      const { expect } = context
      await using gone = await asked()
      const { tg, store, env, card, request_id } = gone
      tg.pressButton({ user: ANN, messageId: card.message_id, label: '⏸️ Hold' })
      await silentFor(store, 200)
      await using app = await startTestApp(env)
      await tg.waitForEdit(ANN.id, ({ text }) => /^❌/.test(text ?? ''))
      expect(await app.view(request_id)).toMatchObject({ outcome: 'rejected' })
      expect(tg.calls('editMessageText')).toHaveLength(1)
    },
  )

  test(
    'it is owed across a restart, also when Telegram fails at first',
    SLOW,
    async ({ expect }) => {
      await using gone = await asked()
      const { tg, store, env } = gone
      await silentFor(store, 200)
      const fault = tg.failNext('editMessageText', { mode: 'error', status: 500, times: 1_000 })
      const between = await startTestApp(env)
      await tg.waitForCall('editMessageText')
      await between.app.stop()
      fault.cancel()
      await using _app = await startTestApp(env)
      expect((await tg.waitForEdit(ANN.id)).text).toMatch(AWAY)
    },
  )

  test('a second silence is told, too', SLOW, async ({ expect }) => {
    await using gone = await asked()
    const { tg, store, env } = gone
    for (let round = 1; round <= 2; round++) {
      await silentFor(store, round * 100_000)
      await using _app = await startTestApp(env)
      await expect
        .poll(() => tg.calls('editMessageText').filter(({ outcome }) => outcome === 'ok').length, {
          timeout: 15_000,
        })
        .toBe(round)
    }
    const [card] = tg.messages(ANN.id)
    expect(card?.text?.match(/away from/g)).toHaveLength(1)
  })

  test('a webhook that nobody answered means the same', SLOW, async ({ expect }) => {
    await using gone = await asked({ options: OPTIONS }, await webhookEnv())
    const { tg, store, env } = gone
    await silentFor(store, 200)
    await using _app = await startTestApp(env)
    expect((await tg.waitForEdit(ANN.id)).text).toMatch(AWAY)
  })
})

describe.concurrent('nothing is said', () => {
  test.for([
    ['after a shorter silence', { options: OPTIONS }, 60],
    ['of replies, which Telegram keeps for a day', {}, 1_000],
  ] as const)('%s', SLOW, async ([, fields, seconds], { expect }) => {
    await using gone = await asked(fields)
    const { tg, store, env } = gone
    await silentFor(store, seconds)
    await using app = await startTestApp(env)
    // What is asked after the start comes after what was owed at the start.
    const { request_id } = await app.ask({ options: OPTIONS })
    const { message_id } = await tg.waitForMessage(ANN.id, isCardOf(request_id))
    await tg.pressButton({ user: ANN, messageId: message_id, label: '⏸️ Hold' }).confirmed
    await tg.waitForEdit(ANN.id, ({ text }) => /^❌/.test(text ?? ''))
    expect(tg.calls('editMessageText')).toHaveLength(1)
  })
})

import { describe, test } from 'vitest'
import { freePort } from '../../support/free-port.ts'
import { FakeTelegram, type FaultOptions } from '../../support/telegram/telegram.ts'
import { openLine, postUpdate, Scene, webhookEnv } from './scene.ts'

/** How updates come in by long polling, and what the server does when they do not. */

const OPTIONS = ['🚀 Deploy', '⏸️ Hold']
const SLOW = { timeout: 30_000 }

/** Everything still works: somebody is asked, presses, and it counts. */
async function decides(scene: Scene): Promise<boolean> {
  const ann = scene.person('Ann')
  const asked = await scene.ask(await scene.line(ann.id), { options: OPTIONS })
  await scene.press(ann, asked, '🚀 Deploy').answerWithin(20_000)
  return (await scene.settled(asked.id)).approved
}

const call = (tg: FakeTelegram, method: string, params: object) =>
  fetch(`${tg.apiRoot}/bot${tg.token}/${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(params),
  })

const health = async (scene: Pick<Scene, 'app'>) => {
  const { status, body } = await scene.app.get<{ channels: object }>('/health')
  return [status, body.channels] as const
}

describe.concurrent('polling', () => {
  test('confirms an update only when the decision is there', async ({ expect }) => {
    await using scene = await Scene.open()
    const ann = scene.person()
    const line = await scene.line(ann.id)
    for (let round = 0; round < 10; round++) {
      const asked = await scene.ask(line, { options: OPTIONS })
      await scene.press(ann, asked, '🚀 Deploy').confirmed
      expect(await scene.view(asked.id)).toMatchObject({ outcome: 'approved' })
    }
  })

  test('always says which updates it wants, and drops none', async ({ expect }) => {
    await using scene = await Scene.open()
    await decides(scene)
    const calls = scene.tg.calls('getUpdates')
    expect(calls.length).toBeGreaterThan(1)
    for (const { params } of calls.slice(0, -1)) {
      expect(params['allowed_updates']).toEqual(
        expect.arrayContaining(['message', 'callback_query']),
      )
    }
    expect(calls.map(({ params }) => Number(params['offset'])).filter((n) => n < 0)).toEqual([])
  })

  test('handles what waited before the start, more than fits in one batch', async ({ expect }) => {
    await using tg = await FakeTelegram.start()
    const people = Array.from({ length: 130 }, (_, i) => ({ id: 5_000 + i, first_name: `P${i}` }))
    for (const user of people) tg.send({ user, text: '/start' })
    await using _scene = await Scene.open({ tg })
    for (const { id } of people) {
      await tg.waitForMessage(
        id,
        ({ text }) => text?.includes(`Your numeric id is ${id}.`) ?? false,
      )
    }
    await tg.waitForDrain()
    expect(people.map(({ id }) => tg.messages(id).length)).toEqual(people.map(() => 2))
  })

  test('sets an update aside that nobody can handle, and goes on', SLOW, async ({ expect }) => {
    await using scene = await Scene.open()
    scene.tg.raw({ message: { reply_to_message: { from: { id: scene.tg.botId } } } })
    scene.tg.raw({ callback_query: { id: '1', data: 'x', message: {} } })
    scene.tg.raw({ update_of_the_future: { id: '1' } })
    scene.tg.raw({ message: null })
    expect(await decides(scene)).toBe(true)
    await scene.tg.waitForDrain()
    const metrics = await fetch(`${scene.app.url}/metrics`).then((answer) => answer.text())
    expect(metrics).toMatch(/^loopgate_background_failures_total\{stage="update"\} [1-4]$/m)
  })

  test.for<[string, FaultOptions]>([
    ['answers 500', { mode: 'error', status: 500 }],
    ['cuts the connection', { mode: 'reset' }],
    ['reads them and cuts the connection', { mode: 'drop-after-execute' }],
    ['asks to wait', { mode: 'too-many-requests', retryAfter: 2 }],
  ])('comes back after Telegram %s', SLOW, async ([, fault], { expect }) => {
    await using scene = await Scene.open()
    await scene.tg.waitForPoll()
    scene.tg.failNext('getUpdates', { ...fault, times: fault.retryAfter ? 1 : 2 })
    scene.tg.send({ user: scene.person(), text: '/help' })
    expect(await decides(scene)).toBe(true)
    expect(scene.tg.violations).toEqual([])
    expect(await health(scene)).toMatchObject([200, { telegram: 'on' }])
  })

  test('gives way to another poller, and comes back when it is gone', SLOW, async ({ expect }) => {
    await using scene = await Scene.open()
    await scene.tg.waitForPoll()
    const before = scene.tg.calls('getUpdates').length
    scene.tg.conflict(4_000)
    expect(await decides(scene)).toBe(true)
    const refused = scene.tg.calls('getUpdates').slice(before - 1)
    const conflicts = refused.filter(({ error }) => error?.error_code === 409)
    expect(conflicts.length).toBeGreaterThan(0)
    expect(conflicts.length).toBeLessThan(4)
  })

  test(
    'removes a webhook that somebody set, and loses nothing that waits',
    SLOW,
    async ({ expect }) => {
      await using scene = await Scene.open()
      const ann = scene.person()
      const asked = await scene.ask(await scene.line(ann.id), { options: OPTIONS })
      const url = `http://127.0.0.1:${await freePort()}/`
      await call(scene.tg, 'setWebhook', { url })
      const press = scene.press(ann, asked, '🚀 Deploy')
      await press.answerWithin(20_000)
      expect(await scene.view(asked.id)).toMatchObject({ outcome: 'approved' })
      const [removal] = scene.tg.calls('deleteWebhook')
      expect([true, 'true', 1]).not.toContain(removal?.params['drop_pending_updates'])
      expect(scene.tg.vanished).toEqual([])
    },
  )

  test('keeps a decision whose press can not be answered any more', async ({ expect }) => {
    await using scene = await Scene.open()
    const ann = scene.person()
    const asked = await scene.ask(await scene.line(ann.id), { options: OPTIONS })
    const description = 'Bad Request: query is too old and response timeout expired'
    scene.tg.failNext('answerCallbackQuery', { mode: 'error', status: 400, description })
    await scene.press(ann, asked, '⏸️ Hold').confirmed
    expect(await scene.view(asked.id)).toMatchObject({ outcome: 'rejected' })
    expect((await scene.closed(asked)).text).toMatch(/^❌ Rejected/)
  })
})

describe.concurrent('when Telegram asks to wait with answers to presses', () => {
  test('it gets none meanwhile, and the presses count', async ({ expect }) => {
    await using scene = await Scene.open()
    const ann = scene.person()
    const line = await scene.line(ann.id)
    const asked = [
      await scene.ask(line, { options: OPTIONS }),
      await scene.ask(line, { options: OPTIONS }),
    ]
    scene.tg.failNext('answerCallbackQuery', { mode: 'too-many-requests', retryAfter: 30 })
    for (const one of asked) {
      await scene.press(ann, one, '⏸️ Hold').confirmed
      expect((await scene.closed(one)).text).toMatch(/^❌ Rejected/)
    }
    expect(scene.tg.calls('answerCallbackQuery')).toHaveLength(1)
    expect(scene.tg.violations).toEqual([])
  })
})

describe.concurrent('the server starts without Telegram', () => {
  test.for([
    ['refuses', (tg: FakeTelegram) => `${tg.botId}:wrong`],
    ['does not even take for one', () => 'nonsense'],
  ] as const)('when it %s the token, and says what to do', async ([, token], { expect }) => {
    await using tg = await FakeTelegram.start()
    await using scene = await Scene.open({ tg, env: { TELEGRAM_BOT_TOKEN: token(tg) } })
    const { app } = scene
    expect(await health(scene)).toEqual([200, expect.objectContaining({ telegram: 'failed' })])
    const facts = app.app.facts().filter((fact) => fact.startsWith('telegram:'))
    expect(facts).toEqual([expect.stringMatching(/failed.*@BotFather.*TELEGRAM_BOT_TOKEN/)])
    expect(facts.join()).not.toContain(token(tg))
    const line = await openLine(app, 501)
    expect((await openLine(app, undefined)).link).toBeNull()
    const { delivery, request_id } = await scene.submit(line)
    expect(delivery).toEqual([
      {
        channel: 'telegram',
        status: 'failed',
        error: expect.stringMatching(/TELEGRAM_BOT_TOKEN/),
      },
    ])
    await app.decide(request_id, { response: 'yes' })
    expect(await app.view(request_id)).toMatchObject({ outcome: 'approved' })
  })

  test('when it fails at first, and goes on with it a little later', SLOW, async ({ expect }) => {
    await using tg = await FakeTelegram.start()
    tg.failNext('getMe', { mode: 'error', status: 502, times: 2 })
    await using scene = await Scene.open({ tg })
    expect(await health(scene)).toMatchObject([200, { telegram: 'on' }])
  })

  test('when nobody is there, and asks when it comes', { timeout: 60_000 }, async ({ expect }) => {
    const port = await freePort()
    const token = '7000000001:AAFakeTelegramFakeTelegramFakeTelegr'
    const env = { TELEGRAM_BOT_TOKEN: token, TELEGRAM_API_ROOT: `http://127.0.0.1:${port}` }
    await using scene = await Scene.open({ env })
    const { app } = scene
    expect(await health(scene)).toMatchObject([200, { telegram: 'starting' }])
    expect(app.app.facts().join('\n')).toMatch(/telegram: .*not reached yet/)
    expect((await scene.line(undefined)).link).toBeNull()
    const { request_id, delivery } = await scene.submit(await scene.line(501), { options: OPTIONS })
    expect(delivery).toEqual([{ channel: 'telegram', status: 'queued' }])

    await using tg = await FakeTelegram.start({ port, token })
    const ann = { id: 501, first_name: 'Ann' }
    tg.privateChat(ann)
    const { message_id: messageId } = await tg.waitForMessage(501, undefined, { timeoutMs: 30_000 })
    await tg.pressButton({ user: ann, messageId, label: '🚀 Deploy' }).answerWithin(20_000)
    expect(await app.view(request_id)).toMatchObject({ outcome: 'approved' })
    expect(await health(scene)).toMatchObject([200, { telegram: 'on' }])
  })

  test('and a webhook keeps the updates for later', SLOW, async ({ expect }) => {
    await using tg = await FakeTelegram.start()
    const fault = tg.failNext('getMe', { mode: 'error', status: 502, times: 1_000 })
    await using scene = await Scene.open({ tg, env: await webhookEnv() })
    const { message } = tg.send({ user: scene.person(), text: '/start' })
    const update = { update_id: 7, message }
    for (let tries = 0; tries < 5; tries++) expect(await postUpdate(scene, update)).toBe(503)
    fault.cancel()
    await expect.poll(() => postUpdate(scene, update), { timeout: 15_000 }).toBe(200)
    await tg.waitForMessage(message.chat)
  })
})

describe.concurrent('stopping', () => {
  async function secondsToStop(scene: Scene): Promise<number> {
    const start = performance.now()
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(late.resolve, 8_000)
    await Promise.race([scene.app.app.stop(), late.promise])
    clearTimeout(timer)
    return (performance.now() - start) / 1_000
  }

  test('does not wait for the poll that is open', async ({ expect }) => {
    await using scene = await Scene.open()
    await scene.tg.waitForPoll()
    expect(await secondsToStop(scene)).toBeLessThan(3)
  })

  test('confirms what was handled, so that the next start does not get it again', async ({
    expect,
  }) => {
    await using scene = await Scene.open()
    const ann = scene.person()
    const asked = await scene.ask(await scene.line(ann.id), { options: OPTIONS })
    await scene.press(ann, asked, '🚀 Deploy').answer
    await scene.app.app.stop()
    expect(scene.tg.pendingUpdates).toBe(0)
  })

  test.for([
    ['updates', 'getUpdates', ({ timeout }: { timeout?: unknown }) => Number(timeout) === 0],
    ['a card', 'sendMessage', () => true],
  ] as const)(
    'is over with the grace even when Telegram never answers about %s',
    SLOW,
    async ([, method, when], { expect }) => {
      await using scene = await Scene.open({ env: { SHUTDOWN_GRACE: '1' } })
      const line = await scene.line(scene.person().id)
      await decides(scene)
      scene.tg.failNext(method, { mode: 'hang', when })
      if (method === 'sendMessage') {
        await scene.submit(line)
        await scene.tg.waitForCall('sendMessage', ({ outcome }) => outcome === 'hang')
      }
      expect(await secondsToStop(scene)).toBeLessThan(5)
    },
  )
})

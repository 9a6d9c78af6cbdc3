import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FaultOptions } from '../../support/telegram/telegram.ts'
import { type Asked, isCardOf, type Line, labelsOf, Scene, type Somebody } from './scene.ts'

/** What becomes of a card that Telegram does not take at once. */

let scene: Scene

beforeAll(async () => {
  scene = await Scene.open()
})
afterAll(() => scene[Symbol.asyncDispose]())

const OPTIONS = ['🚀 Deploy', '⏸️ Hold']

const into =
  (chat: number) =>
  ({ chat_id }: { chat_id?: unknown }): boolean =>
    Number(chat_id) === chat

const failNext = (method: string, chat: number, fault: FaultOptions) =>
  scene.tg.failNext(method, { ...fault, when: into(chat) })

const callsInto = (chat: number, method = 'sendMessage') =>
  scene.tg.calls(method).filter(({ params }) => into(chat)(params))

/** The request that could not be asked, and the event that says so. */
async function undelivered(line: Line) {
  const { request_id } = await scene.submit(line, { options: OPTIONS })
  const event = await scene.news(line, request_id)
  const view = await scene.view(request_id)
  expect(event).toMatchObject({ type: 'request.undelivered', session_id: line.session_id })
  expect(event?.data.delivery).toEqual(view.delivery)
  expect(view).toMatchObject({ status: 'pending', outcome: null })
  return view.delivery
}

const failed = (error: RegExp) => [
  { channel: 'telegram', status: 'failed', error: expect.stringMatching(error) },
]

describe('an agent hears at once that nobody was asked when the reviewer', () => {
  test('never started the bot, and is told to', async () => {
    const line = await scene.line(scene.stranger().id)
    expect(await undelivered(line)).toEqual(failed(/press Start/))
  })

  test('does not exist', async () => {
    expect(await undelivered(await scene.line(999_999_999))).toEqual(failed(/chat not found/))
  })

  test('blocked the bot', async () => {
    const ann = scene.person()
    scene.tg.block(ann)
    expect(await undelivered(await scene.line(ann.id))).toEqual(failed(/blocked by the user/))
  })

  test('deleted the account', async () => {
    const ann = scene.person()
    scene.tg.deactivate(ann)
    expect(await undelivered(await scene.line(ann.id))).toEqual(failed(/deactivated/))
  })

  test('is a group that threw the bot out', async () => {
    const group = scene.tg.group({ bot: 'kicked' })
    expect(await undelivered(await scene.line(group.id))).toEqual(failed(/kicked/))
  })

  test('is not known yet, and is told of the link', async () => {
    expect(await undelivered(await scene.line(undefined))).toEqual(failed(/link_url/))
  })

  test('and the next question is asked once the reviewer is back', async () => {
    const ann = scene.person()
    const line = await scene.line(ann.id)
    scene.tg.block(ann)
    await undelivered(line)
    scene.tg.unblock(ann)
    const asked = await scene.ask(line, { options: OPTIONS })
    expect(await scene.decide(ann, asked, '🚀 Deploy')).toMatchObject({ outcome: 'approved' })
  })

  test.for([
    ['blocks the bot', (ann: Somebody) => scene.tg.block(ann), /blocked by the user/],
    ['blocks the bot before the next card', (ann: Somebody) => scene.tg.block(ann), /blocked/],
  ] as const)('was asked, and %s', async ([how, leave, reason]) => {
    const ann = scene.person()
    const line = await scene.line(ann.id)
    const asked = await scene.ask(line, { options: OPTIONS })
    // The card is there before its server has written it down.
    await scene.news(line, asked.id)
    leave(ann)
    if (how.endsWith('card')) await undelivered(line)
    const lost = await scene.event(
      line,
      ({ type, request_id }) => type === 'request.undelivered' && request_id === asked.id,
    )
    expect(lost?.data).toMatchObject({ status: 'pending', delivery: failed(reason) })
    expect((await scene.view(asked.id)).delivery).toEqual(lost?.data.delivery)
  })

  test('was asked in a group that throws the bot out', async () => {
    const ann = scene.person()
    const group = scene.tg.group({ members: [ann] })
    const line = await scene.line(group.id, { approvers: [ann.id] })
    const { id } = await scene.ask(line, { options: OPTIONS })
    await scene.news(line, id)
    scene.tg.setBotStatus(group, ann, 'kicked')
    const lost = await scene.event(
      line,
      ({ type, request_id }) => type === 'request.undelivered' && request_id === id,
    )
    expect(lost?.data.delivery).toEqual(failed(/removed from the chat/))
  })

  test('is asked again once he is back, and either card counts', async () => {
    const ann = scene.person()
    const line = await scene.line(ann.id)
    const [one, other] = [
      await scene.ask(line, { options: OPTIONS }),
      await scene.ask(line, { options: OPTIONS }),
    ]
    for (const { id } of [one, other]) await scene.news(line, id)
    scene.tg.block(ann)
    for (const { id } of [one, other]) {
      await scene.event(line, (e) => e.type === 'request.undelivered' && e.request_id === id)
    }
    scene.tg.unblock(ann)
    for (const { id, card } of [one, other]) {
      const again = await scene.tg.waitForMessage(
        ann.id,
        (message) => isCardOf(id)(message) && message.message_id !== card.message_id,
      )
      expect(labelsOf(again)).toEqual(OPTIONS)
      const told = await scene.event(
        line,
        ({ request_id, data }) => request_id === id && data.delivery[0]?.status === 'delivered',
      )
      expect(told?.type).toBe('request.delivered')
    }
    expect(await scene.decide(ann, one, '🚀 Deploy')).toMatchObject({ outcome: 'approved' })
    const [, second] = scene.cards(ann.id, other.id)
    if (!second) expect.fail('a second card was sent')
    const pressed = { ...other, card: second }
    expect(await scene.decide(ann, pressed, '⏸️ Hold')).toMatchObject({ outcome: 'rejected' })
  })

  test('had not started the bot, and starts it', async () => {
    const ann = scene.stranger()
    const line = await scene.line(ann.id)
    await undelivered(line)
    const [event] = await scene.events(line)
    const id = event?.request_id ?? ''
    scene.tg.send({ user: ann, text: '/start' })
    const card = await scene.card(ann.id, id)
    const asked = { id, card, view: await scene.view(id) }
    expect(await scene.decide(ann, asked, '🚀 Deploy')).toMatchObject({ outcome: 'approved' })
  })

  test('and a request nobody was asked can still be decided in the console', async () => {
    const line = await scene.line(scene.stranger().id)
    await undelivered(line)
    const [event] = await scene.events(line)
    await scene.app.decide(event?.request_id ?? '', { option: '🚀 Deploy' })
    expect(await scene.view(event?.request_id ?? '')).toMatchObject({ outcome: 'approved' })
  })
})

describe('a token that Telegram does not take any more', () => {
  test('fails what is asked, names the variable, and is seen in /health', async () => {
    await using revoked = await Scene.open()
    const line = await revoked.line(revoked.person().id)
    revoked.tg.failNext('sendMessage', { mode: 'error', status: 401, description: 'Unauthorized' })
    const first = await revoked.submit(line)
    expect((await revoked.news(line, first.request_id))?.type).toBe('request.undelivered')
    expect((await revoked.view(first.request_id)).delivery).toEqual(failed(/TELEGRAM_BOT_TOKEN/))
    const second = await revoked.submit(line)
    expect(second.delivery).toEqual(failed(/TELEGRAM_BOT_TOKEN/))
    const { body } = await revoked.app.get<{ channels: object }>('/health')
    expect(body.channels).toMatchObject({ telegram: 'failed' })
    expect(revoked.app.app.facts().join('\n')).toMatch(/telegram: failed: .*TELEGRAM_BOT_TOKEN/)
  })
})

describe.concurrent('a card arrives, once, although Telegram', () => {
  test.for([
    ['asks to wait', { mode: 'too-many-requests', retryAfter: 2 }],
    ['answers 502', { mode: 'error', status: 502, description: 'Bad Gateway' }],
    ['answers 500 twice', { mode: 'error', status: 500, times: 2 }],
    ['cuts the connection', { mode: 'reset' }],
  ] as const)('%s', async ([, fault], { expect }) => {
    const ann = scene.person()
    const line = await scene.line(ann.id)
    failNext('sendMessage', ann.id, fault)
    const view = await scene.submit(line, { options: OPTIONS })
    const card = await scene.card(ann.id, view.request_id)
    await expect
      .poll(async () => (await scene.view(view.request_id)).delivery)
      .toEqual([{ channel: 'telegram', status: 'delivered' }])
    const times = callsInto(ann.id).map(({ at }) => at)
    const wait = 'retryAfter' in fault ? fault.retryAfter * 1_000 : 1_000
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(wait)
    await scene.decide(ann, { id: view.request_id, view, card }, '🚀 Deploy')
    expect(scene.cards(ann.id, view.request_id)).toHaveLength(1)
    expect(await scene.events(line)).toMatchObject([
      { type: 'request.created' },
      { type: 'request.delivered' },
      { type: 'request.decided' },
    ])
  })

  test('asks to wait, and nothing else is sent to that chat meanwhile', async ({ expect }) => {
    const ann = scene.person()
    const [one, two] = await Promise.all([scene.line(ann.id), scene.line(ann.id)])
    failNext('sendMessage', ann.id, { mode: 'too-many-requests', retryAfter: 2 })
    await scene.submit(one)
    await scene.tg.waitForCall('sendMessage', ({ params }) => into(ann.id)(params))
    const second = await scene.submit(two)
    await scene.card(ann.id, second.request_id)
    expect(scene.tg.violations.filter(({ chatId }) => chatId === ann.id)).toEqual([])
  })

  test('refuses the card of another chat for a while', async ({ expect }) => {
    const [ann, bob] = [scene.person('Ann'), scene.person('Bob')]
    const [toAnn, toBob] = await Promise.all([scene.line(ann.id), scene.line(bob.id)])
    failNext('sendMessage', ann.id, { mode: 'error', status: 500, times: 3 })
    await scene.submit(toAnn)
    const { view } = await scene.ask(toBob)
    expect(Date.now() - Date.parse(view.created_at)).toBeLessThan(1_000)
    expect(scene.tg.messages(ann.id)).toEqual([])
  })

  test('refuses the file of a long question', async ({ expect }) => {
    const ann = scene.person()
    failNext('sendDocument', ann.id, { mode: 'error', status: 500 })
    const { id } = await scene.ask(await scene.line(ann.id), { message: 'x'.repeat(5_000) })
    const [file, card] = scene.tg.messages(ann.id)
    expect(file?.document?.file_name).toContain(id)
    expect(card?.reply_to_message?.message_id).toBe(file?.message_id)
  })

  test('takes the file of a long question and refuses the card', async ({ expect }) => {
    const ann = scene.person()
    const line = await scene.line(ann.id)
    failNext('sendMessage', ann.id, { mode: 'error', status: 500, times: 2 })
    const { id } = await scene.ask(line, { message: 'x'.repeat(5_000) })
    const files = scene.tg.messages(ann.id).filter(({ document }) => document !== undefined)
    expect(files).toHaveLength(1)
    expect(scene.cards(ann.id, id)).toHaveLength(1)
  })
})

describe.concurrent('a card whose sending was never confirmed', () => {
  /** Two cards of one request: Telegram showed the first, and its answer was lost. */
  async function askTwice(ann: Somebody, fields: object = { options: OPTIONS }) {
    const line = await scene.line(ann.id)
    failNext('sendMessage', ann.id, { mode: 'drop-after-execute' })
    const view = await scene.submit(line, fields)
    const isSecond = () => scene.cards(ann.id, view.request_id).length === 2
    await scene.tg.waitForMessage(ann.id, isSecond)
    await scene.news(line, view.request_id)
    const [lost, known] = scene
      .cards(ann.id, view.request_id)
      .map((card): Asked => ({ id: view.request_id, view, card }))
    if (!lost || !known) throw new Error('there are not two cards')
    return { lost, known }
  }

  test('is settled with the other one when it is pressed', async ({ expect }) => {
    const ann = scene.person()
    const { lost, known } = await askTwice(ann)
    expect(await scene.decide(ann, lost, '⏸️ Hold')).toMatchObject({ outcome: 'rejected' })
    for (const asked of [lost, known]) {
      const { text } = await scene.closed(asked)
      expect(text).toMatch(/^❌ Rejected by Ann/)
    }
    expect(scene.tg.messages(ann.id).flatMap(labelsOf)).toEqual([])
  })

  test('says who won, and is settled too, when it is pressed late', async ({ expect }) => {
    const ann = scene.person()
    const { lost, known } = await askTwice(ann)
    await scene.decide(ann, known, '⏸️ Hold')
    await scene.closed(known)
    expect(await scene.press(ann, lost, '🚀 Deploy').answer).toMatchObject({
      text: expect.stringContaining('❌ Rejected by Ann'),
      show_alert: true,
    })
    expect((await scene.closed(lost)).text).toMatch(/^❌ Rejected by Ann/)
    expect(await scene.view(known.id)).toMatchObject({ outcome: 'rejected' })
  })

  test('takes a reply like any other', async ({ expect }) => {
    const ann = scene.person()
    const { lost, known } = await askTwice(ann, {})
    scene.tg.reply({ user: ann, replyTo: lost.card, text: 'yes' })
    expect(await scene.settled(lost.id)).toMatchObject({ outcome: 'approved', response: 'yes' })
    for (const asked of [lost, known]) await scene.closed(asked)
  })

  test('is no way in for somebody who is no reviewer', async ({ expect }) => {
    const [ann, eve] = [scene.person('Ann'), scene.person('Eve')]
    const group = scene.tg.group({ members: [eve], administrators: [ann] })
    const line = await scene.line(group.id)
    failNext('sendMessage', group.id, { mode: 'drop-after-execute' })
    const view = await scene.submit(line, { options: OPTIONS })
    const lost = { id: view.request_id, view, card: await scene.card(group.id, view.request_id) }
    expect((await scene.press(eve, lost, '🚀 Deploy').answer).text).toMatch(/not a reviewer/)
    expect(await scene.view(lost.id)).toMatchObject({ status: 'pending' })
    expect(await scene.decide(ann, lost, '⏸️ Hold')).toMatchObject({ outcome: 'rejected' })
  })
})

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FakePress } from '../../support/telegram/telegram.ts'
import { type Asked, dataOf, type Line, labelsOf, Scene, type Somebody } from './scene.ts'

/** Which presses count. The others are told why, and change nothing. */

let scene: Scene
let ann: Somebody
let line: Line

beforeAll(async () => {
  scene = await Scene.open()
  ann = scene.person('Ann')
  line = await scene.line(ann.id)
})
afterAll(() => scene[Symbol.asyncDispose]())

const OPTIONS = ['🚀 Deploy', '⏸️ Hold']
const ask = (fields: object = {}) => scene.ask(line, { options: OPTIONS, ...fields })

/** A press with any data and any fields, as a custom client sends it. */
function press(user: Somebody, { card }: Asked, data: string, extra: object = {}): FakePress {
  const { chat, message_id: messageId } = card
  return scene.tg.press({ user, chat, messageId, data, extra: { ...extra } })
}

const dataAt = (asked: Asked, i: number): string => dataOf(asked.card)[i] ?? ''

async function expectRefused(pressed: FakePress, asked: Asked, reason: RegExp): Promise<void> {
  const before = scene.tg.message(asked.card.chat, asked.card.message_id)
  expect(await pressed.answer).toEqual({ text: expect.stringMatching(reason), show_alert: true })
  expect(await scene.view(asked.id)).toMatchObject({ status: 'pending', decided_by: null })
  expect(scene.tg.message(asked.card.chat, asked.card.message_id)).toEqual(before)
  expect(before?.history).toEqual([])
}

describe('a press counts', () => {
  test('when it is the reviewer’s, and its answer says what was decided', async () => {
    const asked = await ask()
    expect(await scene.press(ann, asked, '🚀 Deploy').answer).toEqual({
      text: expect.stringMatching(/^✅ Approved by Ann, .* UTC: 🚀 Deploy$/),
      show_alert: false,
    })
  })

  test('on a card that is too old for Telegram to show it', async () => {
    const asked = await ask()
    const { chat, message_id: messageId } = asked.card
    const data = dataAt(asked, 1)
    await scene.tg.press({ user: ann, chat, messageId, data, message: 'inaccessible' }).answer
    expect(await scene.view(asked.id)).toMatchObject({ outcome: 'rejected' })
    expect(labelsOf(await scene.closed(asked))).toEqual([])
  })

  test('whatever the reviewer is called by now', async () => {
    const asked = await ask()
    const pressed = press(ann, asked, dataAt(asked, 0), {
      from: { id: ann.id, is_bot: false, first_name: 'Anna', last_name: 'Lee', username: 'other' },
    })
    await pressed.answer
    expect((await scene.view(asked.id)).decided_by).toMatchObject({
      id: `${ann.id}`,
      name: 'Anna Lee',
    })
  })

  test('once, when the same button is pressed twice', async () => {
    const asked = await ask()
    const answers = [
      await scene.press(ann, asked, '🚀 Deploy').answer,
      await press(ann, asked, dataAt(asked, 0)).answer,
    ]
    expect(answers.map(({ text }) => text)).toEqual(Array(2).fill(answers[0]?.text))
    expect(await decisions(asked)).toBe(1)
  })

  test('once, when the same update comes ten times', async () => {
    const asked = await ask()
    const { query, updateId, answer } = scene.press(ann, asked, '🚀 Deploy')
    const raw = { update_id: updateId, callback_query: query }
    for (let i = 0; i < 9; i++) scene.tg.raw(raw)
    await answer
    await scene.tg.waitForDrain()
    expect(await decisions(asked)).toBe(1)
    expect(await scene.view(asked.id)).toMatchObject({ outcome: 'approved' })
  })
})

const decisions = async ({ id }: Asked): Promise<number> => {
  const events = await scene.events(line)
  return events.filter(({ type, request_id }) => type === 'request.decided' && request_id === id)
    .length
}

describe('a press is refused', () => {
  test('with data of another chat', async () => {
    const bob = scene.person('Bob')
    const theirs = await scene.ask(await scene.line(bob.id), { options: OPTIONS })
    const mine = await ask()
    const reason = /belongs to another chat/
    await expectRefused(press(bob, theirs, dataAt(mine, 0)), mine, reason)
    await expectRefused(press(bob, theirs, dataAt(mine, 0)), theirs, reason)
  })

  test('on the card of another request', async () => {
    const [one, other] = [await ask(), await ask()]
    const reason = /does not belong to this message/
    await expectRefused(press(ann, one, dataAt(other, 0)), one, reason)
    await expectRefused(press(ann, one, dataAt(other, 0)), other, reason)
  })

  test('on a message of a person', async () => {
    const asked = await ask()
    const { message } = scene.tg.send({ user: ann, text: asked.card.text ?? '' })
    const { chat, message_id: messageId } = message
    const pressed = scene.tg.press({ user: ann, chat, messageId, data: dataAt(asked, 0) })
    await expectRefused(pressed, asked, /does not belong to this message/)
  })

  test('on a message of the bot that is no card', async () => {
    const asked = await ask()
    const { message } = scene.tg.send({ user: ann, text: '/help' })
    const help = await scene.tg.waitForMessage(
      ann.id,
      ({ reply_to_message }) => reply_to_message?.message_id === message.message_id,
    )
    const { chat, message_id: messageId } = help
    const pressed = scene.tg.press({ user: ann, chat, messageId, data: dataAt(asked, 0) })
    await expectRefused(pressed, asked, /does not belong to this message/)
  })

  test.for([
    ['is forwarded by the reviewer', { forward_origin: { type: 'hidden_user', date: 1 } }],
    ['came through the bot, inline', { via_bot: { id: 1, is_bot: true, first_name: 'B' } }],
    ['is of a business account', { business_connection_id: 'b', sender_business_bot: {} }],
  ] as const)('on a copy of the card that %s', async ([, fields]) => {
    const asked = await ask()
    const message = { ...asked.card, from: ann, ...fields }
    const pressed = press(ann, asked, dataAt(asked, 0), { message })
    await expectRefused(pressed, asked, /does not belong to this message/)
  })

  test('on a copy of the card that a channel posts', async () => {
    const asked = await ask()
    const chat = { id: -1_007_777, type: 'channel', title: 'News' }
    const message = { ...asked.card, from: undefined, sender_chat: chat, chat }
    const pressed = press(ann, asked, dataAt(asked, 0), { message })
    await expectRefused(pressed, asked, /belongs to another chat/)
  })

  test('without a message', async () => {
    const asked = await ask()
    const { message_id: messageId } = asked.card
    const data = dataAt(asked, 0)
    const bare = { user: ann, messageId, data, message: 'absent' } as const
    const inline = { ...bare, extra: { inline_message_id: 'AAAA' } }
    await expectRefused(scene.tg.press(bare), asked, /not mine/)
    await expectRefused(scene.tg.press(inline), asked, /not mine/)
  })

  test('without data, of a game', async () => {
    const asked = await ask()
    const extra = { data: undefined, game_short_name: 'chess' }
    await expectRefused(press(ann, asked, '', extra), asked, /not mine/)
  })

  test.for([
    ['past the last option', 2],
    ['far past it', 99],
  ] as const)('for an option %s, even when it is signed', async ([, option]) => {
    const asked = await ask()
    const data = (await scene.references()).button(asked.id, option, String(line.chat))
    await expectRefused(press(ann, asked, data), asked, /was not offered/)
  })

  test('for a request that is not there, even when it is signed', async () => {
    const asked = await ask()
    const id = '00000000-0000-4000-8000-000000000000'
    const data = (await scene.references()).button(id, 0, String(line.chat))
    await expectRefused(press(ann, asked, data), asked, /does not belong|not there/)
  })

  test('with data that was made up or changed', { timeout: 60_000 }, async () => {
    const asked = await ask()
    const genuine = dataOf(asked.card)
    const place = fc.nat({ max: 42 })
    const change = fc.tuple(fc.constantFrom(...genuine), place, fc.string({ maxLength: 3 }), place)
    const changed = change.map(
      ([data, at, text, cut]) => data.slice(0, at) + text + data.slice(at + (cut % 3)),
    )
    const looksRight = fc.stringMatching(/^1\.[\w-]{22}\.\d{1,2}\.[\w-]{16}$/)
    const odd = fc.constantFrom('', '1', '1.', '-1', '999', '1e3', 'NaN', '0x0', '٣', '1..0.')
    const options = fc.constantFrom('-1', '1', '00', '1e3', '٠', ' 0', '0 ', '0\n', 'NaN', '')
    const otherOption = options.map((text) => (genuine[0] ?? '').replace('.0.', `.${text}.`))
    const forged = fc.oneof(changed, looksRight, odd, otherOption, fc.string({ maxLength: 64 }))
    await fc.assert(
      fc.asyncProperty(forged, async (data) => {
        fc.pre(!genuine.includes(data) && Buffer.byteLength(data) <= 64)
        await expectRefused(press(ann, asked, data), asked, /not mine/)
      }),
      { numRuns: 200, seed: 7 },
    )
  })

  test('after the decision, and says who won', async () => {
    const asked = await ask()
    await scene.decide(ann, asked, '⏸️ Hold')
    expect(await press(ann, asked, dataAt(asked, 0)).answer).toEqual({
      text: expect.stringMatching(/^Too late.*❌ Rejected by Ann, .* UTC$/),
      show_alert: true,
    })
    expect(await scene.view(asked.id)).toMatchObject({ outcome: 'rejected' })
  })

  test('after its time is over', async () => {
    const asked = await ask({ timeout_seconds: 1 })
    await scene.settled(asked.id)
    expect(await press(ann, asked, dataAt(asked, 0)).answer).toEqual({
      text: expect.stringMatching(/^Too late.*⌛ Expired/),
      show_alert: true,
    })
    expect(await scene.view(asked.id)).toMatchObject({ outcome: 'expired', approved: false })
  })

  test('after the agent took the question back', async () => {
    const asked = await ask()
    await scene.app.post('/hitl/cancel', { request_id: asked.id })
    expect(await press(ann, asked, dataAt(asked, 0)).answer).toEqual({
      text: expect.stringMatching(/^Too late.*🚫 Canceled/),
      show_alert: true,
    })
    expect(await scene.view(asked.id)).toMatchObject({ outcome: 'canceled', approved: false })
  })
})

describe('a press that crashes nobody', () => {
  test.for([
    ['with no sender', { from: undefined }],
    ['with an empty message', { message: {} }],
    ['with a message of another bot', { message: { message_id: 1, date: 1, chat: { id: 1 } } }],
    ['with data that is a number', { data: 5 }],
    ['with data that is an object', { data: { __proto__: null } }],
  ] as const)('%s leaves the next ones alone', async ([, extra]) => {
    const asked = await ask()
    press(ann, asked, dataAt(asked, 0), extra)
    const next = scene.press(ann, asked, '⏸️ Hold')
    await next.answer
    expect(await scene.view(asked.id)).toMatchObject({ outcome: 'rejected' })
  })
})

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FakeAct, StoredMessage } from '../../support/telegram/telegram.ts'
import { type Asked, isCardOf, type Line, Scene, type Somebody } from './scene.ts'

/** Which texts count as answers: replies to a card, by a reviewer, in person. */

let scene: Scene
let ann: Somebody
let line: Line

beforeAll(async () => {
  scene = await Scene.open({ telegram: { waitMs: 6_000 } })
  ann = scene.person('Ann')
  line = await scene.line(ann.id)
})
afterAll(() => scene[Symbol.asyncDispose]())

const ask = (fields: object = { request_type: 'input' }) => scene.ask(line, fields)

const reply = ({ card }: Asked, text: string, fields: object = {}) =>
  scene.tg.reply({ user: ann, chat: card.chat, replyTo: card, text, ...fields })

/** What the bot says to a message. */
async function said({ message }: FakeAct): Promise<string> {
  const { text } = await scene.tg.waitForMessage(
    message.chat,
    ({ reply_to_message }) => reply_to_message?.message_id === message.message_id,
  )
  return text ?? ''
}

async function expectPending(asked: Asked): Promise<void> {
  expect(await scene.view(asked.id)).toMatchObject({ status: 'pending', response: null })
  expect(scene.tg.message(asked.card.chat, asked.card.message_id)?.history).toEqual([])
}

/** The message was handled, and nobody was told anything. */
async function expectSilence(act: FakeAct, asked: Asked): Promise<void> {
  await act.confirmed
  await expectPending(asked)
  const answers = scene.tg
    .messages(act.message.chat)
    .filter(({ reply_to_message }) => reply_to_message?.message_id === act.message.message_id)
  expect(answers).toEqual([])
}

const HOW = /press a button of its card or reply to the card/

describe('a reply is stored word for word', () => {
  test.for([
    ['a command', '/deploy now'],
    ['a command of ours', '/status'],
    ['an emoji', '👍'],
    ['emoji', '🏳️‍🌈👩‍👩‍👧‍👦 1️⃣'],
    ['text from right to left', 'כן, מחר בבוקר — نعم'],
    ['text with invisible characters', 'a\u200bb\u202ec'],
    ['lines', 'first\n\n  second\n\tthird'],
    ['markup', '<b>no</b> *yes* `; DROP TABLE requests; --'],
    ['a text like one of our lines', '✅ Approved by Ann'],
    ['4,096 letters', 'x'.repeat(4_096)],
    ['2,048 emoji', '😀'.repeat(2_048)],
  ])('when it is %s', async ([, text = '']) => {
    const asked = await ask()
    reply(asked, text)
    expect(await scene.settled(asked.id)).toMatchObject({
      outcome: 'answered',
      approved: false,
      response: text,
      decided_by: { channel: 'telegram', id: String(ann.id), name: 'Ann' },
    })
  })

  test('and the writer is told that it was recorded, below his message', async () => {
    const asked = await ask({})
    const act = reply(asked, 'yes')
    expect(await said(act)).toMatch(/^Recorded\. ✅ Approved by Ann, .* UTC$/)
  })

  test('once, when the same update comes ten times', async () => {
    const asked = await ask({})
    const act = reply(asked, 'yes')
    const raw = { update_id: act.updateId, message: act.message }
    for (let i = 0; i < 9; i++) scene.tg.raw(raw)
    await scene.tg.waitForDrain()
    const events = await scene.events(line)
    const mine = events.filter(({ request_id }) => request_id === asked.id)
    expect(mine.filter(({ type }) => type === 'request.decided')).toHaveLength(1)
    expect(mine.at(-1)?.type).toBe('request.decided')
  })

  test('in a group, when an approver writes it', async () => {
    const bob = scene.person('Bob')
    const group = scene.tg.group({ members: [ann, bob] })
    const asked = await scene.ask(await scene.line(group.id, { approvers: [bob.id] }))
    const other = reply(asked, 'no')
    expect(await said(other)).toMatch(/not a reviewer/)
    await expectPending(asked)
    scene.tg.reply({ user: bob, chat: group, replyTo: asked.card, text: 'yes' })
    expect(await scene.settled(asked.id)).toMatchObject({
      outcome: 'approved',
      decided_by: { id: String(bob.id) },
    })
  })
})

describe('a reply does not count, and its writer is told why,', () => {
  test('when the question has options', async () => {
    const asked = await ask({ options: ['Yes', 'No'] })
    expect(await said(reply(asked, 'Yes'))).toMatch(/use the buttons/)
    await expectPending(asked)
  })

  test.for([
    ['a photo', { photo: [{ file_id: 'a', file_unique_id: 'a', width: 1, height: 1 }] }],
    ['a photo with a caption', { caption: 'yes', photo: [] }],
    ['a sticker', { sticker: { file_id: 'a', emoji: '👍' } }],
    ['a voice message', { voice: { file_id: 'a', duration: 1 } }],
    ['a location', { location: { latitude: 1, longitude: 2 } }],
    ['a contact', { contact: { phone_number: '1', first_name: 'yes' } }],
  ] as const)('when it is %s', async ([, fields]) => {
    const asked = await ask({})
    const act = scene.tg.reply({ user: ann, replyTo: asked.card, ...fields })
    expect(await said(act)).toMatch(/answer in text/)
    await expectPending(asked)
  })

  test.for([
    ['forwarded', { forward_origin: { type: 'user', date: 1, sender_user: { id: 1 } } }],
    ['written through another bot', { via_bot: { id: 9, is_bot: true, first_name: 'Inline' } }],
    ['written as a channel', { sender_chat: { id: -100, type: 'channel', title: 'News' } }],
  ] as const)('when it is %s', async ([, fields]) => {
    const asked = await ask({})
    expect(await said(reply(asked, 'yes', fields))).toMatch(/write yourself, as yourself/)
    await expectPending(asked)
  })

  test('when an anonymous administrator writes it as the group', async () => {
    const group = scene.tg.group({ anonymousAdministrators: [ann] })
    const asked = await scene.ask(await scene.line(group.id))
    expect(await said(reply(asked, 'yes'))).toMatch(/as yourself/)
    await expectPending(asked)
  })

  test.for([
    ['somebody answered before', 'decide', /^Too late.*❌ Rejected by Ann/],
    ['the agent took the question back', 'cancel', /^Too late.*🚫 Canceled/],
    ['the time is over', 'expire', /^Too late.*⌛ Expired/],
  ] as const)('when %s', async ([, how, reason]) => {
    const asked = await ask(how === 'expire' ? { timeout_seconds: 1 } : {})
    if (how === 'decide') reply(asked, 'no')
    if (how === 'cancel') await scene.app.post('/hitl/cancel', { request_id: asked.id })
    const before = await scene.settled(asked.id)
    expect(await said(reply(asked, 'yes'))).toMatch(reason)
    expect(await scene.view(asked.id)).toEqual(before)
  })

  test('when it is to the file of the question, and not to its card', async () => {
    const asked = await ask({ message: 'x'.repeat(5_000) })
    const file = scene.tg
      .messages(ann.id)
      .find(({ document: of }) => of?.file_name?.includes(asked.id))
    const act = scene.tg.reply({ user: ann, replyTo: file?.message_id ?? 0, text: 'yes' })
    expect(await said(act)).not.toBe('')
  })

  test('when it is to a message of the bot that is no card', async () => {
    const asked = await ask({})
    const help = await commandAnswer('/help')
    const act = scene.tg.reply({ user: ann, replyTo: help, text: 'yes' })
    expect(await said(act)).toMatch(HOW)
    await expectPending(asked)
  })

  test('when it is to a message of his own that looks like the card', async () => {
    const asked = await ask({})
    const own = scene.tg.send({ user: ann, text: asked.card.text ?? '' })
    const act = scene.tg.reply({ user: ann, replyTo: own.message, text: 'yes' })
    expect(await said(act)).toMatch(HOW)
    await expectPending(asked)
  })

  test('when it is a message of its own', async () => {
    const asked = await ask({})
    expect(await said(scene.tg.send({ user: ann, text: 'yes' }))).toMatch(HOW)
    await expectPending(asked)
  })
})

/** What the bot answers to a command. */
async function commandAnswer(text: string): Promise<StoredMessage> {
  const { message } = scene.tg.send({ user: ann, text })
  return scene.tg.waitForMessage(
    ann.id,
    ({ reply_to_message }) => reply_to_message?.message_id === message.message_id,
  )
}

describe('a command', () => {
  test('is answered when it is a reply to a message of the bot that is no card', async () => {
    const help = await commandAnswer('/help')
    const act = scene.tg.reply({ user: ann, replyTo: help, text: '/pending' })
    expect(await said(act)).toMatch(/open questions/i)
  })
})

describe('nothing happens', () => {
  test('in a group, to what people say to each other', async () => {
    const group = scene.tg.group({ bot: 'administrator', administrators: [ann] })
    const asked = await scene.ask(await scene.line(group.id))
    const bob = scene.person('Bob')
    const own = scene.tg.send({ user: bob, chat: group, text: asked.card.text ?? '' })
    await expectSilence(own, asked)
    const lookalike = { user: ann, chat: group, replyTo: own.message, text: 'yes' }
    await expectSilence(scene.tg.reply(lookalike), asked)
    await expectSilence(scene.tg.send({ user: ann, chat: group, text: 'yes' }), asked)
  })

  test('to a reply whose card, by its text, is of another chat', async () => {
    const asked = await ask({})
    const bob = scene.person('Bob')
    const { message } = scene.tg.send({ user: bob, text: 'hello' })
    await scene.tg.waitForMessage(bob.id)
    const key = scene.tg.raw({
      message: { ...message, message_id: 77, text: 'yes', reply_to_message: asked.card },
    })
    await scene.tg.waitForDrain()
    expect(key).toBeGreaterThan(0)
    await expectPending(asked)
  })

  test('to a reply to another bot that shows our card', async () => {
    const asked = await ask({})
    const other = { id: 9, is_bot: true, first_name: 'Other', username: 'other_bot' }
    const { message } = scene.tg.send({ user: ann, text: 'hello' })
    await said({ message } as FakeAct)
    scene.tg.raw({
      message: {
        ...message,
        message_id: 78,
        text: 'yes',
        reply_to_message: { ...asked.card, message_id: 79, from: other },
      },
    })
    await scene.tg.waitForDrain()
    await expectPending(asked)
  })

  test.for([
    'edited_message',
    'channel_post',
    'business_message',
    'guest_message',
    'edited_channel_post',
  ])('to a reply that comes as %s', async (kind) => {
    const asked = await ask({})
    const { message } = scene.tg.send({ user: ann, text: 'hello' })
    await said({ message } as FakeAct)
    const { card } = asked
    scene.tg.raw({ [kind]: { ...message, text: 'yes', reply_to_message: card } })
    await scene.tg.waitForDrain()
    await expectPending(asked)
  })

  test('when a message is edited into an answer', async () => {
    const asked = await ask({})
    const act = scene.tg.reply({ user: ann, replyTo: asked.card, sticker: { file_id: 'a' } })
    await said(act)
    scene.tg.editMessage({ user: ann, messageId: act.message.message_id, text: 'yes' })
    await scene.tg.waitForDrain()
    await expectPending(asked)
    expect(scene.tg.messages(ann.id).filter(isCardOf(asked.id))).toHaveLength(1)
  })
})

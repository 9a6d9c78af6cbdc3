import { describe, expect, test } from 'vitest'
import { type Asked, quotesOf } from '../integration/telegram/scene.ts'
import type { FakeAct } from '../support/telegram/telegram.ts'
import { said, stage } from '../support/telegram-attacks.ts'

/** A20, A21 and A25: texts that Telegram brings. Only a reviewer’s own reply to a card answers. */

const here = stage()
const ask = (fields: object = {}) => here().scene.ask(here().line, fields)

const reply = ({ card }: Asked, text: string, fields: object = {}) =>
  here().scene.tg.reply({ user: here().ann, chat: card.chat, replyTo: card, text, ...fields })

/** Does it; nothing came of it, not even on the card, and what the bot said is returned. */
async function ignored(asked: Asked, act: () => FakeAct): Promise<string> {
  const { scene, server } = here()
  const shown = () => scene.tg.message(asked.card.chat, asked.card.message_id)
  const before = shown()
  const text = await server.attack(async () => said(here(), act()))
  expect(shown()).toEqual(before)
  return text
}

/** An update as it comes, from nobody whom the bot would answer. */
async function ignoredUpdate(update: object): Promise<void> {
  const { scene, server } = here()
  await server.attack(async () => {
    scene.tg.raw(update)
    await scene.tg.waitForDrain()
  })
}

describe('A20: a reply to a message of a person’s own decides nothing,', () => {
  test.for([
    ['the whole text of the card', ({ card }: Asked) => card.text ?? ''],
    ['the id of the request', ({ id }: Asked) => id],
    // What the Go server looked for in whatever was replied to.
    ['the words of the old server', ({ id }: Asked) => `Request ID: \`${id}\``],
    ['the last line of the card', ({ card }: Asked) => card.text?.split('\n').at(-1) ?? ''],
  ] as const)('with %s in it', async ([, look]) => {
    const { scene, ann, eve } = here()
    const asked = await ask()
    for (const user of [ann, eve]) {
      const { message } = scene.tg.send({ user, text: look(asked) })
      const text = await ignored(asked, () =>
        scene.tg.reply({ user, replyTo: message, text: 'yes' }),
      )
      expect(text).toMatch(/press a button of its card or reply to the card/)
    }
  })

  test('also when the agent’s own text ends like a card of another request', async () => {
    const { scene, eve } = here()
    const asked = await ask()
    const last = asked.card.text?.split('\n').at(-1) ?? ''
    const bait = await scene.ask(await scene.line(eve.id), { message: `Hello\n${last}` })
    const act = scene.tg.reply({ user: eve, replyTo: bait.card, text: 'yes' })
    expect(await said(here(), act)).toMatch(/^Recorded/)
    expect(await scene.view(bait.id)).toMatchObject({ outcome: 'approved' })
    expect(await scene.view(asked.id)).toMatchObject({ status: 'pending' })
  })
})

describe('A21: what somebody did not write himself, as himself, decides nothing:', () => {
  test.for([
    ['forwarded', { forward_origin: { type: 'user', date: 1, sender_user: { id: 1 } } }],
    ['through another bot', { via_bot: { id: 9, is_bot: true, first_name: 'Inline' } }],
    ['as a channel', { sender_chat: { id: -100, type: 'channel', title: 'News' } }],
    ['by a bot', { from: { id: 9, is_bot: true, first_name: 'Robot' } }],
  ] as const)('a reply %s', async ([, fields]) => {
    const asked = await ask()
    expect(await ignored(asked, () => reply(asked, 'yes', fields))).toMatch(/as yourself/)
  })

  test('a reply of an anonymous administrator', async () => {
    const { scene, ann } = here()
    const group = scene.tg.group({ anonymousAdministrators: [ann] })
    const asked = await scene.ask(await scene.line(group.id))
    expect(await ignored(asked, () => reply(asked, 'yes'))).toMatch(/as yourself/)
  })

  test('a reply to a forwarded card', async () => {
    const { scene, ann } = here()
    const asked = await ask()
    const copy = scene.tg.send({
      user: ann,
      text: asked.card.text ?? '',
      forward_origin: { type: 'user', date: 1, sender_user: asked.card.from },
    })
    const act = () => scene.tg.reply({ user: ann, replyTo: copy.message, text: 'yes' })
    expect(await ignored(asked, act)).toMatch(/reply to the card/)
  })

  test.for([
    'edited_message',
    'channel_post',
    'edited_channel_post',
    'business_message',
    'edited_business_message',
    'guest_message',
  ])('a reply that comes as %s', async (kind) => {
    const asked = await ask()
    const { date, chat } = asked.card
    const text = { text: 'yes', date, chat, message_id: 700_000, from: here().ann }
    await ignoredUpdate({ [kind]: { ...text, reply_to_message: asked.card } })
  })

  test('a message that is edited into an answer', async () => {
    const { scene, server, ann } = here()
    const asked = await ask()
    const act = reply(asked, '', { text: undefined, sticker: { file_id: 'a' } })
    expect(await said(here(), act)).toMatch(/answer in text/)
    await server.attack(async () => {
      scene.tg.editMessage({ user: ann, messageId: act.message.message_id, text: 'yes' })
      await scene.tg.waitForDrain()
    })
  })

  test('a card that another bot shows', async () => {
    const asked = await ask()
    const from = { id: 9, is_bot: true, first_name: 'Other' }
    const card = { ...asked.card, message_id: 700_001, from }
    const message = { ...asked.card, message_id: 700_002, from: here().ann, text: 'yes' }
    await ignoredUpdate({ message: { ...message, reply_to_message: card } })
  })
})

describe('A25: a text answer is kept word for word and approves only by a plain yes:', () => {
  test.for([
    ['4,096 letters', 'x'.repeat(4_096)],
    ['an emoji that looks like a yes', '👍'],
    ['a check mark', '✅'],
    ['a command', '/help'],
    ['a command of ours', '/start yes'],
    ['text from right to left', 'כן, מחר — نعم'],
    ['a direction that is turned around', '\u202eon'],
    ['an invisible yes', 'yes\u200b, except production'],
    ['a yes with a condition', 'yes, but not today'],
    ['a yes that is taken back', 'yes no'],
    ['no yes at all', 'not yes'],
  ] as const)('%s', async ([, text]) => {
    const { scene } = here()
    const asked = await ask()
    reply(asked, text)
    expect(await scene.settled(asked.id)).toMatchObject({
      outcome: 'answered',
      approved: false,
      response: text,
    })
  })

  test.for(['no', 'No.', 'stop', "don't", 'NO 🚫'])('%j rejects', async (text) => {
    const { scene } = here()
    const asked = await ask()
    reply(asked, text)
    const view = await scene.settled(asked.id)
    expect(view).toMatchObject({ outcome: 'rejected', approved: false, response: text })
  })

  test.for(['yes', 'no'])('%j is only an answer to a question for input', async (text) => {
    const { scene } = here()
    const asked = await ask({ request_type: 'input' })
    reply(asked, text)
    const view = await scene.settled(asked.id)
    expect(view).toMatchObject({ outcome: 'answered', approved: false, response: text })
  })

  test.for([
    ['no text', {}],
    ['a photo with a caption', { photo: [], caption: 'yes' }],
    ['a voice message', { voice: { file_id: 'a', duration: 1 } }],
    ['a sticker', { sticker: { file_id: 'a', emoji: '👍' } }],
    ['a poll', { poll: { id: '1', question: 'yes' } }],
  ] as const)('%s is no answer', async ([, fields]) => {
    const asked = await ask()
    const act = () => reply(asked, '', { text: undefined, ...fields })
    expect(await ignored(asked, act)).toMatch(/answer in text/)
  })

  test('a text does not press a button', async () => {
    const asked = await ask({ options: ['Yes', 'No'] })
    expect(await ignored(asked, () => reply(asked, 'Yes'))).toMatch(/use the buttons/)
    expect(quotesOf(asked.card).length).toBeGreaterThan(0)
  })

  test('one in another topic of a forum counts only from who may answer', async () => {
    const { scene, ann, eve } = here()
    const group = scene.tg.group({ type: 'supergroup', topics: [7], members: [ann, eve] })
    const asked = await scene.ask(await scene.line(group.id, { approvers: [ann.id] }))
    const topic = { message_thread_id: 7, is_topic_message: true }
    const act = () => reply(asked, 'yes', { ...topic, user: eve })
    expect(await ignored(asked, act)).toMatch(/not a reviewer/)
  })
})

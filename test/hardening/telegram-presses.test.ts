import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { labelsOf, type Somebody } from '../integration/telegram/scene.ts'
import { startTestApp } from '../support/app.ts'
import { eventually } from '../support/eventually.ts'
import { dataAt, expectIgnored, press, stage } from '../support/telegram-attacks.ts'

/** A14, A15, A16, A19, A22 and A24: presses that Telegram brings and that may not count. */

const OPTIONS = ['🚀 Deploy', '⏸️ Hold']

const here = stage()
const ask = (fields: object = {}) => here().scene.ask(here().line, { options: OPTIONS, ...fields })

const NOT_A_REVIEWER = /^You are not a reviewer of this request/

describe('A14: a press by who is no reviewer decides nothing', () => {
  test('in somebody else’s private chat', async () => {
    const { eve } = here()
    const asked = await ask()
    await expectIgnored(
      here(),
      asked,
      NOT_A_REVIEWER,
      [0, 1].map((i) => () => press(here(), eve, asked, dataAt(asked, i))),
    )
  })

  test.for([
    ['a group', { type: 'group' }],
    ['a supergroup', { type: 'supergroup' }],
    ['a topic of a forum', { type: 'supergroup', topics: [7] }],
  ] as const)(
    'in %s, neither beside named approvers nor below administrators',
    async ([, options]) => {
      const { scene, ann, eve } = here()
      const [admin, gone] = [scene.person('Admin'), scene.stranger('Gone')]
      const { id } = scene.tg.group({ ...options, administrators: [admin], members: [ann, eve] })
      const named = await scene.ask(await scene.line(id, { approvers: [ann.id] }), {
        options: OPTIONS,
      })
      const open = await scene.ask(await scene.line(id), { options: OPTIONS })
      const topic = 'topics' in options ? { message_thread_id: 7, is_topic_message: true } : {}
      const by = (user: Somebody, asked: typeof named) => () =>
        press(here(), user, asked, dataAt(asked), { message: { ...asked.card, ...topic } })
      await expectIgnored(
        here(),
        named,
        NOT_A_REVIEWER,
        [eve, admin, gone].map((user) => by(user, named)),
      )
      await expectIgnored(
        here(),
        open,
        NOT_A_REVIEWER,
        [eve, ann, gone].map((user) => by(user, open)),
      )
    },
  )
})

test('A15: callback data that nobody made decides nothing', async () => {
  const { ann } = here()
  const [asked, other] = [await ask(), await ask()]
  const [genuine, elsewhere] = [dataAt(asked), dataAt(other)]
  const [version, id, , mac = ''] = genuine.split('.')
  const otherMac = elsewhere.split('.')[3]
  const withOption = (option: string) => `${version}.${id}.${option}.${mac}`
  const data = [
    '',
    randomBytes(48).toString('base64'),
    randomBytes(64).toString('latin1').slice(0, 32),
    ...['-1', '2', '999', '1e3', 'NaN', '0x0', '٠', '０', '00', '+0', ' 0', '0\n', ''].map(
      withOption,
    ),
    `${version}.${id}.0.${randomBytes(12).toString('base64url')}`,
    `${version}.${id}.0.${mac.slice(0, -1)}`,
    `${version}.${id}.0.${mac}A`,
    `${version}.${id}.0.`,
    // The MAC of another request, and of the other option.
    `${version}.${id}.0.${otherMac}`,
    `${version}.${id}.1.${mac}`,
    `2.${id}.0.${mac}`,
    // As the Go server wrote it.
    `response:${asked.id}:0`,
    `response:${asked.id}:-1`,
    asked.id,
  ].filter((text) => Buffer.byteLength(text) <= 64)
  expect(data.length).toBeGreaterThan(20)
  await expectIgnored(
    here(),
    asked,
    /not mine/,
    data.map((text) => () => press(here(), ann, asked, text)),
  )
})

describe('A16: the data of one card is worth nothing elsewhere:', () => {
  test('on the card of another request', async () => {
    const { ann } = here()
    const [x, y] = [await ask(), await ask()]
    await expectIgnored(here(), y, /does not belong to this message/, [
      () => press(here(), ann, y, dataAt(x)),
      () => press(here(), ann, x, dataAt(y)),
    ])
  })

  test('in another chat, by who may answer there', async () => {
    const { scene, ann, eve } = here()
    const theirs = await scene.ask(await scene.line(eve.id), { options: OPTIONS })
    const group = scene.tg.group({ administrators: [eve] })
    const inGroup = await scene.ask(await scene.line(group.id), { options: OPTIONS })
    const mine = await ask()
    await expectIgnored(here(), mine, /belongs to another chat/, [
      () => press(here(), eve, theirs, dataAt(mine)),
      () => press(here(), eve, inGroup, dataAt(mine)),
      () => press(here(), eve, inGroup, dataAt(theirs)),
      () => press(here(), ann, mine, dataAt(theirs)),
    ])
  })

  test('on messages that are no cards: a person’s, another bot’s, a note of ours', async () => {
    const { scene, ann } = here()
    const asked = await ask()
    const own = scene.tg.send({ user: ann, text: asked.card.text ?? '' })
    const note = await scene.tg.waitForMessage(ann.id, (m) => m.text?.includes('/help') === true)
    const from = { id: 9, is_bot: true, first_name: 'Other' }
    const data = dataAt(asked)
    await expectIgnored(here(), asked, /does not belong to this message/, [
      () => press(here(), ann, { ...asked, card: { ...asked.card, ...own.message } }, data),
      () => press(here(), ann, { ...asked, card: note }, data),
      () => press(here(), ann, asked, data, { message: { ...asked.card, from } }),
    ])
  })
})

describe('A19: a press that comes too late changes nothing, says who won, and the card shows it', () => {
  test.for([
    ['after it expired', /^Too late.*⌛ Expired/],
    ['after the agent took it back', /^Too late.*🚫 Canceled/],
    ['after it was decided', /^Too late.*❌ Rejected by Ann/],
  ] as const)('%s', async ([how, reason]) => {
    const { scene, ann } = here()
    const asked = await ask(how === 'after it expired' ? { timeout_seconds: 1 } : {})
    if (how === 'after it was decided') await scene.decide(ann, asked, '⏸️ Hold')
    if (how.includes('took')) await scene.app.post('/hitl/cancel', { request_id: asked.id })
    await scene.settled(asked.id)
    await scene.closed(asked)
    await expectIgnored(here(), asked, reason, [() => press(here(), ann, asked, dataAt(asked))])
    expect(labelsOf(scene.tg.message(ann.id, asked.card.message_id) ?? asked.card)).toEqual([])
  })

  test('on a card that still shows its buttons, after another process took the decision', async () => {
    const { scene, server, ann } = here()
    const asked = await ask()
    const fault = scene.tg.failNext('editMessageText', { mode: 'error', status: 500, times: 99 })
    const env = { DATABASE_URL: scene.store.url ?? '' }
    await using other = await startTestApp(env)
    const { status } = await other.decide(asked.id, { option: '⏸️ Hold' })
    expect(status).toBe(200)
    await scene.settled(asked.id)
    await server.attack(async () => {
      const answer = await press(here(), ann, asked, dataAt(asked)).answer
      expect(answer.text).toMatch(/^Too late.*❌ Rejected/)
    })
    fault.cancel()
    await press(here(), ann, asked, dataAt(asked)).answer
    await eventually(() =>
      labelsOf(scene.tg.message(ann.id, asked.card.message_id) ?? asked.card),
    ).toEqual([])
    expect(await scene.view(asked.id)).toMatchObject({ outcome: 'rejected' })
  })
})

test('A22: who takes over an approver’s name decides nothing; the approver decides under any', async () => {
  const { scene, ann, eve } = here()
  const group = scene.tg.group({ members: [ann, eve] })
  const asked = await scene.ask(await scene.line(group.id, { approvers: [ann.id] }), {
    options: OPTIONS,
  })
  const asAnn = { ...ann, id: eve.id, username: 'ann', last_name: String(ann.id) }
  await expectIgnored(here(), asked, NOT_A_REVIEWER, [
    () => press(here(), asAnn, asked, dataAt(asked), { from: asAnn }),
    () => press(here(), eve, asked, dataAt(asked), { from: { ...eve, username: String(ann.id) } }),
  ])
  const renamed = { ...ann, first_name: 'Zoe', username: 'zoe' }
  await press(here(), renamed, asked, dataAt(asked, 1)).answer
  expect(await scene.view(asked.id)).toMatchObject({
    outcome: 'rejected',
    decided_by: { id: String(ann.id) },
  })
})

describe('A24: a callback query of an odd shape crashes nothing and decides nothing:', () => {
  test.for([
    ['without a message', { message: undefined }],
    ['of an inline message', { message: undefined, inline_message_id: 'AAAA' }],
    ['without data', { data: undefined }],
    ['of a game', { data: undefined, game_short_name: 'chess' }],
  ] as const)('one %s', async ([, extra]) => {
    const asked = await ask()
    await expectIgnored(here(), asked, /not mine/, [
      () => press(here(), here().ann, asked, dataAt(asked), extra),
    ])
  })

  test('one on a message that can not be seen any more, by a stranger or with data of another', async () => {
    const { scene, ann, eve } = here()
    const [asked, other] = [await ask(), await ask()]
    const { chat, message_id } = asked.card
    const message = { chat, message_id, date: 0 }
    await expectIgnored(here(), asked, /not a reviewer|does not belong/, [
      () => press(here(), eve, asked, dataAt(asked), { message }),
      () => press(here(), ann, asked, dataAt(other), { message }),
    ])
    expect(await scene.decide(ann, asked, '⏸️ Hold')).toMatchObject({ outcome: 'rejected' })
  })

  test.for([
    ['no sender', { from: undefined }],
    ['data that is a number', { data: 5 }],
  ] as const)('one with %s, which is set aside', async ([, extra]) => {
    const { scene, server, ann } = here()
    const asked = await ask()
    await server.attack(
      () => press(here(), ann, asked, dataAt(asked), extra).confirmed,
      // Each try is logged as a mistake of ours, and so it is.
      { mayComplain: true },
    )
    expect(await scene.decide(ann, asked, '🚀 Deploy')).toMatchObject({ outcome: 'approved' })
  })
})

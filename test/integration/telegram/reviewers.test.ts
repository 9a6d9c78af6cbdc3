import { Api } from 'grammy'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TelegramReviewers } from '../../../src/channels/telegram/reviewers.ts'
import { FakeClock } from '../../support/clock.ts'
import type { FakePress } from '../../support/telegram/telegram.ts'
import { type Asked, dataOf, type Line, Scene, type Somebody } from './scene.ts'

/** Whose presses count: by numeric id, as the session was when it asked and as it is now. */

let scene: Scene

beforeAll(async () => {
  scene = await Scene.open()
})
afterAll(() => scene[Symbol.asyncDispose]())

const OPTIONS = ['🚀 Deploy', '⏸️ Hold']
const ask = (line: Line) => scene.ask(line, { options: OPTIONS })

async function expectNoReviewer(pressed: FakePress, asked: Asked): Promise<void> {
  expect(await pressed.answer).toEqual({
    text: expect.stringMatching(/^You are not a reviewer of this request/),
    show_alert: true,
  })
  expect(await scene.view(asked.id)).toMatchObject({ status: 'pending', decided_by: null })
}

/** A person of the tenant changes who may answer. */
async function change({ session_id, client_id }: Line, fields: object): Promise<void> {
  const body = { session_id, client_id, ...fields }
  const { status } = await scene.app.post('/hitl/register', body, await scene.app.person())
  expect(status).toBe(200)
}

const lookups = (chat: number) =>
  scene.tg.calls('getChatAdministrators').filter(({ params }) => Number(params['chat_id']) === chat)

describe('in a private chat', () => {
  test('only its user may answer', async () => {
    const [ann, eve] = [scene.person('Ann'), scene.person('Eve')]
    const asked = await ask(await scene.line(ann.id))
    // Telegram never sends this; a server that trusts the chat alone would take it.
    await expectNoReviewer(scene.press(eve, asked, '🚀 Deploy'), asked)
    expect(await scene.decide(ann, asked, '🚀 Deploy')).toMatchObject({ outcome: 'approved' })
  })

  test('nobody may answer once the session asks somebody else', async () => {
    const [ann, bob] = [scene.person('Ann'), scene.person('Bob')]
    const line = await scene.line(ann.id)
    const asked = await ask(line)
    await change(line, { telegram_id: bob.id })
    await expectNoReviewer(scene.press(ann, asked, '🚀 Deploy'), asked)
    const next = await ask({ ...line, chat: bob.id })
    expect(await scene.decide(bob, next, '⏸️ Hold')).toMatchObject({ outcome: 'rejected' })
  })
})

test('a person can not name an approver who can not be in the chat, and then nothing changes', async () => {
  const [ann, bob] = [scene.person('Ann'), scene.person('Bob')]
  const { session_id, client_id } = await scene.line(ann.id)
  const body = { session_id, client_id, approvers: [bob.id] }
  const refused = await scene.app.post('/hitl/register', body, await scene.app.person())
  expect(refused).toMatchObject({ status: 400, body: { errors: [{ path: '/approvers' }] } })
  const same = { session_id, client_id, telegram_id: ann.id, approvers: [ann.id] }
  expect(await scene.app.post('/hitl/register', same)).toMatchObject({ status: 200 })
})

test('a person moves a session from a private chat to a group and back, naming what changes', async () => {
  const [ann, bob] = [scene.person('Ann'), scene.person('Bob')]
  const group = scene.tg.group({ members: [ann, bob] })
  const line = await scene.line(ann.id)
  await change(line, { telegram_id: group.id, approvers: [ann.id] })
  await change(line, { approvers: [bob.id] })
  const asked = await ask({ ...line, chat: group.id })
  await expectNoReviewer(scene.press(ann, asked, '🚀 Deploy'), asked)
  expect(await scene.decide(bob, asked, '🚀 Deploy')).toMatchObject({ outcome: 'approved' })
  await change(line, { telegram_id: ann.id })
  const next = await ask(line)
  expect(await scene.decide(ann, next, '⏸️ Hold')).toMatchObject({ outcome: 'rejected' })
})

describe('in a group with named approvers', () => {
  const people = () => [scene.person('Ann'), scene.person('Bob'), scene.person('Eve')] as const

  test('they may answer, and its owner and administrators may not', async () => {
    const [ann, bob, eve] = people()
    const group = scene.tg.group({ owner: eve, administrators: [bob], members: [ann] })
    const asked = await ask(await scene.line(group.id, { approvers: [ann.id] }))
    await expectNoReviewer(scene.press(eve, asked, '🚀 Deploy'), asked)
    await expectNoReviewer(scene.press(bob, asked, '🚀 Deploy'), asked)
    expect(await scene.decide(ann, asked, '🚀 Deploy')).toMatchObject({
      outcome: 'approved',
      decided_by: { channel: 'telegram', id: String(ann.id), name: 'Ann' },
    })
    expect(lookups(group.id)).toEqual([])
  })

  test.for([
    ['in a list', (id: number) => ({ id: [id], is_bot: false })],
    ['as text', (id: number) => ({ id: String(id), is_bot: false })],
    ['nearly', (id: number) => ({ id: id + 0.5, is_bot: false })],
    ['of who knows what', (id: number) => ({ id })],
  ] as const)('an id that is theirs %s is worth nothing', async ([, fromOf]) => {
    const [ann, , eve] = people()
    const group = scene.tg.group({ members: [ann, eve] })
    const asked = await ask(await scene.line(group.id, { approvers: [ann.id] }))
    const { chat, message_id: messageId } = asked.card
    const data = dataOf(asked.card)[0] ?? ''
    const from = { ...fromOf(ann.id), first_name: 'Ann' }
    await expectNoReviewer(
      scene.tg.press({ user: eve, chat, messageId, data, extra: { from } }),
      asked,
    )
  })

  test('a name that somebody took over is worth nothing', async () => {
    const [ann, , eve] = people()
    const group = scene.tg.group({ members: [ann, eve] })
    const asked = await ask(await scene.line(group.id, { approvers: [ann.id] }))
    const { chat, message_id: messageId } = asked.card
    const asAnn = { ...ann, id: eve.id, username: 'ann' }
    const data = dataOf(asked.card)[0] ?? ''
    await expectNoReviewer(scene.tg.press({ user: asAnn, chat, messageId, data }), asked)
  })

  test.for([
    ['a bot', 4_200_001],
    ['whoever hides behind the group', 1_087_968_824],
    ['whoever hides behind a channel', 136_817_688],
  ] as const)('%s may not answer, not even when it is named', async ([, id]) => {
    const [ann] = people()
    const group = scene.tg.group({ members: [ann] })
    const asked = await ask(await scene.line(group.id, { approvers: [id, ann.id] }))
    const { chat, message_id: messageId } = asked.card
    const data = dataOf(asked.card)[0] ?? ''
    const from = { id, is_bot: true, first_name: 'Robot' }
    await expectNoReviewer(
      scene.tg.press({ user: ann, chat, messageId, data, extra: { from } }),
      asked,
    )
    expect(await scene.decide(ann, asked, '🚀 Deploy')).toMatchObject({ outcome: 'approved' })
  })

  test('one who was removed since may not answer, and one who was added since may not either', async () => {
    const [ann, bob, eve] = people()
    const group = scene.tg.group({ members: [ann, bob, eve] })
    const line = await scene.line(group.id, { approvers: [ann.id, bob.id] })
    const asked = await ask(line)
    await change(line, { telegram_id: group.id, approvers: [bob.id, eve.id] })
    await expectNoReviewer(scene.press(ann, asked, '🚀 Deploy'), asked)
    await expectNoReviewer(scene.press(eve, asked, '🚀 Deploy'), asked)
    expect(await scene.decide(bob, asked, '⏸️ Hold')).toMatchObject({ outcome: 'rejected' })
    const next = await ask(line)
    await expectNoReviewer(scene.press(ann, next, '🚀 Deploy'), next)
    expect(await scene.decide(eve, next, '🚀 Deploy')).toMatchObject({ outcome: 'approved' })
  })

  test('one who was removed and named again may answer', async () => {
    const [ann, bob] = people()
    const group = scene.tg.group({ members: [ann, bob] })
    const line = await scene.line(group.id, { approvers: [ann.id] })
    const asked = await ask(line)
    await change(line, { telegram_id: group.id, approvers: [bob.id] })
    await change(line, { telegram_id: group.id, approvers: [ann.id] })
    expect(await scene.decide(ann, asked, '🚀 Deploy')).toMatchObject({ outcome: 'approved' })
  })

  test('of two who press different buttons at once one decides, and the other is told who', async () => {
    const [ann, bob] = people()
    const group = scene.tg.group({ members: [ann, bob] })
    const line = await scene.line(group.id, { approvers: [ann.id, bob.id] })
    for (let round = 0; round < 40; round++) await expectOneWinner(line, ann, bob, round)
  })
})

async function expectOneWinner(line: Line, ann: Somebody, bob: Somebody, round: number) {
  const asked = await ask(line)
  const moves = [
    { who: ann, label: '🚀 Deploy', headline: '✅ Approved by Ann' },
    { who: bob, label: '⏸️ Hold', headline: '❌ Rejected by Bob' },
  ]
  if (round % 2) moves.reverse()
  const presses = moves.map(({ who, label }) => scene.press(who, asked, label))
  const answers = await Promise.all(presses.map(({ answer }) => answer))
  const { decided_by, response } = await scene.view(asked.id)
  const winner = moves.findIndex(({ who }) => String(who.id) === decided_by?.id)
  const headline = moves[winner]?.headline ?? ''
  expect(response).toBe(moves[winner]?.label)
  expect(answers[winner]).toEqual({ text: expect.stringContaining(headline), show_alert: false })
  expect(answers[1 - winner]).toEqual({
    text: expect.stringMatching(new RegExp(`^Too late.*${headline}`)),
    show_alert: true,
  })
  expect((await scene.closed(asked)).text).toContain(headline)
}

describe('in a group without named approvers', () => {
  test('its owner and administrators may answer, and members and strangers may not', async () => {
    const [owner, admin, member] = [scene.person('Olga'), scene.person('Ada'), scene.person('Mel')]
    const stranger = scene.person('Eve')
    const group = scene.tg.group({ owner, administrators: [admin], members: [member] })
    const line = await scene.line(group.id)
    const asked = await ask(line)
    await expectNoReviewer(scene.press(member, asked, '🚀 Deploy'), asked)
    await expectNoReviewer(scene.press(stranger, asked, '🚀 Deploy'), asked)
    expect(await scene.decide(admin, asked, '🚀 Deploy')).toMatchObject({ outcome: 'approved' })
    expect(await scene.decide(owner, await ask(line), '⏸️ Hold')).toMatchObject({
      outcome: 'rejected',
    })
  })

  test('they are looked up once, however many press and ask within a minute', async () => {
    const [ann, eve] = [scene.person('Ann'), scene.person('Eve')]
    const group = scene.tg.group({ administrators: [ann], members: [eve] })
    const lines = [await scene.line(group.id), await scene.line(group.id)]
    for (let round = 0; round < 5; round++) {
      for (const line of lines) {
        const asked = await ask(line)
        await expectNoReviewer(scene.press(eve, asked, '🚀 Deploy'), asked)
        await scene.decide(ann, asked, '🚀 Deploy')
      }
    }
    expect(lookups(group.id)).toHaveLength(1)
  })

  test('an administrator may answer as himself, and nobody may as the group', async () => {
    const hidden = scene.person('Hidden')
    const group = scene.tg.group({ anonymousAdministrators: [hidden] })
    const asked = await ask(await scene.line(group.id))
    const { chat, message_id: messageId } = asked.card
    const data = dataOf(asked.card)[0] ?? ''
    const from = { id: 1_087_968_824, is_bot: true, first_name: 'Group' }
    await expectNoReviewer(
      scene.tg.press({ user: hidden, chat, messageId, data, extra: { from } }),
      asked,
    )
    expect(await scene.decide(hidden, asked, '🚀 Deploy')).toMatchObject({ outcome: 'approved' })
  })

  test('a bot that is an administrator may not answer', async () => {
    const bot = { ...scene.person('Robot'), is_bot: true } as unknown as Somebody
    const group = scene.tg.group({ administrators: [bot, scene.person('Ann')] })
    const asked = await ask(await scene.line(group.id))
    await expectNoReviewer(scene.press(bot, asked, '🚀 Deploy'), asked)
  })

  test.for([
    ['fails for a second or two', { mode: 'error', status: 500, times: 4 }],
    ['is cut off for a second or two', { mode: 'reset', times: 4 }],
    ['has to wait', { mode: 'too-many-requests', retryAfter: 2 }],
    ['is refused', { mode: 'error', status: 400, description: 'Bad Request', times: 100 }],
  ] as const)('a press is not lost in silence when looking them up %s', async ([, fault]) => {
    const ann = scene.person('Ann')
    const group = scene.tg.group({ administrators: [ann] })
    const asked = await ask(await scene.line(group.id))
    const when = ({ chat_id }: { chat_id?: unknown }) => Number(chat_id) === group.id
    scene.tg.failNext('getChatAdministrators', { ...fault, when })
    const press = scene.press(ann, asked, '🚀 Deploy')
    const answer = await press.answerWithin(6_000)
    await press.confirmed
    const { outcome } = await scene.view(asked.id)
    // What is said is true: it is saved, it will be, or nothing was changed.
    const isPromised = /keep trying/.test(answer.text)
    expect(answer.text).not.toBe('')
    expect([outcome, answer.show_alert]).toEqual(
      isPromised ? ['approved', true] : outcome ? ['approved', false] : [null, true],
    )
    expect(scene.tg.violations.filter(({ chatId }) => chatId === group.id)).toEqual([])
  })

  test('a group whose administrators can not be looked up holds up nobody else', async () => {
    const [ann, bob] = [scene.person('Ann'), scene.person('Bob')]
    const group = scene.tg.group({ administrators: [ann] })
    const [theirs, mine] = [
      await ask(await scene.line(group.id)),
      await ask(await scene.line(bob.id)),
    ]
    const when = ({ chat_id }: { chat_id?: unknown }) => Number(chat_id) === group.id
    const fault = { mode: 'error', status: 500, times: 10_000, when } as const
    const planned = scene.tg.failNext('getChatAdministrators', fault)
    try {
      scene.press(ann, theirs, '🚀 Deploy')
      await scene.press(bob, mine, '🚀 Deploy').answerWithin(6_000)
      expect(await scene.view(mine.id)).toMatchObject({ outcome: 'approved' })
    } finally {
      planned.cancel()
    }
  })

  test('they are looked up again after a minute', async () => {
    const clock = new FakeClock()
    const [ann, bob] = [scene.person('Ann'), scene.person('Bob')]
    const group = scene.tg.group({ administrators: [ann], members: [bob] })
    const { token, apiRoot } = scene.tg
    const reviewers = new TelegramReviewers(new Api(token, { apiRoot }), clock)
    const chat = String(group.id)
    const audience = { address: chat, approvers: [] }
    const may = ({ id }: Somebody) => reviewers.mayAnswer(String(id), chat, [audience, audience])
    expect([await may(ann), await may(bob)]).toEqual([true, false])
    scene.tg.setMember(group, ann, 'member')
    scene.tg.setMember(group, bob, 'administrator')
    clock.advance(59_000)
    expect([await may(ann), await may(bob)]).toEqual([true, false])
    clock.advance(1_000)
    expect([await may(ann), await may(bob)]).toEqual([false, true])
    expect(lookups(group.id)).toHaveLength(2)
  })
})

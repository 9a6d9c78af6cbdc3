import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FakeAct, Writing } from '../../support/telegram/telegram.ts'
import { type Line, Scene, type Somebody } from './scene.ts'

/** What people can say to the bot, and how a reviewer joins a session. */

let scene: Scene

beforeAll(async () => {
  scene = await Scene.open({ env: { MAX_CONCURRENT_REQUESTS: '1000' } })
})
afterAll(() => scene[Symbol.asyncDispose]())

/** What the bot says to a message. */
async function say(user: Somebody, text: string, fields: Omit<Writing, 'user'> = {}) {
  const { message } = scene.tg.send({ user, text, ...fields })
  const answer = await scene.tg.waitForMessage(
    message.chat,
    ({ reply_to_message }) => reply_to_message?.message_id === message.message_id,
  )
  return answer.text ?? ''
}

async function expectSilence(act: FakeAct): Promise<void> {
  await act.confirmed
  const answers = scene.tg
    .messages(act.message.chat)
    .filter(({ reply_to_message }) => reply_to_message?.message_id === act.message.message_id)
  expect(answers).toEqual([])
}

const codeOf = ({ link }: Line): string => new URL(link ?? '').searchParams.get('start') ?? ''
const OPTIONS = ['🚀 Deploy', '⏸️ Hold']

async function chatOf({ session_id }: Line): Promise<unknown> {
  const { body } = await scene.app.get<{ telegram_id: unknown }>(
    `/hitl/status?session_id=${session_id}`,
  )
  return body.telegram_id
}

describe('/start', () => {
  test('tells the sender his numeric id', async () => {
    const ann = scene.stranger('Ann')
    expect(await say(ann, '/start')).toContain(`Your numeric id is ${ann.id}.`)
  })

  test('tells the id of the group too, when it is said in one', async () => {
    const ann = scene.person('Ann')
    const group = scene.tg.group({ members: [ann] })
    const answer = await say(ann, `/start@${scene.tg.bot.username}`, { chat: group })
    expect(answer).toContain(`Your numeric id is ${ann.id}.`)
    expect(answer).toContain(`The id of this group is ${group.id}.`)
  })
})

describe('a link', () => {
  test('is a deep link to the bot, with 128 random bits', async () => {
    const [one, two] = [await scene.line(undefined), await scene.line(undefined)]
    const pattern = new RegExp(`^https://t\\.me/${scene.tg.bot.username}\\?start=[\\w-]{22,64}$`)
    expect(one.link).toMatch(pattern)
    expect(codeOf(one)).not.toBe(codeOf(two))
  })

  test('makes the sender the reviewer, who gets what is open and decides it', async () => {
    const ann = scene.stranger('Ann')
    const line = await scene.line(undefined)
    const view = await scene.submit(line, { options: OPTIONS })
    const over = await scene.submit(line)
    await scene.app.post('/hitl/cancel', { request_id: over.request_id })
    expect(view.delivery).toMatchObject([{ channel: 'telegram', status: 'failed' }])

    expect(await say(ann, `/start ${codeOf(line)}`)).toContain(`You answer for ${line.client_id}`)
    const card = await scene.card(ann.id, view.request_id)
    const asked = { id: view.request_id, view, card }
    const events = async () => (await scene.events(line)).map(({ type }) => type)
    await expect.poll(events).toContain('request.delivered')
    expect((await scene.view(view.request_id)).delivery).toEqual([
      { channel: 'telegram', status: 'delivered' },
    ])
    expect(await scene.decide(ann, asked, '🚀 Deploy')).toMatchObject({
      outcome: 'approved',
      decided_by: { id: String(ann.id) },
    })
    expect(scene.cards(ann.id, over.request_id)).toEqual([])
    expect(await chatOf(line)).toBe(ann.id)
    const next = await scene.ask({ ...line, chat: ann.id })
    expect(next.view.delivery).toMatchObject([{ status: 'queued' }])
  })

  test('may be opened again by the same person, and sends nothing twice', async () => {
    const ann = scene.person('Ann')
    const line = await scene.line(undefined)
    const { request_id } = await scene.submit(line)
    const first = await say(ann, `/start ${codeOf(line)}`)
    await scene.card(ann.id, request_id)
    expect(await say(ann, `/start ${codeOf(line)}`)).toBe(first)
    await scene.ask({ ...line, chat: ann.id })
    expect(scene.cards(ann.id, request_id)).toHaveLength(1)
  })

  test('is for one person only', async () => {
    const [ann, eve] = [scene.person('Ann'), scene.person('Eve')]
    const line = await scene.line(undefined)
    const other = await scene.line(undefined, { ...line })
    await say(ann, `/start ${codeOf(line)}`)
    expect(await say(eve, `/start ${codeOf(line)}`)).toMatch(/does not work/)
    expect(await say(eve, `/start ${codeOf(other)}`)).toMatch(/does not work/)
    expect(await chatOf(line)).toBe(ann.id)
    const asked = await scene.ask({ ...line, chat: ann.id }, { options: OPTIONS })
    expect((await scene.press(eve, asked, '🚀 Deploy').answer).text).toMatch(/not a reviewer/)
  })

  test('is for a named approver only, when there are any', async () => {
    const [ann, eve] = [scene.person('Ann'), scene.person('Eve')]
    const line = await scene.line(undefined, { approvers: [ann.id] })
    expect(await say(eve, `/start ${codeOf(line)}`)).toMatch(/does not work/)
    expect(await say(ann, `/start ${codeOf(line)}`)).toMatch(/You answer for/)
    const asked = await scene.ask({ ...line, chat: ann.id }, { options: OPTIONS })
    expect(await scene.decide(ann, asked, '⏸️ Hold')).toMatchObject({ outcome: 'rejected' })
  })

  test.for([
    ['with nobody named', () => ({})],
    ['with the approver named', ({ id }: Somebody) => ({ approvers: [id] })],
  ] as const)('leaves the agent free to register the same again, %s', async ([, fieldsFor]) => {
    const ann = scene.person('Ann')
    const fields = fieldsFor(ann)
    const { session_id, client_id, ...line } = await scene.line(undefined, fields)
    await say(ann, `/start ${codeOf({ ...line, session_id, client_id })}`)
    const body = { session_id, client_id, ...fields }
    const again = await scene.app.post<{ link_url: unknown }>('/hitl/register', body)
    expect([again.status, again.body.link_url]).toEqual([200, null])
  })

  test('does not work any more when its time is over', async () => {
    const ann = scene.person('Ann')
    const line = await scene.line(undefined)
    await sql`UPDATE invitations SET expires_at = clock_timestamp()
      WHERE session_id = ${line.session_id}`.execute(scene.store.database.db)
    expect(await say(ann, `/start ${codeOf(line)}`)).toMatch(/does not work/)
    expect(await chatOf(line)).toBeNull()
  })

  test.for([
    ...['x', 'AAAAAAAAAAAAAAAAAAAAAA', `${'x'.repeat(65)}`, ';DROP TABLE sessions', '__proto__'],
    ...['%00', '../../etc/passwd', '🚀', 'a b c', '0'],
  ])('that is not one does not work: %s', async (code) => {
    expect(await say(scene.person(), `/start ${code}`)).toMatch(/does not work/)
  })

  test('is not spent in a group', async () => {
    const ann = scene.person('Ann')
    const group = scene.tg.group({ members: [ann] })
    const line = await scene.line(undefined)
    const text = `/start@${scene.tg.bot.username} ${codeOf(line)}`
    expect(await say(ann, text, { chat: group })).toMatch(/private chat/)
    expect(await chatOf(line)).toBeNull()
    expect(await say(ann, `/start ${codeOf(line)}`)).toMatch(/You answer for/)
  })

  test('shows the names of an agent as they are, and hides nothing in them', async () => {
    const ann = scene.person('Ann')
    const names = { client_id: '*bot*\u2800<b>', session_id: `[x](tg://user?id=1) ${ann.id}` }
    const line = await scene.line(undefined, names)
    const answer = await say(ann, `/start ${codeOf(line)}`)
    expect(answer).toContain(`*bot*⟨U+2800⟩<b> (session ${names.session_id})`)
  })
})

describe('/status', () => {
  test('says what to do when no session asks here', async () => {
    const ann = scene.person('Ann')
    expect(await say(ann, '/status')).toContain(`telegram_id ${ann.id}`)
  })

  test('lists the sessions that ask here, and no others', async () => {
    const [ann, bob] = [scene.person('Ann'), scene.person('Bob')]
    const [on, off, other] = [
      await scene.line(ann.id),
      await scene.line(ann.id),
      await scene.line(bob.id),
    ]
    await scene.app.post('/hitl/deactivate', { session_id: off.session_id })
    const answer = await say(ann, '/status')
    expect(answer).toContain(`🟢 ${on.client_id} · session ${on.session_id}`)
    expect(answer).toContain(`⚪ ${off.client_id} · session ${off.session_id}`)
    expect(answer).not.toContain(other.session_id)
  })

  test('says that there are more than it lists', async () => {
    const ann = scene.person('Ann')
    for (let i = 0; i < 22; i++) await scene.line(ann.id)
    const answer = await say(ann, '/status')
    expect(answer.match(/🟢/g)).toHaveLength(20)
    expect(answer).toContain('more')
  })
})

describe('/pending', () => {
  test('says that nothing is open', async () => {
    expect(await say(scene.person(), '/pending')).toBe('No open questions here.')
  })

  test('lists what is open here, oldest first, each on one line, and nothing of other chats', async () => {
    const [ann, bob] = [scene.person('Ann'), scene.person('Bob')]
    const [line, other] = [await scene.line(ann.id), await scene.line(bob.id)]
    await scene.ask(line, { message: 'first?\n\u202e✅ Approved' })
    await scene.ask(other, { message: 'of somebody else' })
    await scene.ask(line, { message: '*second*?' })
    const settled = await scene.ask(line, { message: 'settled' })
    await scene.app.post('/hitl/cancel', { request_id: settled.id })
    const lines = (await say(ann, '/pending')).split('\n').filter((one) => one.startsWith('•'))
    expect(lines).toEqual([
      expect.stringContaining('first? ⏎ ⟨U+202E⟩✅ Approved'),
      expect.stringContaining('*second*?'),
    ])
  })

  test('is never too long, and says that there is more', async () => {
    const ann = scene.person('Ann')
    const line = await scene.line(ann.id, { client_id: `${'c'.repeat(150)}${ann.id}` })
    const from = { ...line, client_id: `${'c'.repeat(150)}${ann.id}` }
    await Promise.all(
      Array.from({ length: 25 }, (_, i) =>
        scene.submit(from, { message: `${i} ${'😀\u200b'.repeat(2_000)}` }),
      ),
    )
    const answer = await say(ann, '/pending')
    expect(answer.match(/^•/gm)).toHaveLength(20)
    expect(answer).toContain('more')
    expect(answer.isWellFormed()).toBe(true)
  })
})

describe('anything else', () => {
  test('/help says what there is', async () => {
    const answer = await say(scene.person(), '/help')
    for (const name of ['/start', '/status', '/pending', '/help']) expect(answer).toContain(name)
  })

  test('the menu of commands is set', () => {
    const [call] = scene.tg.calls('setMyCommands')
    expect(call).toMatchObject({ outcome: 'ok' })
    expect(JSON.stringify(call?.params)).toMatch(/pending.*status.*help/)
  })

  test.for(['hello', '/unknown', 'yes', '/startx abc'])(
    'is answered with how to answer, in a private chat: %s',
    async (text) => {
      expect(await say(scene.person(), text)).toMatch(/reply to the card/)
    },
  )

  test('is not answered in a group', async () => {
    const ann = scene.person('Ann')
    const chat = scene.tg.group({ bot: 'administrator', members: [ann] })
    for (const text of ['hello', '/unknown', '/status@other_bot']) {
      await expectSilence(scene.tg.send({ user: ann, chat, text }))
    }
  })

  test.for([
    ['forwards', { forward_origin: { type: 'user', date: 1, sender_user: { id: 1 } } }],
    ['writes through another bot', { via_bot: { id: 9, is_bot: true, first_name: 'Inline' } }],
  ] as const)('is not a command when somebody %s it', async ([, fields]) => {
    const ann = scene.person('Ann')
    const line = await scene.line(undefined)
    const text = `/start ${codeOf(line)}`
    await scene.tg.send({ user: ann, text, ...fields }).confirmed
    expect(await chatOf(line)).toBeNull()
  })
})

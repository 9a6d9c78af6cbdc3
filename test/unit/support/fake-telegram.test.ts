import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { ChatMember } from '@grammyjs/types'
import { Api, GrammyError, InputFile } from 'grammy'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FakeTelegram } from '../../support/telegram/telegram.ts'
import { call, keyboard, refusal, updates } from './bot-calls.ts'

const ANN = { id: 501, first_name: 'Ann', username: 'ann' }
const BOB = { id: 502, first_name: 'Bob' }
const TOO_OLD =
  '400 Bad Request: query is too old and response timeout expired or query ID is invalid'

let fake: FakeTelegram

beforeEach(async () => {
  fake = await FakeTelegram.start({ waitMs: 2_000 })
  fake.privateChat(ANN)
})

afterEach(() => fake[Symbol.asyncDispose]())

function sending(chat_id: unknown, params: object = {}): Promise<string> {
  return refusal(fake, 'sendMessage', { chat_id, text: 'text', ...params })
}

async function card(chat_id: number = ANN.id): Promise<number> {
  const params = { chat_id, text: 'Deploy?', reply_markup: keyboard('Yes', 'No') }
  return (await call(fake, 'sendMessage', params)).result.message_id
}

describe('calls', () => {
  it('takes parameters as JSON, form, multipart or query and methods in any letter case', async () => {
    const url = `${fake.apiRoot}/bot${fake.token}`
    const fields = { chat_id: '501', text: 'é 😀', reply_markup: JSON.stringify(keyboard('Yes')) }
    const form = new FormData()
    for (const [name, value] of Object.entries(fields)) form.set(name, value)
    const query = new URLSearchParams(fields)
    const answers = await Promise.all([
      fetch(`${url}/sendmessage`, { method: 'POST', body: query }),
      fetch(`${url}/sendMessage`, { method: 'POST', body: form }),
      fetch(`${url}/SENDMESSAGE?${query}`),
    ])
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    const messages = fake.messages(ANN.id)
    expect(messages.map(({ text }) => text)).toEqual(['é 😀', 'é 😀', 'é 😀'])
    expect(messages.map(({ reply_markup }) => reply_markup)).toEqual(Array(3).fill(keyboard('Yes')))
    const logged = { chat_id: 501, text: 'é 😀', reply_markup: keyboard('Yes') }
    expect(fake.calls('sendMessage').map(({ params }) => params)).toEqual(Array(3).fill(logged))
  })

  it('refuses a wrong token with 401, a malformed one and an unknown method with 404', async () => {
    const at = async (path: string) => {
      const response = await fetch(fake.apiRoot + path)
      return [response.status, await response.json()]
    }
    expect(await at(`/bot${fake.token}x/getMe`)).toEqual([
      401,
      { ok: false, error_code: 401, description: 'Unauthorized' },
    ])
    expect(await at('/botnonsense/getMe')).toEqual([
      404,
      { ok: false, error_code: 404, description: 'Not Found' },
    ])
    expect(await refusal(fake, 'sendMesage')).toBe('404 Not Found: method not found')
  })

  it('gives the bot messages with sender, chat and a date in seconds', async () => {
    const { result } = await call(fake, 'sendMessage', { chat_id: 501, text: 'hi' })
    expect(result).toEqual({
      message_id: expect.any(Number),
      from: { id: fake.botId, is_bot: true, first_name: 'Fake', username: fake.bot.username },
      chat: { ...ANN, type: 'private' },
      date: Math.floor(fake.now / 1000),
      text: 'hi',
    })
  })

  it('numbers messages over all private chats together and in each supergroup apart', async () => {
    const [bob, group] = [fake.privateChat(BOB), fake.group()]
    const ids = [
      await card(),
      await card(bob.id),
      await card(group.id),
      await card(),
      await card(group.id),
    ]
    expect(ids).toEqual([1, 2, 1, 3, 2])
  })

  it('writes only to people who started the bot and did not block it', async () => {
    expect(await sending(777)).toBe('400 Bad Request: chat not found')
    expect(await sending('')).toBe('400 Bad Request: chat_id is empty')
    fake.stranger(BOB)
    expect(await sending(BOB.id)).toBe("403 Forbidden: bot can't initiate conversation with a user")
    fake.send({ user: BOB, text: '/start' })
    expect(await sending(BOB.id)).toBe('not refused')
    fake.block(BOB)
    expect(await sending(BOB.id)).toBe('403 Forbidden: bot was blocked by the user')
    fake.unblock(BOB)
    expect(await sending(BOB.id)).toBe('not refused')
    fake.deactivate(BOB)
    expect(await sending(BOB.id)).toBe('403 Forbidden: user is deactivated')
  })

  it('sends the bot away from a group that became a supergroup', async () => {
    const group = fake.group({ type: 'group', members: [ANN] })
    await card(group.id)
    const message_id = await card(group.id)
    const next = fake.migrate(group)
    const edit = { chat_id: next.id, message_id, text: 'new' }
    expect(await refusal(fake, 'editMessageText', edit)).toMatch('message to edit not found')
    const answer = await call(fake, 'sendMessage', { chat_id: group.id, text: 'text' })
    expect(answer).toMatchObject({
      status: 400,
      description: 'Bad Request: group chat was upgraded to a supergroup chat',
      parameters: { migrate_to_chat_id: next.id },
    })
    expect(next.id).toBeLessThan(-1_000_000_000_000)
    expect(await sending(next.id)).toBe('not refused')
    const service = (await updates(fake)).map(({ message }) => message)
    expect(service).toMatchObject([
      { chat: { id: group.id }, migrate_to_chat_id: next.id },
      { chat: { id: next.id }, migrate_from_chat_id: group.id },
    ])
  })

  it('knows the members and administrators of a group', async () => {
    const group = fake.group({ members: [ANN], anonymousAdministrators: [BOB] })
    const member = (user_id: number) =>
      call<ChatMember>(fake, 'getChatMember', { chat_id: group.id, user_id })
    expect(await member(ANN.id)).toMatchObject({ result: { status: 'member', user: ANN } })
    expect(await member(BOB.id)).toMatchObject({
      result: { status: 'administrator', is_anonymous: true },
    })
    fake.setMember(group, ANN, 'left')
    expect(await member(ANN.id)).toMatchObject({ result: { status: 'left' } })
    expect(await member(777)).toMatchObject({ ok: false, error_code: 400 })
    const admins = await call<ChatMember[]>(fake, 'getChatAdministrators', { chat_id: group.id })
    expect(admins.result.map(({ user }) => user.id)).toEqual([BOB.id])
    fake.setBotStatus(group, BOB, 'kicked')
    expect(await sending(group.id)).toBe('403 Forbidden: bot was kicked from the supergroup chat')
  })

  it('keeps commands for each scope and refuses malformed ones', async () => {
    const commands = [{ command: 'approve', description: 'Approve a request' }]
    await call(fake, 'setMyCommands', { commands, scope: { type: 'all_private_chats' } })
    expect(await call(fake, 'getMyCommands')).toMatchObject({ result: [] })
    const scope = { type: 'all_private_chats' }
    expect(await call(fake, 'getMyCommands', { scope })).toMatchObject({ result: commands })
    const bad = [{ command: 'Not Valid', description: 'x' }]
    expect(await refusal(fake, 'setMyCommands', { commands: bad })).toMatch('BOT_COMMAND_INVALID')
  })

  it('logs every call with its parameters and outcome', async () => {
    await sending(ANN.id)
    await sending(777)
    expect(fake.calls('sendMessage')).toMatchObject([
      { params: { chat_id: 501, text: 'text' }, outcome: 'ok', result: { text: 'text' } },
      { params: { chat_id: 777 }, outcome: 'error', error: { error_code: 400 } },
    ])
  })
})

describe('people', () => {
  it('carries the whole replied message in a reply, without what that one replied to', async () => {
    const first = await card()
    const reply_parameters = { message_id: first }
    const params = { chat_id: ANN.id, text: 'Why?', reply_parameters }
    const { result } = await call(fake, 'sendMessage', params)
    expect(result.reply_to_message).toMatchObject({ message_id: first, text: 'Deploy?' })
    const forward_origin = { type: 'hidden_user', sender_user_name: 'Eve', date: 1 }
    fake.reply({ user: ANN, replyTo: result, text: 'because', forward_origin })
    const [update] = await updates(fake)
    expect(update?.message).toMatchObject({
      from: ANN,
      text: 'because',
      forward_origin,
      reply_to_message: { message_id: result.message_id, from: { id: fake.botId }, text: 'Why?' },
    })
    expect(update?.message?.reply_to_message).not.toHaveProperty('reply_to_message')
  })

  it('marks commands and follows an edit', async () => {
    const { message } = fake.send({ user: ANN, text: 'see /approve@fake_approval_bot X1' })
    fake.editMessage({ user: ANN, messageId: message.message_id, text: 'never mind' })
    expect(await updates(fake)).toMatchObject([
      { message: { entities: [{ type: 'bot_command', offset: 4, length: 26 }] } },
      { edited_message: { text: 'never mind', edit_date: expect.any(Number) } },
    ])
  })

  it('shows the bot in a group only what is meant for it, and hides anonymous administrators', async () => {
    const group = fake.group({ members: [ANN], anonymousAdministrators: [BOB] })
    const messageId = await card(group.id)
    expect(fake.send({ user: ANN, chat: group, text: 'just chatting' }).update).toBeUndefined()
    expect(fake.send({ user: ANN, chat: group, text: '/list@other_bot' }).update).toBeUndefined()
    fake.send({ user: ANN, chat: group, text: '/list' })
    fake.reply({ user: BOB, chat: group, replyTo: messageId, text: 'approved' })
    expect(await updates(fake)).toMatchObject([
      { message: { text: '/list', from: ANN } },
      { message: { from: { username: 'GroupAnonymousBot' }, sender_chat: { id: group.id } } },
    ])
  })

  it('presses buttons by label and sends any data, with the message it was pressed on', async () => {
    const messageId = await card()
    const pressing = { user: ANN, messageId }
    fake.pressButton({ ...pressing, label: 'No' })
    fake.press({ ...pressing, data: 'forged'.repeat(100) })
    fake.press({ ...pressing, data: 'x', message: 'inaccessible' })
    expect(() => fake.pressButton({ ...pressing, label: 'Maybe' })).toThrow(
      'button "Maybe" does not exist; message 1 has "Yes", "No"',
    )
    const queries = (await updates(fake)).map(({ callback_query }) => callback_query)
    expect(queries).toMatchObject([
      { from: ANN, data: 'data of No', message: { reply_markup: keyboard('Yes', 'No') } },
      { data: 'forged'.repeat(100), chat_instance: queries[0]?.chat_instance },
      { message: { message_id: messageId, date: 0 } },
    ])
  })

  it('lets the bot answer a press once, in 200 characters, within a minute', async () => {
    const messageId = await card()
    const [first, second] = [1, 2].map(() =>
      fake.pressButton({ user: ANN, messageId, label: 'Yes' }),
    )
    const answering = (id: string | undefined, text: string) =>
      refusal(fake, 'answerCallbackQuery', { callback_query_id: id, text, show_alert: true })
    expect(await answering('unknown', '')).toBe(TOO_OLD)
    expect(await answering(first?.query.id, 'x'.repeat(201))).toMatch('MESSAGE_TOO_LONG')
    expect(first?.answered).toBeUndefined()
    const shown = first?.answer
    expect(await answering(first?.query.id, 'Recorded')).toBe('not refused')
    expect(await shown).toEqual({ text: 'Recorded', show_alert: true })
    expect(await answering(first?.query.id, 'Again')).toBe(TOO_OLD)
    fake.advance(61_000)
    expect(await answering(second?.query.id, 'Late')).toBe(TOO_OLD)
  })
})

describe('faults', () => {
  it('answers planned errors, then works again', async () => {
    fake.failNext('sendMessage', {
      mode: 'error',
      times: 2,
      status: 502,
      description: 'Bad Gateway',
    })
    expect(await sending(ANN.id)).toBe('502 Bad Gateway')
    expect(await refusal(fake, 'getMe')).toBe('not refused')
    expect(await sending(ANN.id)).toBe('502 Bad Gateway')
    expect(await sending(ANN.id)).toBe('not refused')
  })

  it('cuts a connection before or after the call is done', async () => {
    fake.failNext('sendMessage', { mode: 'reset' })
    await expect(sending(ANN.id)).rejects.toThrow('fetch failed')
    expect(fake.messages(ANN.id)).toEqual([])
    fake.failNext('*', { mode: 'drop-after-execute' })
    await expect(sending(ANN.id)).rejects.toThrow('fetch failed')
    expect(fake.messages(ANN.id)).toHaveLength(1)
    expect(fake.calls().map(({ outcome }) => outcome)).toEqual(['reset', 'dropped'])
  })

  it('hangs without doing the call until the client gives up', async () => {
    fake.failNext('sendMessage', { mode: 'hang' })
    const patience = new AbortController()
    const hanging = call(fake, 'sendMessage', { chat_id: 501, text: 'x' }, patience.signal)
    await fake.waitForCall('sendMessage', ({ outcome }) => outcome === 'hang')
    patience.abort()
    await expect(hanging).rejects.toThrow('aborted')
    expect(fake.messages(ANN.id)).toEqual([])
  })

  it('keeps a 429 up until its time is over and records who did not wait', async () => {
    fake.failNext('sendMessage', { mode: 'too-many-requests', retryAfter: 30 })
    const params = { chat_id: ANN.id, text: 'text' }
    expect(await call(fake, 'sendMessage', params)).toMatchObject({
      status: 429,
      description: 'Too Many Requests: retry after 30',
      parameters: { retry_after: 30 },
    })
    fake.privateChat(BOB)
    expect(await sending(BOB.id)).toBe('not refused')
    expect(fake.violations).toEqual([])
    fake.advance(10_000)
    expect(await sending(ANN.id)).toBe('429 Too Many Requests: retry after 20')
    expect(fake.violations).toMatchObject([{ method: 'sendMessage', chatId: ANN.id }])
    fake.advance(20_000)
    expect(await sending(ANN.id)).toBe('not refused')
  })

  it('limits the sending rate when asked to', async () => {
    await using strict = await FakeTelegram.start({ enforceRates: true, now: () => 1e12 })
    strict.privateChat(ANN)
    const group = strict.group()
    const send = (chat_id: number) => refusal(strict, 'sendMessage', { chat_id, text: 'x' })
    for (let count = 0; count < 5; count += 1) expect(await send(ANN.id)).toBe('not refused')
    expect(await send(ANN.id)).toBe('429 Too Many Requests: retry after 1')
    strict.advance(1_000)
    expect(await send(ANN.id)).toBe('not refused')
    for (let count = 0; count < 20; count += 1) {
      strict.advance(1_000)
      expect(await send(group.id)).toBe('not refused')
    }
    strict.advance(1_000)
    expect(await send(group.id)).toBe('429 Too Many Requests: retry after 40')
    expect(await send(ANN.id)).toBe('not refused')
    const chats = Array.from({ length: 30 }, (_, index) => strict.privateChat(600 + index))
    const answers = await Promise.all(chats.map(({ id }) => send(id)))
    expect(answers.filter((answer) => answer.startsWith('429'))).toHaveLength(1)
  })

  it('rejects a wait in vain with what there was instead, and every wait when it is closed', async () => {
    const other = await FakeTelegram.start()
    other.privateChat(ANN)
    await call(other, 'sendMessage', { chat_id: ANN.id, text: 'hello' })
    const vain = other.waitForMessage(ANN.id, ({ text }) => text === 'bye', { timeoutMs: 1 })
    await expect(vain).rejects.toThrow('no such message within 1 ms; chat 501 holds #1 "hello"')
    const poll = call(other, 'getUpdates', { timeout: 50 })
    await other.waitForPoll()
    const pending = other.waitForCall('editMessageText')
    const closed = Promise.allSettled([poll, pending])
    await other[Symbol.asyncDispose]()
    expect(await closed).toMatchObject([
      { status: 'rejected' },
      { reason: new Error('the fake Telegram was closed while this was awaited') },
    ])
  })
})

describe('real clients', () => {
  it('serves the grammY client: sending, editing, uploading and errors', async () => {
    const api = new Api(fake.token, { apiRoot: fake.apiRoot })
    const reply_markup = { inline_keyboard: [[{ text: 'Yes', callback_data: 'y' }]] }
    const sent = await api.sendMessage(ANN.id, 'first', { reply_markup })
    await api.editMessageText(ANN.id, sent.message_id, 'second')
    const edit = await fake.waitForEdit(ANN.id)
    expect(edit).toMatchObject({ text: 'second', history: [{ text: 'first', reply_markup }] })
    const bytes = Buffer.from([0, 13, 10, 255, 45, 45])
    const file = new InputFile(bytes, 'full "request" text.bin')
    const uploaded = await api.sendDocument(ANN.id, file, { caption: 'The rest', reply_markup })
    expect(uploaded.document).toMatchObject({ file_name: 'full "request" text.bin', file_size: 6 })
    const stored = fake.message(ANN.id, uploaded.message_id)
    expect(stored).toMatchObject({ caption: 'The rest', reply_markup })
    expect(stored?.file?.bytes).toEqual(bytes)
    const failed = await api.sendMessage(777, 'x').catch((error: unknown) => error)
    expect(failed).toBeInstanceOf(GrammyError)
    expect(failed).toMatchObject({ error_code: 400, description: 'Bad Request: chat not found' })
  })

  it('runs as a process of its own with people played over HTTP', async () => {
    const script = new URL('../../support/telegram/main.ts', import.meta.url).pathname
    const child = spawn(process.execPath, [script, '--port', '0'])
    const exited = once(child, 'exit')
    const [line] = await once(createInterface(child.stdout), 'line')
    const { apiRoot, token } = JSON.parse(String(line))
    const sim = async (action: string, body: object) => {
      const init = { method: 'POST', body: JSON.stringify(body) }
      const answer = (await (await fetch(`${apiRoot}/sim/${action}`, init)).json()) as {
        result: { id: string }
      }
      return answer.result
    }
    await sim('privateChat', { user: ANN })
    const api = new Api(token, { apiRoot })
    const sent = await api.sendMessage(ANN.id, 'x')
    const press = await sim('press', { user: ANN, messageId: sent.message_id, data: 'd' })
    const [update] = await api.getUpdates()
    expect(update?.callback_query).toMatchObject({ id: press.id, data: 'd' })
    const shown = sim('answer', { id: press.id })
    await api.answerCallbackQuery(press.id, { text: 'ok' })
    expect(await shown).toEqual({ text: 'ok', show_alert: false })
    child.kill('SIGTERM')
    expect(await exited).toEqual([0, null])
  })
})

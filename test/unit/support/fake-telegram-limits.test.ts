import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FakeTelegram } from '../../support/telegram/telegram.ts'
import { call, keyboard, refusal } from './bot-calls.ts'

const ANN = { id: 501, first_name: 'Ann', username: 'ann' }
const TOO_LONG = '400 Bad Request: message is too long'

let fake: FakeTelegram

beforeEach(async () => {
  fake = await FakeTelegram.start()
  fake.privateChat(ANN)
})

afterEach(() => fake[Symbol.asyncDispose]())

function sending(params: object): Promise<string> {
  return refusal(fake, 'sendMessage', { chat_id: ANN.id, text: 'text', ...params })
}

function withButton(button: object): Promise<string> {
  return sending({ reply_markup: { inline_keyboard: [[button]] } })
}

async function sent(params: object): Promise<number> {
  const { result } = await call(fake, 'sendMessage', { chat_id: ANN.id, text: 'text', ...params })
  return result.message_id
}

describe('texts', () => {
  it('takes 4096 UTF-16 units after parsing and no more', async () => {
    expect(await sending({ text: 'x'.repeat(4096) })).toBe('not refused')
    expect(await sending({ text: 'x'.repeat(4097) })).toBe(TOO_LONG)
    expect(await sending({ text: '😀'.repeat(2048) })).toBe('not refused')
    expect(await sending({ text: '😀'.repeat(2049) })).toBe(TOO_LONG)
    const bold = (count: number) => ({ text: `<b>${'x'.repeat(count)}</b>`, parse_mode: 'HTML' })
    expect(await sending(bold(4096))).toBe('not refused')
    expect(await sending(bold(4097))).toBe(TOO_LONG)
  })

  it('refuses texts that are empty or show nothing', async () => {
    expect(await sending({ text: '' })).toBe('400 Bad Request: message text is empty')
    expect(await sending({ text: ' \n \u200b' })).toBe('400 Bad Request: text must be non-empty')
  })

  it('keeps a text as Telegram does: trimmed, without overrides, entities moved along', async () => {
    const entities = [{ type: 'bold', offset: 6, length: 7 }]
    await sent({ text: '\n a\u202eb\tbold \r\n', entities })
    expect(fake.messages(ANN.id).at(-1)).toMatchObject({
      text: 'ab bold',
      entities: [{ type: 'bold', offset: 3, length: 4 }],
    })
  })

  it('refuses strings that have no UTF-8 form', async () => {
    const notUtf8 = '400 Bad Request: strings must be encoded in UTF-8'
    expect(await sending({ text: 'lone \ud800' })).toBe(notUtf8)
    expect(await withButton({ text: 'lone \udfff', callback_data: 'x' })).toBe(notUtf8)
    const response = await fetch(`${fake.apiRoot}/bot${fake.token}/sendMessage`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: Buffer.from([...Buffer.from('{"chat_id":501,"text":"'), 0xc3, 0x28, 0x22, 0x7d]),
    })
    expect(await response.json()).toMatchObject({ description: notUtf8.slice(4) })
  })

  it('refuses entities outside the text or across a surrogate pair', async () => {
    const at = (offset: number, length: number, text = 'hello') =>
      sending({ text, entities: [{ type: 'bold', offset, length }] })
    expect(await at(0, 5)).toBe('not refused')
    expect(await at(100, 1)).toMatch('entity begins after the end of the text at UTF-16 offset 100')
    expect(await at(0, 100)).toMatch(
      'entity beginning at UTF-16 offset 0 ends after the end of the text at UTF-16 offset 100',
    )
    expect(await at(-1, 1)).toMatch('receive an entity with incorrect offset -1')
    expect(await at(1, 2, '😀ab')).toMatch('entity begins in a middle of a UTF-16 symbol')
    expect(await at(0, 1, '😀ab')).toMatch('ends in a middle of a UTF-16 symbol')
  })

  it('refuses entities it cannot read', async () => {
    const one = (entity: object) => sending({ entities: [{ offset: 0, length: 4, ...entity }] })
    const cant = "400 Bad Request: can't parse MessageEntity:"
    expect(await one({ type: 'blink' })).toBe(`${cant} Unsupported type specified`)
    expect(await one({ type: 'text_link' })).toBe(`${cant} Can't find field "url"`)
    expect(await one({ type: 'text_link', url: 'http://localhost/x' })).toBe(
      "400 Bad Request: entity URL 'http://localhost/x' is invalid: Wrong HTTP URL",
    )
  })

  it('refuses markup that is not balanced or not escaped', async () => {
    const parse = (parse_mode: string, text: string) => sending({ parse_mode, text })
    const cant = "400 Bad Request: can't parse entities:"
    expect(await parse('HTML', '<b>open')).toBe(
      `${cant} Can't find end tag corresponding to start tag "b"`,
    )
    expect(await parse('HTML', '<b><i>x</b></i>')).toBe(
      `${cant} Unmatched end tag at byte offset 7, expected "</i>", found "</b>"`,
    )
    expect(await parse('HTML', '<script>x</script>')).toBe(
      `${cant} Unsupported start tag "script" at byte offset 0`,
    )
    expect(await parse('Markdown', 'é *open')).toBe(
      `${cant} Can't find end of the entity starting at byte offset 3`,
    )
    expect(await parse('MarkdownV2', '*bold _italic\\_*')).toBe(
      `${cant} Can't find end of Bold entity at byte offset 15`,
    )
    expect(await parse('MarkdownV2', 'a-b')).toBe(
      `${cant} Character '-' is reserved and must be escaped with the preceding '\\'`,
    )
    expect(await parse('BBCode', 'x')).toBe('400 Bad Request: unsupported parse_mode')
  })

  it('stores plain text and entities when markup is right', async () => {
    const source = '*bold* _it_ `co.de` [li\\.nk](https://example.com) a\\.b'
    await sent({ text: source, parse_mode: 'MarkdownV2' })
    expect(fake.messages(ANN.id).at(-1)).toMatchObject({
      text: 'bold it co.de li.nk a.b',
      entities: [
        { type: 'bold', offset: 0, length: 4 },
        { type: 'italic', offset: 5, length: 2 },
        { type: 'code', offset: 8, length: 5 },
        { type: 'text_link', offset: 14, length: 5, url: 'https://example.com' },
      ],
    })
  })

  it('measures an edit and a caption with their own words', async () => {
    const message_id = await sent({})
    const edit = { chat_id: ANN.id, message_id, text: 'x'.repeat(4097) }
    expect(await refusal(fake, 'editMessageText', edit)).toBe('400 Bad Request: MESSAGE_TOO_LONG')
    const form = new FormData()
    form.set('chat_id', String(ANN.id))
    form.set('caption', 'x'.repeat(1025))
    form.set('document', new File(['bytes'], 'a.txt'))
    const url = `${fake.apiRoot}/bot${fake.token}/sendDocument`
    const response = await fetch(url, { method: 'POST', body: form })
    expect(await response.json()).toMatchObject({
      description: 'Bad Request: message caption is too long',
    })
  })
})

describe('keyboards', () => {
  it('limits callback_data to 64 bytes, not characters', async () => {
    const data = (callback_data: string) => withButton({ text: 'Go', callback_data })
    expect(await data('x'.repeat(64))).toBe('not refused')
    expect(await data('x'.repeat(65))).toBe('400 Bad Request: BUTTON_DATA_INVALID')
    expect(await data('é'.repeat(33))).toBe('400 Bad Request: BUTTON_DATA_INVALID')
    expect(await data('')).toBe(
      "400 Bad Request: can't parse InlineKeyboardButton: Text buttons are not allowed in the inline keyboard",
    )
  })

  it('refuses labels, styles, links and copied texts that Telegram refuses', async () => {
    const cant = "400 Bad Request: can't parse InlineKeyboardButton:"
    expect(await withButton({ text: '', callback_data: 'x' })).toBe(
      '400 Bad Request: inline keyboard button text must be non-empty',
    )
    expect(await withButton({ callback_data: 'x' })).toBe(`${cant} Can't find field "text"`)
    const styled = (style: string) => withButton({ text: 'Go', callback_data: 'x', style })
    expect(await styled('warning')).toBe(`${cant} Invalid button style specified`)
    for (const style of ['danger', 'success', 'primary']) {
      expect(await styled(style)).toBe('not refused')
    }
    expect(await withButton({ text: 'Go', url: 'http://localhost:3000' })).toBe(
      "400 Bad Request: inline keyboard button URL 'http://localhost:3000' is invalid: Wrong HTTP URL",
    )
    const copied = (text: string) => withButton({ text: 'Copy', copy_text: { text } })
    expect(await copied('x'.repeat(256))).toBe('not refused')
    expect(await copied('x'.repeat(257))).toBe('400 Bad Request: BUTTON_COPY_TEXT_INVALID')
    expect(await withButton({ text: 'Done', disabled: {}, style: 'success' })).toBe('not refused')
  })

  it('takes 100 buttons in rows of 8', async () => {
    const rows = (count: number, width: number) => {
      const row = Array.from({ length: width }, () => ({ text: 'Go', callback_data: 'x' }))
      return sending({
        reply_markup: { inline_keyboard: Array.from({ length: count }, () => row) },
      })
    }
    expect(await rows(20, 5)).toBe('not refused')
    expect(await rows(101, 1)).toBe('400 Bad Request: reply markup is too long')
    expect(await rows(1, 8)).toBe('not refused')
    expect(await rows(1, 9)).toBe('400 Bad Request: reply markup is too long')
  })
})

describe('edits and replies', () => {
  const editing = (params: object) =>
    refusal(fake, 'editMessageText', { chat_id: ANN.id, text: 'new', ...params })

  it('removes the keyboard when an edit brings none', async () => {
    const message_id = await sent({ reply_markup: keyboard('Yes') })
    expect(fake.message(ANN.id, message_id)?.reply_markup).toBeDefined()
    await editing({ message_id })
    expect(fake.message(ANN.id, message_id)).toMatchObject({ text: 'new' })
    expect(fake.message(ANN.id, message_id)?.reply_markup).toBeUndefined()
    expect(fake.message(ANN.id, message_id)?.history).toHaveLength(1)
  })

  it('refuses an edit that changes nothing', async () => {
    const same = { text: 'same', reply_markup: keyboard('Yes') }
    const message_id = await sent(same)
    const notModified =
      '400 Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message'
    expect(await editing({ message_id, ...same })).toBe(notModified)
    expect(await editing({ message_id, ...same, reply_markup: keyboard('No') })).toBe('not refused')
  })

  it('edits only messages of the bot that exist and have no reply keyboard', async () => {
    expect(await editing({ message_id: 999 })).toBe('400 Bad Request: message to edit not found')
    const { message } = fake.send({ user: ANN, text: 'mine' })
    const cant = "400 Bad Request: message can't be edited"
    expect(await editing({ message_id: message.message_id })).toBe(cant)
    const forced = await sent({ reply_markup: { force_reply: true } })
    expect(await editing({ message_id: forced })).toBe(cant)
    expect(fake.message(ANN.id, forced)?.otherMarkup).toEqual({ force_reply: true })
  })

  it('replies only to messages that exist, unless told to go without', async () => {
    const reply_parameters = { message_id: 999 }
    expect(await sending({ reply_parameters })).toBe(
      '400 Bad Request: message to be replied not found',
    )
    const lenient = { ...reply_parameters, allow_sending_without_reply: true }
    expect(await sending({ reply_parameters: lenient })).toBe('not refused')
  })

  it('deletes its own messages for 48 hours', async () => {
    const deleting = (message_id: number) =>
      refusal(fake, 'deleteMessage', { chat_id: ANN.id, message_id })
    const [young, old] = [await sent({}), await sent({})]
    expect(await deleting(young)).toBe('not refused')
    expect(await deleting(young)).toBe('400 Bad Request: message to delete not found')
    fake.advance(49 * 3_600_000)
    expect(await deleting(old)).toBe("400 Bad Request: message can't be deleted")
  })
})

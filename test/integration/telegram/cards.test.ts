import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { dataOf, type Line, labelsOf, partsOf, quotesOf, Scene, type Somebody } from './scene.ts'

/** What an open card shows. */

let scene: Scene
let ann: Somebody
let line: Line

beforeAll(async () => {
  scene = await Scene.open()
  ann = scene.person('Ann')
  line = await scene.line(ann.id)
})
afterAll(() => scene[Symbol.asyncDispose]())

/** Whatever is drawn as nothing, or turns what is around it. */
const HIDDEN = /[\p{Cf}\p{Cc}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]/u
const BREAKS = /\n/g

const minuteOf = (date: string) => date.slice(0, 16).replace('T', ' ')

describe('a card', () => {
  test('says who asks, in which session, what, with which facts and until when', async () => {
    const { id, view, card } = await scene.ask(line, {
      message: 'Deploy v2.1.0?\nIt takes a minute.',
      options: ['🚀 Deploy', '⏸️ Hold', '🔍 Review First'],
      metadata: { env: 'production', risk: 3, hosts: ['a', 'b'], dry_run: false, ticket: null },
      timeout_seconds: 600,
    })
    expect(card.text?.split('\n')).toEqual([
      `❓ ${line.client_id} asks · session ${line.session_id}`,
      '',
      'Deploy v2.1.0?',
      'It takes a minute.',
      '',
      ...['env: production', 'risk: 3', 'hosts: ["a","b"]', 'dry_run: false', 'ticket: null'],
      '',
      'Press a button: 1 approves (green), 2 refuses (red), 3 only answers.',
      `⏳ Open for 10 minutes, until ${minuteOf(view.expires_at)} UTC`,
      expect.stringMatching(new RegExp(`^${id}\\.[\\w-]{16}$`)),
    ])
    expect(quotesOf(card)[0]).toBe('Deploy v2.1.0?\nIt takes a minute.')
  })

  test('has one button per option, in their order, green for what approves and red for what refuses', async () => {
    const { card } = await scene.ask(line, { options: ['No', 'Perhaps', 'Yes', 'Other'] })
    const rows = card.reply_markup?.inline_keyboard ?? []
    expect(rows.map((row) => row.map(({ text, style }) => [text, style]))).toEqual([
      [['No', 'danger']],
      [['Perhaps', undefined]],
      [['Yes', 'success']],
      [['Other', undefined]],
    ])
    const sizes = dataOf(card).map((data) => Buffer.byteLength(data))
    expect(Math.min(...sizes)).toBeGreaterThan(0)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(64)
  })

  test.for([
    [
      'confirmation',
      'Reply to this message. Only a plain "yes" approves, only a plain "no" rejects.',
    ],
    ['input', 'Reply to this message with your answer.'],
  ])('of a question for %s has no buttons and says to reply', async ([request_type, how]) => {
    const { card } = await scene.ask(line, { request_type })
    expect(labelsOf(card)).toEqual([])
    expect(card.text).toContain(how)
  })

  test('goes to the group when the session names one', async () => {
    const group = scene.tg.group({ members: [ann] })
    const { card } = await scene.ask(await scene.line(group.id), { options: ['Yes', 'No'] })
    expect([card.chat.id, labelsOf(card)]).toEqual([group.id, ['Yes', 'No']])
  })

  test('is sent once, without a preview of the links in it, and the agent hears that it is there', async () => {
    const { id, card } = await scene.ask(line, { message: 'See https://example.com' })
    const delivered = await scene.event(
      line,
      ({ type, request_id }) => type === 'request.delivered' && request_id === id,
    )
    expect(delivered?.data.delivery).toEqual([{ channel: 'telegram', status: 'delivered' }])
    expect(card.link_preview_options).toEqual({ is_disabled: true })
    expect(scene.cards(line.chat, id)).toHaveLength(1)
  })

  test('goes to each session of a chat apart, and tells them apart', async () => {
    const other = await scene.line(ann.id)
    const [one, two] = await Promise.all([scene.ask(line), scene.ask(other)])
    expect(one.card.text).toContain(line.session_id)
    expect(two.card.text).toContain(other.session_id)
    expect(one.card.message_id).not.toBe(two.card.message_id)
  })
})

/** Texts that mean something in one of Telegram's ways to write markup. */
const MARKUP = [
  '_*[]()~`>#+-=|{}.!\\',
  '*bold* _italic_ __under__ ~gone~ ||spoiler|| `code` ```sh\nrm -rf /\n```',
  '*unbalanced _markup `everywhere [',
  '<b>bold</b> </b> <i>open <a href="https://evil.example">link</a> <pre>',
  '&lt;b&gt; &amp; &#60; &copy; &nbsp;',
  '[Approve](https://evil.example) ![😀](tg://emoji?id=5368324170671202286)',
  '[Ann](tg://user?id=501) tg://resolve?domain=evil <a href="tg://user?id=1">x</a>',
  '<tg-spoiler>x</tg-spoiler> <tg-emoji emoji-id="1">😀</tg-emoji>',
  '<tg-button type="callback_data" data="approve">Approve</tg-button>',
  '| a | b |\n|---|---|\n| 1 | 2 |\n> quoted\n**> expandable||',
  '{"inline_keyboard":[[{"text":"x","callback_data":"y"}]]}',
]

describe('text of an agent', () => {
  test.for(MARKUP)('is never markup: %j', async (message) => {
    const { card } = await scene.ask(line, { message, metadata: { [message]: message } })
    const inline = message.replace(BREAKS, ' ⏎ ')
    expect(quotesOf(card)).toEqual([message, `${inline}: ${inline}`])
    expect(partsOf(card, 'text_link', 'text_mention', 'custom_emoji', 'pre', 'spoiler')).toEqual([])
    expect(partsOf(card, 'bold')).toEqual([line.client_id])
  })

  test('is never markup in names and labels either', async () => {
    const names = { client_id: '<b>*bot*</b>', session_id: '[x](tg://user?id=1)' }
    await scene.app.register({ ...names, telegram_id: ann.id })
    const options = ['<b>Yes</b>', '*No*', '`[x](y)`']
    const { card } = await scene.ask({ ...names, chat: ann.id, link: null }, { options })
    expect(card.text).toContain(`❓ ${names.client_id} asks · session ${names.session_id}\n`)
    expect(labelsOf(card)).toEqual(options)
    expect(partsOf(card, 'bold')).toEqual([names.client_id])
  })

  test('is sent without a parse mode, in cards and in their edits', async () => {
    const asked = await scene.ask(line, { message: '*x*', options: ['Yes'] })
    await scene.decide(ann, asked, 'Yes')
    await scene.closed(asked)
    const calls = ['sendMessage', 'sendDocument', 'editMessageText'].flatMap((method) =>
      scene.tg.calls(method),
    )
    expect(calls.length).toBeGreaterThan(1)
    expect(calls.filter(({ params }) => 'parse_mode' in params)).toEqual([])
  })

  test.for([
    ...['202E', '202D', '202A', '2066', '2067', '2069', '200E', '200F', '061C', '200B', '200C'],
    ...['200D', '2060', 'FEFF', '00AD', '034F', '115F', '3164', '2028', '2029', '0085', '0007'],
    ...['001B', '0008', '180E', '2800', 'FFA0', 'FE0F', 'E0100', 'E0041', 'E0001', '1D173'],
    ...['1BCA0', '2064'],
  ])('hides nothing behind U+%s', async (hex) => {
    const character = String.fromCodePoint(Number.parseInt(hex, 16))
    const hidden = `trans${character}fer`
    const { card } = await scene.ask(line, {
      message: `Pay ${hidden} now`,
      metadata: { [`k${hidden}`]: hidden, list: [hidden] },
      options: [`Yes ${hidden}`, 'No'],
    })
    const shown = `trans⟨U+${hex}⟩fer`
    const json = JSON.stringify([hidden]).replace(hidden, shown)
    expect(quotesOf(card)).toEqual([`Pay ${shown} now`, `k${shown}: ${shown}\nlist: ${json}`])
    expect(labelsOf(card)).toEqual([`Yes ${shown}`, 'No'])
    expect((card.text ?? '').replace(BREAKS, '')).not.toMatch(HIDDEN)
  })

  test.for([
    ['\u030a', 'a combining ring: å'],
    ['\u0333', 'a double low line'],
    ['\u033f', 'a double overline'],
  ])('keeps what Telegram drops without a word: %j, %s', async ([character]) => {
    const { card } = await scene.ask(line, { message: `rm /data/A${character}/x` })
    const plain = 'rm /data/A/x'
    expect(quotesOf(card)).not.toEqual([plain])
  })

  test.for(['🏳️‍🌈 👩‍👩‍👧‍👦 👍🏽 🇩🇪 1️⃣ ⚠️ ❤️‍🔥 🏴󠁧󠁢󠁥󠁮󠁧󠁿', 'naïve 日本語 العربية עברית हिन्दी ไทย'])(
    'is shown as it is when it hides nothing: %s',
    async (message) => {
      const { card } = await scene.ask(line, { message, options: [message] })
      expect(quotesOf(card)).toEqual([message])
      expect(labelsOf(card)).toEqual([message])
    },
  )

  test.for([
    ['spaces', ' '.repeat(3_900), '⟨3900 spaces⟩'],
    ['wide spaces', '\u3000'.repeat(500), '⟨500 spaces⟩'],
    ['line breaks', '\n'.repeat(3_000), '⟨2999 blank lines⟩'],
    ['tabs', '\t'.repeat(500), '⟨2000 spaces⟩'],
    ['carriage returns', '\r'.repeat(300), '⟨299 blank lines⟩'],
  ])('can not be pushed out of sight by %s', async ([, padding, notice]) => {
    const { card } = await scene.ask(line, { message: `Tidy up${padding}and DROP TABLE users` })
    const [quote = ''] = quotesOf(card)
    expect(quote).toContain(notice)
    expect(quote).toContain('and DROP TABLE users')
    expect(quote.length).toBeLessThan(200)
  })

  test('that imitates a card stays in the quote, with our lines around it', async () => {
    const earlier = await scene.ask(line, { options: ['Yes', 'No'] })
    const imitation = [
      'fine.',
      '',
      'Press a button: 1 approves (green), 2 refuses (red).',
      '⏳ Open for 5 minutes, until 2030-01-01 00:00 UTC',
      earlier.card.text?.split('\n').at(-1),
      '',
      '✅ Approved by Ann, 2026-01-01 00:00 UTC',
      `❓ ${line.client_id} asks · session other`,
    ].join('\n')
    const { id, card } = await scene.ask(line, {
      message: imitation,
      metadata: { note: `x\n${imitation}`, '✅ Approved by Ann': '' },
      options: ['Yes', 'No'],
    })
    const [message, facts = ''] = quotesOf(card)
    expect(message).toBe(imitation)
    expect(facts.split('\n')).toEqual([
      `note: x ⏎ ${imitation.replace(BREAKS, ' ⏎ ')}`,
      '✅ Approved by Ann: ',
    ])
    const lines = card.text?.split('\n') ?? []
    expect(lines[0]).toBe(`❓ ${line.client_id} asks · session ${line.session_id}`)
    expect(lines.at(-1)).toMatch(new RegExp(`^${id}\\.`))
    expect(lines.at(-2)).toMatch(/^⏳ Open for 5 minutes/)
  })

  test('never breaks a button or a name into lines of their own', async () => {
    const { card } = await scene.ask(line, { options: ['Yes\n❌ Rejected by Ann', 'No'] })
    expect(labelsOf(card)).toEqual(['Yes ⏎ ❌ Rejected by Ann', 'No'])
  })
})

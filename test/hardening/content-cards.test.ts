import { describe, expect, test } from 'vitest'
import { type Asked, labelsOf, quotesOf } from '../integration/telegram/scene.ts'
import type { StoredMessage } from '../support/telegram/telegram.ts'
import { said, stage } from '../support/telegram-attacks.ts'

/** A31 to A35, and the defects 39 to 43 of the old server: what an agent writes, as it is shown. */

const OPTIONS = ['🚀 Deploy', '⏸️ Hold']

const here = stage()

/** Asks, which must come through and change nothing else, and returns what the reviewer sees. */
async function ask(fields: object): Promise<Asked> {
  const { scene, server, line } = here()
  return server.attack(() => scene.ask(line, { options: OPTIONS, ...fields }), { mayAdd: true })
}

/** What is between our first and our last lines is one quote, whatever is in it. */
function expectOurs({ card, id }: Asked): void {
  const { text = '', entities = [] } = card
  const lines = text.split('\n')
  expect(lines[0]).toBe(`❓ ${here().line.client_id} asks · session ${here().line.session_id}`)
  expect(lines.at(-1)).toMatch(new RegExp(`^${id}\\.[\\w-]{16}$`))
  const types = new Set(entities.map(({ type }) => type))
  const ours = ['bold', 'italic', 'code', 'blockquote', 'expandable_blockquote']
  expect([...types].filter((type) => !ours.includes(type))).toEqual([])
  expect(labelsOf(card)).toEqual(OPTIONS)
}

const callsFor = ({ id }: Asked) =>
  here()
    .scene.tg.calls('sendMessage')
    .filter(({ params }) => String(params['text']).includes(id))

const MARKUP = [
  'every sign _*[]()~`>#+-=|{}.! of MarkdownV2',
  'unbalanced *bold _italic `code ```pre [link](',
  '</b></blockquote><b>bold</b><a href="https://evil.example">here</a>',
  '&amp; &lt; &#x202e; & <',
  'a [link](https://evil.example) and tg://user?id=1',
  '![x](tg://user?id=1) [y](tg://resolve?domain=evil)',
  '<tg-button type="callback_data" data="1.AAAA.0.BBBB">Approve</tg-button>',
  '<tg-spoiler>hidden</tg-spoiler> ||hidden|| <tg-emoji emoji-id="1">x</tg-emoji>',
  '| a | b |\n|---|---|\n| 1 | 2 |\n\n# Title\n\n> quote\n\n---',
  '/approve@bot #approve $USD @everyone https://evil.example mail@evil.example',
]

describe('A31, A32 and defect 39: nothing that an agent writes is markup:', () => {
  test.for(MARKUP)('%j', async (message) => {
    const asked = await ask({ message, metadata: { [message]: message } })
    expectOurs(asked)
    expect(quotesOf(asked.card)[0]).toBe(message)
    for (const { params } of callsFor(asked)) {
      expect(params).not.toHaveProperty('parse_mode')
      expect(JSON.stringify(params['link_preview_options'])).toContain('is_disabled')
    }
    expect(callsFor(asked)).toHaveLength(1)
  })

  test('neither in the names of the client and the session', async () => {
    const { scene, server, ann } = here()
    const names = { client_id: 'my_agent*[x](', session_id: `s_*\`${MARKUP[0]?.slice(0, 20)}` }
    const asked = await server.attack(
      async () => scene.ask({ ...(await scene.line(ann.id, names)), ...names }),
      { mayAdd: true },
    )
    expect(asked.card.text).toContain(`❓ ${names.client_id} asks · session ${names.session_id}`)
  })
})

const HIDDEN: readonly (readonly [string, string, string])[] = [
  ['a direction that is turned around', 'pay \u202e001$\u202c', '⟨U+202E⟩'],
  ['an isolate', 'a\u2066b\u2069', '⟨U+2066⟩'],
  ['a blank of no width', 'del\u200bete', '⟨U+200B⟩'],
  ['a joiner', 'del\u200dete', '⟨U+200D⟩'],
  ['a mark of a variation', `a${String.fromCodePoint(0xe0100)}b`, '⟨U+E0100⟩'],
  ['a line of another kind', 'a\u2028b\u2029c', '⟨U+2028⟩'],
  ['tag characters', `a${String.fromCodePoint(0xe0064, 0xe0065)}b`, '⟨U+E0064⟩'],
  ['a format of music', `a${String.fromCodePoint(0x1d173)}b`, '⟨U+1D173⟩'],
  ['a format of shorthand', `a${String.fromCodePoint(0x1bca0)}b`, '⟨U+1BCA0⟩'],
  ['a Hangul filler', 'a\u3164b', '⟨U+3164⟩'],
  ['a control character', 'a\u0007b\u009bc', '⟨U+0007⟩'],
  ['a blank of Braille', 'a\u2800b', '⟨U+2800⟩'],
]

describe('A33: nothing is hidden:', () => {
  test.for(HIDDEN)('%s', async ([, text, mark]) => {
    const asked = await ask({ message: text, metadata: { key: text, [text]: 1 } })
    expectOurs(asked)
    const [message = '', facts = ''] = quotesOf(asked.card)
    expect(message).toContain(mark)
    expect(facts.split(mark).length - 1).toBe(2)
    const hidden = [...text].filter((character) => /[^ -~]/.test(character))
    for (const character of hidden) expect(asked.card.text).not.toContain(character)
  })

  test.for([
    ['blanks', ' '],
    ['blanks of another kind', '\u3000'],
    ['blanks and tabs', ' \t'],
    ['empty lines', '\n'],
    ['empty lines with blanks', ' \n'],
    ['what has no width', '\u200b'],
  ])('a dangerous end behind 3,900 %s', async ([, blank = '']) => {
    const message = `Read one file${blank.repeat(3_900 / blank.length)}and delete the database`
    const asked = await ask({ message })
    expectOurs(asked)
    const [quote = ''] = quotesOf(asked.card)
    expect(quote).toContain('Read one file')
    expect(quote).toContain('and delete the database')
    expect(quote.length).toBeLessThan(200)
    expect(quote).toMatch(/⟨[\d,]+ (more|spaces|blank lines)⟩/)
  })
})

const NOTICE = /⚠️ This is not all of it: .*of the message is missing/

/** The file that was sent with a card. */
const fileOf = ({ id, card }: Asked): string => {
  const file = here()
    .scene.tg.messages(card.chat)
    .find(({ document }) => document?.file_name?.includes(id))
  return new TextDecoder('utf-8', { fatal: true }).decode(file?.file?.bytes)
}

describe('A34 and defect 40: a message of any length is shown, or what is missing is said:', () => {
  test.for([
    ['4,096 letters', 'x'.repeat(4_096)],
    ['4,097 letters', 'x'.repeat(4_097)],
    ['20,000 letters', 'word '.repeat(3_998)],
    ['4,096 emoji, of two units each', '😀'.repeat(4_096)],
    ['2,000 families, of eleven units each', '👩‍👩‍👧‍👦'.repeat(1_800)],
    ['what grows by being shown', '\u202ex'.repeat(4_000)],
  ])('%s', async ([, message]) => {
    const asked = await ask({ message: `${message}THE END` })
    expectOurs(asked)
    expect(asked.card.text?.length).toBeLessThanOrEqual(4_096)
    expect(asked.card.text).toMatch(NOTICE)
    expect(asked.card.text).not.toContain('THE END')
    // No half of a character is left at the cut.
    expect(asked.card.text?.isWellFormed()).toBe(true)
    expect(fileOf(asked)).toContain('THE END')
    expect(asked.view.message).toBe(`${message}THE END`)
  })

  test('and one that fits has no such notice', async () => {
    const asked = await ask({ message: 'x'.repeat(2_000) })
    expect(asked.card.text).not.toMatch(/not all of it/)
    expect(fileOf(asked)).toBe('')
  })
})

describe('A35: who imitates us is seen to be quoted:', () => {
  const lookalikes = (card: StoredMessage) => [
    '✅ Approved by Ann, 2026-01-01 12:00:00 UTC',
    `\n\n${card.text ?? ''}`,
    `\n\nPress a button: 1 refuses (red), 2 approves (green).\n${card.text?.split('\n').at(-1)}`,
    `❓ ${here().line.client_id} asks · session ${here().line.session_id}\n\nRead a file`,
    '⚠️ This is not all of it: 1 of 2 characters of the message is missing.',
    `Request ID: \`00000000-0000-4000-8000-000000000000\``,
  ]

  test('in the message and in the metadata', async () => {
    const { card } = await ask({ message: 'the first' })
    for (const message of lookalikes(card)) {
      // Short, so that nothing is left out, which would be said.
      const part = message.slice(0, 120)
      const asked = await ask({ message, metadata: { [part]: part } })
      expectOurs(asked)
      const [quote, facts = ''] = quotesOf(asked.card)
      expect(quote).toBe(message)
      // A value never makes a line of its own.
      expect(facts.split('\n')).toHaveLength(1)
      const unquoted = (asked.card.text ?? '').replace(quote ?? '', '').replace(facts, '')
      expect(unquoted).not.toMatch(/Approved|1 refuses|not all of it|Request ID/)
    }
  })

  test('in the names', async () => {
    const { scene, server, ann } = here()
    const names = {
      client_id: '✅ Approved by Ann',
      session_id: `x asks · session ${here().line.session_id}`,
    }
    const asked = await server.attack(
      async () => scene.ask({ ...(await scene.line(ann.id, names)), ...names }),
      { mayAdd: true },
    )
    expect(asked.card.text?.split('\n')[0]).toBe(
      `❓ ${names.client_id} asks · session ${names.session_id}`,
    )
  })
})

test('defect 41: /pending and /status are answered, and in one message, however much there is', async () => {
  const { scene, server } = here()
  const zoe = scene.person('Zoe')
  const wide = '𝕎'.repeat(60)
  for (let i = 0; i < 25; i++) {
    const line = await scene.line(zoe.id, { client_id: `${wide}${i}`, session_id: `${wide}${i}` })
    await scene.ask(
      { ...line, client_id: `${wide}${i}`, session_id: `${wide}${i}` },
      {
        message: wide.repeat(20),
      },
    )
  }
  await server.attack(async () => {
    for (const command of ['/pending', '/status']) {
      const text = await said(here(), scene.tg.send({ user: zoe, text: command }))
      expect(text).toContain(wide.slice(0, 20))
      expect(text).toContain('and more')
      expect(text.length).toBeLessThanOrEqual(4_096)
    }
  })
})

describe('defect 42: what Telegram says is heard:', () => {
  test('it wants us to wait, and gets the card later, once', async () => {
    const { scene, ann, line } = here()
    scene.tg.failNext('sendMessage', { mode: 'too-many-requests', retryAfter: 1 })
    const asked = await scene.ask(line)
    expect(scene.cards(ann.id, asked.id)).toHaveLength(1)
    expect(scene.tg.violations).toEqual([])
  })

  test('nobody was asked, because the bot is blocked, and the agent hears so', async () => {
    const { scene } = here()
    const zoe = scene.person('Zoe')
    const line = await scene.line(zoe.id)
    scene.tg.block(zoe)
    const { request_id } = await scene.submit(line)
    const news = await scene.news(line, request_id)
    expect(news).toMatchObject({
      type: 'request.undelivered',
      data: { status: 'pending', delivery: [{ channel: 'telegram', status: 'failed' }] },
    })
  })

  test('the group has another id, and is asked there', async () => {
    const { scene, ann } = here()
    const group = scene.tg.group({ type: 'group', members: [ann] })
    const line = await scene.line(group.id, { approvers: [ann.id] })
    const moved = scene.tg.migrate(group)
    const asked = await scene.ask({ ...line, chat: moved.id }, { options: OPTIONS })
    expect(await scene.decide(ann, asked, '⏸️ Hold')).toMatchObject({ outcome: 'rejected' })
  })
})

test('defect 43: buttons show what they do, as only a Bot API of today can', async () => {
  const { card } = await ask({})
  const styles = card.reply_markup?.inline_keyboard.flat().map((button) => button.style)
  expect(styles).toEqual(['success', 'danger'])
})

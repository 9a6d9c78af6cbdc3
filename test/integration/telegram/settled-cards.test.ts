import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Asked,
  type Line,
  labelsOf,
  partsOf,
  quotesOf,
  Scene,
  type Somebody,
} from './scene.ts'

/** What a card shows once its request is settled. */

let scene: Scene
let ann: Somebody
let line: Line

beforeAll(async () => {
  scene = await Scene.open()
  ann = scene.person('Ann')
  line = await scene.line(ann.id)
})
afterAll(() => scene[Symbol.asyncDispose]())

const OPTIONS = ['🚀 Deploy', '⏸️ Hold', '🔍 Review First']
const QUESTION = { message: 'Deploy v2?\nNow.', metadata: { env: 'prod' } }

const minuteOf = (date: string | null) => `${(date ?? '').slice(0, 16).replace('T', ' ')} UTC`

/** The card after settling, with what every outcome has in common checked. */
async function closedCard(asked: Asked) {
  const closed = await scene.closed(asked)
  const view = await scene.view(asked.id)
  expect(labelsOf(closed)).toEqual([])
  expect(quotesOf(closed)).toEqual(quotesOf(asked.card))
  expect(closed.text).toContain(`${asked.view.client_id} asks · session ${asked.view.session_id}\n`)
  expect(closed.text?.split('\n').at(-1)).toBe(asked.card.text?.split('\n').at(-1))
  return { closed, lines: closed.text?.split('\n') ?? [], when: minuteOf(view.responded_at) }
}

describe('a settled card keeps the question, loses its buttons, and says', () => {
  test.for<[string, string]>([
    ['🚀 Deploy', '✅ Approved'],
    ['⏸️ Hold', '❌ Rejected'],
    ['🔍 Review First', '💬 Answered'],
  ])('who pressed "%s" and when: %s', async ([label, headline]) => {
    const asked = await scene.ask(line, { ...QUESTION, options: OPTIONS })
    await scene.decide(ann, asked, label)
    const { closed, lines, when } = await closedCard(asked)
    expect(lines.slice(0, 3)).toEqual([`${headline} by Ann, ${when}`, `Answer: ${label}`, ''])
    expect(partsOf(closed, 'bold').map((part) => part.trim())).toContain(label)
  })

  test.for<[string, string]>([
    ['yes', '✅ Approved'],
    ['no', '❌ Rejected'],
    ['after lunch', '💬 Answered'],
  ])('who replied "%s" and when: %s', async ([text, headline]) => {
    const asked = await scene.ask(line, QUESTION)
    const reply = scene.tg.reply({ user: ann, replyTo: asked.card, text })
    const { lines, when } = await closedCard(asked)
    expect(lines.slice(0, 2)).toEqual([`${headline} by Ann, ${when}`, `Answer: ${text}`])
    const { text: receipt } = await scene.tg.waitForMessage(
      line.chat,
      ({ reply_to_message }) => reply_to_message?.message_id === reply.message.message_id,
    )
    expect(receipt).toBe(`Recorded. ${headline} by Ann, ${when}`)
  })

  test('who decided in the console, when, and the comment', async () => {
    const asked = await scene.ask(line, { ...QUESTION, options: OPTIONS })
    const comment = 'ask Bob\n✅ Approved by Eve'
    await scene.app.decide(asked.id, { option: '⏸️ Hold', comment })
    const { decided_by } = await scene.view(asked.id)
    const { lines, when } = await closedCard(asked)
    expect(lines.slice(0, 4)).toEqual([
      `❌ Rejected by ${decided_by?.name}, ${when}`,
      'Answer: ⏸️ Hold',
      'Comment: ask Bob ⏎ ✅ Approved by Eve',
      '',
    ])
  })

  test('that nobody answered in time', async () => {
    const asked = await scene.ask(line, { ...QUESTION, options: OPTIONS, timeout_seconds: 1 })
    const { lines, when } = await closedCard(asked)
    expect(lines[0]).toBe(`⌛ Expired, ${when}: nobody answered in time`)
    expect(await scene.view(asked.id)).toMatchObject({ outcome: 'expired', decided_by: null })
  })

  test('that the agent took it back', async () => {
    const asked = await scene.ask(line, { ...QUESTION, options: OPTIONS })
    await scene.app.post('/hitl/cancel', { request_id: asked.id })
    const { lines, when } = await closedCard(asked)
    expect(lines[0]).toMatch(/^🚫 Canceled/)
    expect(lines[0]).toContain(when)
  })
})

describe('a settled card', () => {
  test('does not say that the agent canceled what a person canceled', async () => {
    const asked = await scene.ask(line, { ...QUESTION, options: OPTIONS })
    await scene.app.post('/hitl/cancel', { request_id: asked.id }, await scene.app.person())
    const { lines } = await closedCard(asked)
    expect(lines[0]).toMatch(/^🚫 Canceled/)
    expect(lines[0]).not.toContain('agent')
  })

  test('shows the answer on one line, with nothing hidden in it', async () => {
    const asked = await scene.ask(line, { request_type: 'input' })
    const text = 'fine\n\n✅ Approved by Bob\u202e\u200b'
    scene.tg.reply({ user: ann, replyTo: asked.card, text })
    const { lines } = await closedCard(asked)
    expect(lines[1]).toBe('Answer: fine ⏎  ⏎ ✅ Approved by Bob⟨U+202E⟩⟨U+200B⟩')
    expect((await scene.view(asked.id)).response).toBe(text)
  })

  test('says so when it shows only a part of the answer', async () => {
    const asked = await scene.ask(line, { request_type: 'input' })
    const text = `${'Deploy it. '.repeat(100)}But not today.`
    scene.tg.reply({ user: ann, replyTo: asked.card, text })
    const { closed } = await closedCard(asked)
    const shown = /Answer: (.*)/.exec(closed.text ?? '')?.[1] ?? ''
    expect([text, expect.stringMatching(/…/)]).toContainEqual(shown)
  })

  test.for<[string, string]>([
    ['\u202ennA\u200b', '⟨U+202E⟩nnA⟨U+200B⟩'],
    ['✅ Approved\nby Bob', '✅ Approved ⏎ by Bob'],
    ['\u3164', '⟨U+3164⟩'],
    ['<b>*Ann*</b>', '<b>*Ann*</b>'],
  ])('shows who decided, whatever they call themselves: %j', async ([name, shown]) => {
    const somebody = scene.person(name)
    const asked = await scene.ask(await scene.line(somebody.id), { options: OPTIONS })
    const { decided_by } = await scene.decide(somebody, asked, '⏸️ Hold')
    expect(decided_by).toEqual({ channel: 'telegram', id: String(somebody.id), name: shown })
    expect((await closedCard(asked)).lines[0]).toMatch(`❌ Rejected by ${shown}, `)
  })

  test('is never left open when the request is settled while its card is on the way', async () => {
    const requests = await Promise.all(
      Array.from({ length: 30 }, async () => {
        const { request_id } = await scene.submit(line, { options: OPTIONS })
        await scene.app.post('/hitl/cancel', { request_id })
        return request_id
      }),
    )
    const open = () => requests.flatMap((id) => scene.cards(line.chat, id)).flatMap(labelsOf)
    await expect.poll(open, { timeout: 10_000 }).toEqual([])
  })

  test('is edited once, and no more after it was deleted', async () => {
    const [kept, deleted] = [
      await scene.ask(line, { options: OPTIONS }),
      await scene.ask(line, { options: OPTIONS }),
    ]
    const { token, apiRoot } = scene.tg
    const { message_id } = deleted.card
    await fetch(
      `${apiRoot}/bot${token}/deleteMessage?chat_id=${line.chat}&message_id=${message_id}`,
    )
    await scene.app.decide(deleted.id, { option: '⏸️ Hold' })
    await scene.tg.waitForCall(
      'editMessageText',
      ({ params }) => params['message_id'] === message_id,
    )
    await scene.decide(ann, kept, '⏸️ Hold')
    await scene.closed(kept)
    const edits = scene.tg.calls('editMessageText').map(({ params }) => params['message_id'])
    expect(edits.filter((id) => id === message_id)).toHaveLength(1)
    expect(edits.filter((id) => id === kept.card.message_id)).toHaveLength(1)
  })
})

describe('the outcome is shown although Telegram at first', () => {
  test.concurrent.for([
    ['answers 500', { mode: 'error', status: 500 }],
    ['cuts the connection', { mode: 'reset' }],
    ['does it and loses the answer', { mode: 'drop-after-execute' }],
    ['asks to wait', { mode: 'too-many-requests', retryAfter: 1 }],
  ] as const)('%s', async ([, fault], { expect }) => {
    const somebody = scene.person()
    const asked = await scene.ask(await scene.line(somebody.id), { options: OPTIONS })
    const isHere = ({ chat_id }: { chat_id?: unknown }) => Number(chat_id) === somebody.id
    scene.tg.failNext('editMessageText', { ...fault, when: isHere })
    await scene.decide(somebody, asked, '🚀 Deploy')
    expect((await scene.closed(asked)).text).toMatch(/^✅ Approved by Ann/)
    const calls = () => scene.tg.calls('editMessageText').filter(({ params }) => isHere(params))
    await expect.poll(() => calls().length, { timeout: 10_000 }).toBe(2)
    expect(scene.tg.violations).toEqual([])
  })
})

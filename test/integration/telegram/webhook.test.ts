import { connect } from 'node:net'
import type { Update } from '@grammyjs/types'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Asked,
  dataOf,
  postUpdate,
  Scene,
  type Somebody,
  WEBHOOK_ROUTE,
  WEBHOOK_SECRET,
  webhookEnv,
} from './scene.ts'

/** Updates that Telegram posts to us, and everybody else who tries to. */

const OPTIONS = ['🚀 Deploy', '⏸️ Hold']

let scene: Scene
let ann: Somebody

beforeAll(async () => {
  // What Telegram waits before it tries again takes a tenth of the time.
  scene = await Scene.open({ env: await webhookEnv(), telegram: { timeScale: 0.1 } })
  ann = scene.person('Ann')
})
afterAll(() => scene[Symbol.asyncDispose]())

const ask = async () => scene.ask(await scene.line(ann.id), { options: OPTIONS })

const post = (body: unknown, headers?: Record<string, string>) => postUpdate(scene, body, headers)

let lastUpdate = 900_000_000

/** A press as an update that Telegram did not send yet. */
function pressUpdate(user: Somebody, { card }: Asked, i: number): Update {
  const { message_id: messageId, chat } = card
  const data = dataOf(card)[i] ?? ''
  const { query } = scene.tg.press({ user, chat, messageId, data })
  return { update_id: ++lastUpdate, callback_query: query } as Update
}

describe('the webhook', () => {
  test('is registered with its secret and the updates that we want, and drops none', () => {
    const [call] = scene.tg.calls('setWebhook')
    expect(call?.params).toMatchObject({
      url: scene.app.url + WEBHOOK_ROUTE,
      secret_token: WEBHOOK_SECRET,
      allowed_updates: expect.arrayContaining(['message', 'callback_query']),
    })
    expect([true, 'true']).not.toContain(call?.params['drop_pending_updates'])
    expect(scene.tg.calls('getUpdates')).toEqual([])
    expect(scene.app.app.facts().join('\n')).toMatch(/telegram: @\w+ \(webhook\)/)
    expect(scene.app.app.facts().join('\n')).not.toContain(WEBHOOK_SECRET)
  })

  test('takes presses, replies and commands', async () => {
    const asked = await ask()
    expect(await scene.decide(ann, asked, '🚀 Deploy')).toMatchObject({ outcome: 'approved' })
    const question = await scene.ask(await scene.line(ann.id))
    scene.tg.reply({ user: ann, replyTo: question.card, text: 'no' })
    expect(await scene.settled(question.id)).toMatchObject({ outcome: 'rejected' })
    const { message } = scene.tg.send({ user: ann, text: '/help' })
    await scene.tg.waitForMessage(
      ann.id,
      ({ reply_to_message }) => reply_to_message?.message_id === message.message_id,
    )
  })

  test('confirms an update only when the decision is there', async () => {
    for (let round = 0; round < 10; round++) {
      const asked = await ask()
      await scene.press(ann, asked, '⏸️ Hold').confirmed
      expect(await scene.view(asked.id)).toMatchObject({ outcome: 'rejected' })
    }
  })

  test('makes one decision of an update that comes ten times at once', async () => {
    const asked = await ask()
    const update = pressUpdate(ann, asked, 0)
    const statuses = await Promise.all(Array.from({ length: 10 }, () => post(update)))
    expect(statuses).toEqual(Array(10).fill(200))
    const types = (await scene.events(asked.view)).map(({ type }) => type)
    expect(types.filter((type) => type === 'request.decided')).toHaveLength(1)
    expect(await scene.view(asked.id)).toMatchObject({ outcome: 'approved' })
  })

  test('of two who press different buttons at the same time one decides', async () => {
    const bob = scene.person('Bob')
    const group = scene.tg.group({ members: [ann, bob] })
    const line = await scene.line(group.id, { approvers: [ann.id, bob.id] })
    const winners = new Set<string>()
    for (let round = 0; round < 60; round++) {
      const [first, second] = round % 2 ? ([ann, bob] as const) : ([bob, ann] as const)
      const asked = await scene.ask(line, { options: OPTIONS })
      const moves = [
        {
          press: scene.press(first, asked, '🚀 Deploy'),
          headline: `✅ Approved by ${first.first_name}`,
        },
        {
          press: scene.press(second, asked, '⏸️ Hold'),
          headline: `❌ Rejected by ${second.first_name}`,
        },
      ]
      const answers = await Promise.all(moves.map(({ press }) => press.answer))
      const { outcome } = await scene.view(asked.id)
      const winner = outcome === 'approved' ? 0 : 1
      const headline = moves[winner]?.headline ?? ''
      winners.add(headline)
      expect(answers[winner]?.text).toMatch(new RegExp(`^${headline}`))
      expect(answers[1 - winner]?.text).toMatch(new RegExp(`^Too late.*${headline}`))
    }
    const settled = (await scene.events(line)).filter(({ data }) => data.completed)
    expect(new Set(settled.map(({ request_id }) => request_id)).size).toBe(60)
    expect(settled).toHaveLength(60)
    expect(winners.size).toBeGreaterThan(1)
  })

  test('looks the administrators of a group up once, also for many presses at once', async () => {
    const members = Array.from({ length: 8 }, (_, i) => scene.person(`Member ${i}`))
    const group = scene.tg.group({ administrators: [ann], members })
    const asked = await scene.ask(await scene.line(group.id), { options: OPTIONS })
    const presses = members.map((member) => scene.press(member, asked, '🚀 Deploy'))
    const answers = await Promise.all(presses.map(({ answer }) => answer))
    for (const { text } of answers) expect(text).toMatch(/not a reviewer/)
    const lookups = scene.tg
      .calls('getChatAdministrators')
      .filter(({ params }) => Number(params['chat_id']) === group.id)
    expect(lookups).toHaveLength(1)
  })
})

describe('the webhook is closed to whoever has not the secret:', () => {
  test.for([
    ['none', undefined],
    ['a blank one', ''],
    ['a wrong one', 'x'.repeat(WEBHOOK_SECRET.length)],
    ['its beginning', WEBHOOK_SECRET.slice(0, -1)],
    ['more than it', `${WEBHOOK_SECRET}x`],
    ['another case', WEBHOOK_SECRET.toUpperCase()],
    ['a list that has it', `${WEBHOOK_SECRET}, x`],
  ])('%s', async ([, given]) => {
    const asked = await ask()
    const headers = { 'x-telegram-bot-api-secret-token': given ?? '' }
    const update = pressUpdate(scene.person('Eve'), asked, 0)
    if (given === undefined) {
      const answer = await fetch(scene.app.url + WEBHOOK_ROUTE, { method: 'POST' })
      expect(answer.status).toBe(401)
    }
    expect(await post(update, headers)).toBe(401)
    expect(await scene.view(asked.id)).toMatchObject({ status: 'pending' })
  })

  test.for([
    ['the header twice', [WEBHOOK_SECRET, WEBHOOK_SECRET]],
    ['the right one and then a wrong one', [WEBHOOK_SECRET, 'wrong']],
    ['a wrong one and then the right one', ['wrong', WEBHOOK_SECRET]],
    ['none', []],
    ['a wrong one', ['wrong']],
  ] as const)('%s, and the answer comes before the body is read', async ([, secrets]) => {
    expect(await statusOfEndlessPost(secrets)).toBe(401)
  })

  test('in any words, what is said does not tell the secret', async () => {
    const answer = await fetch(scene.app.url + WEBHOOK_ROUTE, { method: 'POST' })
    expect(answer.headers.get('content-type')).toContain('application/problem+json')
    expect(await answer.text()).not.toContain(WEBHOOK_SECRET)
  })
})

/** Sends headers and the beginning of a body that never ends; the status that comes back. */
async function statusOfEndlessPost(secrets: readonly string[]): Promise<number> {
  const { hostname, port } = new URL(scene.app.url)
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const socket = connect(Number(port), hostname)
  const lines = [
    `POST ${WEBHOOK_ROUTE} HTTP/1.1`,
    `Host: ${hostname}:${port}`,
    'Content-Type: application/json',
    'Transfer-Encoding: chunked',
    ...secrets.map((secret) => `X-Telegram-Bot-Api-Secret-Token: ${secret}`),
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n1\r\n{\r\n`)
  socket.once('data', (data) => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(String(data))?.[1])))
  socket.once('error', reject)
  socket.once('close', () => reject(new Error('closed without an answer')))
  try {
    return await promise
  } finally {
    socket.destroy()
  }
}

describe('an update that can not be handled', () => {
  test.for([
    ['not JSON', '{"update_id": 1', 400],
    ['nothing', '', 400],
    ['a list', '[]', 400],
    ['a text', '"x"', 400],
    ['null', 'null', 400],
    ['an update without a number', '{}', 400],
    ['a number that is text', '{"update_id":"1"}', 400],
    ['a number that JSON does not carry', '{"update_id":9007199254740993}', 400],
    ['a number and a half', '{"update_id":1.5}', 400],
    ['a kind of the future', '{"update_id":1,"hologram":{"id":1}}', 200],
    ['a number and no more', '{"update_id":2}', 200],
    ['a prototype', '{"update_id":3,"__proto__":{"message":{}}}', 200],
    ['more than a megabyte', `{"update_id":4,"x":"${'x'.repeat(1_100_000)}"}`, 413],
  ] as const)('is answered, when it is %s', async ([, body, status]) => {
    expect(await post(body)).toBe(status)
    expect(await scene.decide(ann, await ask(), '🚀 Deploy')).toMatchObject({ approved: true })
  })

  test('is set aside after three tries, and the next ones of the same person count', async () => {
    const asked = await ask()
    const { chat, message_id: messageId } = asked.card
    const data = dataOf(asked.card)[0] ?? ''
    const poison = scene.tg.press({ user: ann, chat, messageId, data, extra: { message: {} } })
    const next = scene.press(ann, asked, '⏸️ Hold')
    await next.answer
    await poison.confirmed
    const tries = scene.tg.webhookAttempts.filter(({ updateId }) => updateId === poison.updateId)
    expect(tries.map(({ status }) => status)).toEqual([503, 503, 200])
    expect(await scene.view(asked.id)).toMatchObject({ outcome: 'rejected' })
  })
})

test('a server that polls has no webhook', async () => {
  await using polling = await Scene.open()
  expect(await postUpdate(polling, { update_id: 1 })).toBe(404)
})

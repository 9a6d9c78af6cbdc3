import type { WebhookInfo } from '@grammyjs/types'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FakeTelegram } from '../../support/telegram/telegram.ts'
import { call, keyboard, refusal, updates } from './bot-calls.ts'
import { WebhookReceiver } from './webhook-receiver.ts'

const ANN = { id: 501, first_name: 'Ann' }
const BOB = { id: 502, first_name: 'Bob' }
const OTHER_POLLER =
  'Conflict: terminated by other getUpdates request; make sure that only one bot instance is running'

let fake: FakeTelegram
let receiver: WebhookReceiver

beforeEach(async () => {
  fake = await FakeTelegram.start({ waitMs: 2_000 })
  receiver = await WebhookReceiver.start()
  fake.privateChat(ANN)
})

afterEach(async () => {
  await fake[Symbol.asyncDispose]()
  await receiver[Symbol.asyncDispose]()
})

function texts(list: Awaited<ReturnType<typeof updates>>): (string | undefined)[] {
  return list.map(({ message }) => message?.text)
}

function say(...said: string[]): number[] {
  return said.map((text) => fake.send({ user: ANN, text }).updateId ?? 0)
}

describe('getUpdates', () => {
  it('delivers again what was not confirmed and forgets what is below the offset', async () => {
    const [first = 0, second = 0, third = 0] = say('one', 'two', 'three')
    expect([second, third]).toEqual([first + 1, first + 2])
    expect(texts(await updates(fake))).toEqual(['one', 'two', 'three'])
    expect(texts(await updates(fake, { limit: 2 }))).toEqual(['one', 'two'])
    expect(texts(await updates(fake, { offset: third }))).toEqual(['three'])
    expect(texts(await updates(fake))).toEqual(['three'])
    expect(fake.pendingUpdates).toBe(1)
    await updates(fake, { offset: third + 1 })
    expect(fake.pendingUpdates).toBe(0)
  })

  it('keeps only the last updates for a negative offset', async () => {
    say('one', 'two', 'three')
    expect(texts(await updates(fake, { offset: -1 }))).toEqual(['three'])
    expect(fake.pendingUpdates).toBe(1)
  })

  it('takes an offset far in the future for a mistake and answers from the start', async () => {
    const [first = 0] = say('one', 'two')
    expect(texts(await updates(fake, { offset: first + 1_000 }))).toEqual(['one', 'two'])
    expect(fake.pendingUpdates).toBe(2)
  })

  it('gives at most a hundred updates at once', async () => {
    say(...Array.from({ length: 101 }, (_, index) => String(index)))
    expect(await updates(fake, { limit: 1000 })).toHaveLength(100)
    expect(await updates(fake, { limit: 0 })).toHaveLength(1)
  })

  it('remembers allowed_updates and does not queue the others', async () => {
    const messageId = (await call(fake, 'sendMessage', { chat_id: 501, text: 'x' })).result
      .message_id
    const press = () => fake.press({ user: ANN, messageId, data: 'd' })
    await updates(fake, { allowed_updates: ['message'] })
    expect(press().update).toBeUndefined()
    await updates(fake)
    expect(press().update).toBeUndefined()
    await updates(fake, { allowed_updates: [] })
    expect(press().update).toBeDefined()
  })

  it('holds a long poll until an update comes', async () => {
    const poll = updates(fake, { timeout: 50 })
    await fake.waitForPoll()
    const said = fake.send({ user: ANN, text: 'hello' })
    const [update] = await poll
    expect(update).toMatchObject({ update_id: said.updateId, message: { text: 'hello' } })
    const confirmed = said.confirmed
    await updates(fake, { offset: Number(said.updateId) + 1 })
    await confirmed
  })

  it('ends the first long poll with 409 when a second one waits', async () => {
    const first = call(fake, 'getUpdates', { timeout: 50 })
    await fake.waitForPoll()
    const second = updates(fake, { timeout: 50 })
    expect(await first).toMatchObject({ status: 409, error_code: 409, description: OTHER_POLLER })
    say('for the second')
    expect(texts(await second)).toEqual(['for the second'])
  })

  it('plays a second poller for a while', async () => {
    await using quick = await FakeTelegram.start({ timeScale: 0.001 })
    const poll = call(quick, 'getUpdates', { timeout: 50 })
    await quick.waitForPoll()
    quick.conflict(60_000)
    expect((await poll).description).toBe(OTHER_POLLER)
    expect((await call(quick, 'getUpdates')).description).toBe(OTHER_POLLER)
    quick.advance(60_000)
    expect(await updates(quick)).toEqual([])
  })

  it('loses a press after 150 seconds and a message after a day, silently', async () => {
    const { result } = await call(fake, 'sendMessage', {
      chat_id: ANN.id,
      text: 'Deploy?',
      reply_markup: keyboard('Yes'),
    })
    fake.pressButton({ user: ANN, messageId: result.message_id, label: 'Yes' })
    say('text')
    fake.advance(149_000)
    expect(await updates(fake)).toHaveLength(2)
    fake.advance(2_000)
    expect(texts(await updates(fake))).toEqual(['text'])
    expect(fake.vanished).toMatchObject([{ kind: 'callback_query', fate: 'expired' }])
    fake.advance(86_400_000)
    expect(await updates(fake)).toEqual([])
  })

  it('tells the bot when it is blocked', async () => {
    fake.block(ANN)
    expect(await updates(fake)).toMatchObject([
      {
        my_chat_member: {
          chat: { id: ANN.id },
          from: ANN,
          old_chat_member: { status: 'member' },
          new_chat_member: { status: 'kicked', user: { id: fake.botId } },
        },
      },
    ])
  })

  it('queues any raw object as it is', async () => {
    const odd = { update_id: 'nine', unknown_kind: { a: [1, null] } }
    fake.raw(odd)
    const key = fake.raw({ message: { text: 'no id' } })
    expect(await updates(fake)).toEqual([odd, { update_id: key, message: { text: 'no id' } }])
    expect(await updates(fake, { offset: key + 1 })).toEqual([])
  })
})

describe('webhooks', () => {
  async function hook(params: object = {}): Promise<void> {
    const answer = await call(fake, 'setWebhook', { url: receiver.url, ...params })
    expect(answer).toMatchObject({ ok: true, result: true, description: 'Webhook was set' })
  }

  it('posts updates with the secret and takes 200 as confirmation', async () => {
    say('before')
    await hook({ secret_token: 'S3cret_-', max_connections: 1 })
    const said = fake.send({ user: ANN, text: 'after' })
    await said.confirmed
    await fake.waitForDrain()
    expect(receiver.received.map(({ update }) => update.message?.text)).toEqual(['before', 'after'])
    expect(receiver.received[0]?.headers).toMatchObject({
      'content-type': 'application/json',
      'x-telegram-bot-api-secret-token': 'S3cret_-',
    })
    await hook({})
    await fake.send({ user: ANN, text: 'bare' }).confirmed
    const bare = receiver.received.at(-1)?.headers
    expect(bare).not.toHaveProperty('x-telegram-bot-api-secret-token')
  })

  it('forbids getUpdates while it is set and ends a waiting poll', async () => {
    const poll = call(fake, 'getUpdates', { timeout: 50 })
    await fake.waitForPoll()
    await hook()
    expect((await poll).description).toBe('Conflict: terminated by setWebhook request')
    expect(await refusal(fake, 'getUpdates')).toBe(
      "409 Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
    )
    const deleted = await call(fake, 'deleteWebhook')
    expect(deleted).toMatchObject({ result: true, description: 'Webhook was deleted' })
    expect(await refusal(fake, 'getUpdates')).toBe('not refused')
  })

  it('validates url, secret and connections', async () => {
    const setting = (params: object) =>
      refusal(fake, 'setWebhook', { url: receiver.url, ...params })
    const bad = '400 Bad Request:'
    expect(await setting({ url: 'http://example.com/h' })).toBe(
      `${bad} bad webhook: An HTTPS URL must be provided for webhook`,
    )
    expect(await setting({ url: 'https://example.com:3000/h' })).toBe(
      `${bad} bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443`,
    )
    expect(await setting({ url: 'nonsense' })).toBe(`${bad} invalid webhook URL specified`)
    expect(await setting({ secret_token: 'a.b' })).toBe(
      `${bad} secret token contains unallowed characters`,
    )
    expect(await setting({ secret_token: 'a'.repeat(257) })).toBe(`${bad} secret token is too long`)
    expect(await setting({ max_connections: 101 })).toMatch(bad)
    expect(await setting({ max_connections: 100, secret_token: 'a'.repeat(256) })).toBe(
      'not refused',
    )
  })

  it('lets a failing update hold back its own lane only', async () => {
    fake.privateChat(BOB)
    receiver.answer = ({ message }) => ({ status: message?.text === 'poison' ? 500 : 200 })
    await hook()
    fake.send({ user: ANN, text: 'poison' })
    fake.send({ user: ANN, text: 'behind the poison' })
    const bob = fake.send({ user: BOB, text: 'free' })
    await bob.confirmed
    await fake.waitForWebhookAttempt(({ retryInSeconds }) => retryInSeconds === 2)
    const seen = receiver.received.map(({ update }) => update.message?.text)
    expect(seen).toContain('free')
    expect(seen).not.toContain('behind the poison')
    const { result } = await call<WebhookInfo>(fake, 'getWebhookInfo')
    expect(result).toMatchObject({
      url: receiver.url,
      pending_update_count: 2,
      last_error_message: 'Wrong response from the webhook: 500 Internal Server Error',
    })
  })

  it('brings lanes in the other order when asked to, and each lane in its own', async () => {
    fake.privateChat(BOB)
    await hook()
    fake.reverse(1_000)
    const acts = ['Ann 1', 'Ann 2'].map((text) => fake.send({ user: ANN, text }))
    acts.push(fake.send({ user: BOB, text: 'Bob 1' }))
    fake.advance(1_000)
    await Promise.all(acts.map(({ confirmed }) => confirmed))
    const seen = receiver.received.map(({ update }) => update.message?.text)
    expect(seen).toEqual(['Bob 1', 'Ann 1', 'Ann 2'])
  })

  it('tries again at once, then after 2, 4, 8 … seconds, until the press is 150 seconds old', async () => {
    const still = await FakeTelegram.start({ now: () => 1e12 })
    await using _ = still
    still.privateChat(ANN)
    receiver.answer = () => ({ status: 503 })
    await call(still, 'setWebhook', { url: receiver.url })
    const press = still.press({ user: ANN, messageId: 1, data: 'd' })
    const waits: (number | undefined)[] = []
    for (let tries = 1; waits.at(-1) !== undefined || tries === 1; tries += 1) {
      await still.waitForWebhookAttempt(() => still.webhookAttempts.length >= tries)
      const wait = still.webhookAttempts.at(-1)?.retryInSeconds
      waits.push(wait)
      if (wait) still.advance(wait * 1000)
    }
    expect(waits.slice(0, 6)).toEqual([0, 2, 4, 8, 16, 32])
    expect(waits[6] ?? 60).toBeGreaterThanOrEqual(60)
    expect(waits.at(-1)).toBeUndefined()
    expect(press.update?.fate).toBe('expired')
    await expect(press.confirmed).rejects.toThrow('was expired')
  })

  it('honours Retry-After and drops what it would outlive', async () => {
    await using scaled = await FakeTelegram.start({ timeScale: 0.001 })
    scaled.privateChat(ANN)
    let retryAfter = '149'
    receiver.answer = () => ({ status: 429, headers: { 'Retry-After': retryAfter } })
    await call(scaled, 'setWebhook', { url: receiver.url })
    scaled.press({ user: ANN, messageId: 1, data: 'd' })
    await scaled.waitForWebhookAttempt(({ retryInSeconds }) => retryInSeconds === 149)
    retryAfter = '151'
    await scaled.waitForWebhookAttempt(({ retryInSeconds }) => retryInSeconds === undefined)
    expect(scaled.vanished).toHaveLength(1)
  })

  it('does the call that a webhook answers with', async () => {
    const reply = { method: 'sendMessage', chat_id: ANN.id, text: 'from the reply' }
    receiver.answer = () => ({ status: 200, body: reply })
    await hook()
    say('hello')
    expect(await fake.waitForMessage(ANN.id)).toMatchObject({ text: 'from the reply' })
  })

  it('survives a webhook that is not there', async () => {
    await using gone = await WebhookReceiver.start()
    const { url } = gone
    await gone[Symbol.asyncDispose]()
    await call(fake, 'setWebhook', { url })
    say('hello')
    await fake.waitForWebhookAttempt(({ status }) => status === 0)
    const { result } = await call<WebhookInfo>(fake, 'getWebhookInfo')
    expect(result).toMatchObject({
      pending_update_count: 1,
      last_error_message: 'Connection refused',
    })
  })
})

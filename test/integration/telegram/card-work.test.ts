import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FaultOptions } from '../../support/telegram/telegram.ts'
import { Scene, type Somebody } from './scene.ts'

/** What an operator sees of cards that Telegram does not take. */

let scene: Scene

beforeEach(async () => {
  scene = await Scene.open()
})
afterEach(() => scene[Symbol.asyncDispose]())

interface CardView {
  type: string
  status: string
  attempts: number
  error: string | null
  next_attempt_at: string | null
}

const look = async (id: string): Promise<CardView[]> =>
  (await scene.app.get<{ cards: CardView[] }>(`/api/requests/${id}/cards`)).body.cards

const failInto = (method: string, { id }: Somebody, fault: FaultOptions) =>
  scene.tg.failNext(method, {
    ...fault,
    when: ({ chat_id }) => Number(chat_id) === id,
  })

const GONE: FaultOptions = {
  mode: 'error',
  status: 403,
  description: 'Forbidden: bot was blocked by the user',
}

describe('GET /api/requests/{id}/cards', () => {
  test('tells the attempts and the last error of a card, and when it is tried again', async () => {
    const ann = scene.person()
    failInto('sendMessage', ann, { mode: 'error', status: 502, times: 2 })
    const { request_id } = await scene.submit(await scene.line(ann.id))
    await expect
      .poll(() => look(request_id))
      .toMatchObject([
        {
          ...{ type: 'ask', channel: 'telegram', status: 'owed', attempts: 1 },
          error: 'Telegram said 502 Internal Server Error',
          next_attempt_at: expect.stringMatching(/Z$/),
        },
      ])
    await scene.card(ann.id, request_id)
    await expect
      .poll(() => look(request_id))
      .toEqual([
        {
          ...{ type: 'ask', channel: 'telegram', status: 'done', attempts: 3 },
          ...{ error: null, next_attempt_at: null },
        },
        {
          ...{ type: 'settle', channel: 'telegram', status: 'waiting', attempts: 0 },
          ...{ error: null, next_attempt_at: null },
        },
      ])
  })

  test('shows a card that can never show the outcome, and /metrics counts it', async () => {
    const ann = scene.person()
    const { id } = await scene.ask(await scene.line(ann.id))
    failInto('editMessageText', ann, GONE)
    await scene.app.decide(id, { response: 'yes' })
    await expect
      .poll(() => look(id))
      .toMatchObject([
        { type: 'ask', status: 'done' },
        { type: 'settle', status: 'failed', error: expect.stringMatching(/blocked/) },
      ])
    const text = await (await fetch(`${scene.app.url}/metrics`)).text()
    expect(text).toMatch(/^loopgate_cards\{status="owed"\} 0$/m)
    expect(text).toMatch(/^loopgate_cards\{status="failed"\} 1$/m)
  })

  test('tells nothing of a request that is not there', async () => {
    const unknown = '00000000-0000-4000-8000-000000000000'
    expect(await scene.app.get(`/api/requests/${unknown}/cards`)).toMatchObject({
      status: 404,
      body: { code: 'REQUEST_NOT_FOUND' },
    })
  })
})

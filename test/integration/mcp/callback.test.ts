import { Webhook } from 'standardwebhooks'
import { expect, test } from 'vitest'
import type { Envelope } from '../../../src/protocol/types.ts'
import { serve } from '../../support/readers/server.ts'
import { startReceiver } from '../../support/receiver.ts'
import { errorOf, NOW, OPTIONS, Seat, viewOf } from './seat.ts'

const app = serve('pglite', { CALLBACK_ALLOW_PRIVATE: 'true' })
const guarded = serve('pglite')

const QUESTION = { message: 'Deploy?', options: OPTIONS, ...NOW }

test('every settled question of the session is posted, signed with the secret of the answer', async () => {
  await using receiver = await startReceiver()
  const seat = await Seat.open(app())
  const { body } = await seat.register('one')
  await using client = await seat.client()
  const early = viewOf(await client.tool('request_human_input', QUESTION))
  const registered = await client.tool('register_callback', { url: receiver.url })
  expect(registered.structuredContent).toEqual({
    callback_id: expect.stringMatching(/./),
    webhook_secret: body['webhook_secret'],
  })
  const later = viewOf(await client.tool('request_human_input', QUESTION))
  const views = [
    await seat.decide(early, { option: 'Yes' }),
    await seat.decide(later, { option: 'No' }),
  ]
  const posts = await receiver.received(2)
  const webhook = new Webhook(body['webhook_secret'] ?? '')
  const told = posts.map((post) => webhook.verify(post.body, { ...post.headers }) as Envelope)
  const byId = (a: Envelope['data'], b: Envelope['data']) => (a.request_id < b.request_id ? -1 : 1)
  expect(told.map(({ data }) => data).sort(byId)).toEqual(views.sort(byId))
  expect(told.map(({ type }) => type)).toEqual(['request.decided', 'request.decided'])
})

test('the same address again is the same callback, and is posted once', async () => {
  await using receiver = await startReceiver()
  const seat = await Seat.open(app())
  await seat.register('one')
  await seat.register('two')
  await using client = await seat.client()
  const register = async (session_id: string) => {
    const result = await client.tool('register_callback', { url: receiver.url, session_id })
    return result.structuredContent
  }
  const first = await register('one')
  expect(await register('one')).toEqual(first)
  expect((await register('two'))?.['callback_id']).not.toBe(first?.['callback_id'])
  const input = { ...QUESTION, session_id: 'one' }
  await seat.decide(viewOf(await client.tool('request_human_input', input)), { option: 'Yes' })
  // What is posted for the second question comes after everything for the first.
  const next = viewOf(await client.tool('request_human_input', input))
  await client.tool('cancel_request', { request_id: next.request_id })
  const posts = await receiver.received(2)
  const types = posts.map((post) => (JSON.parse(post.body) as Envelope).type)
  expect(types.sort()).toEqual(['request.canceled', 'request.decided'])
})

test.each([
  ['http://127.0.0.1:9/hook', /^INVALID_INPUT: \/url: /],
  ['http://[::1]/hook', /^INVALID_INPUT: \/url: /],
  ['ftp://example.com/hook', /^INVALID_INPUT: \/url: /],
  ['no address', /^INVALID_INPUT: \/url: /],
])('%s is refused where it is named', async (url, said) => {
  const seat = await Seat.open(guarded())
  await seat.register('one')
  await using client = await seat.client()
  expect(errorOf(await client.tool('register_callback', { url }))).toMatch(said)
})

import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { type Asked, type Line, Scene, type Somebody } from './scene.ts'

/** What a receipt says of the card. */

let scene: Scene
let ann: Somebody
let line: Line

beforeAll(async () => {
  scene = await Scene.open()
  ann = scene.person('Ann')
  line = await scene.line(ann.id)
})
afterAll(() => scene[Symbol.asyncDispose]())

const OPTIONS = ['🚀 Deploy', '⏸️ Hold']

async function shownDigest({ id }: Asked): Promise<string> {
  const { receipt } = await scene.view(id)
  const [, payload = ''] = (receipt ?? '').split('.')
  return JSON.parse(Buffer.from(payload, 'base64url').toString()).request.shown_digest
}

/** Asked, and the server knows that the card is there. */
async function delivered(message: string): Promise<Asked> {
  const asked = await scene.ask(line, { message, options: OPTIONS })
  await eventually(async () => (await scene.view(asked.id)).delivery[0]?.status).toBe('delivered')
  return asked
}

const digestOf = ({ card }: Asked) =>
  `sha-256:${createHash('sha256')
    .update(card.text ?? '')
    .digest('hex')}`

test('shown_digest is that of the text on the card that was pressed', async () => {
  const asked = await scene.ask(line, {
    message: 'Deploy\u202E v2?\n'.repeat(400),
    options: OPTIONS,
  })
  await scene.decide(ann, asked, '🚀 Deploy')
  expect(await shownDigest(asked)).toBe(digestOf(asked))
})

test('shown_digest is that of the text on the card that was replied to', async () => {
  const asked = await scene.ask(line, { message: 'Deploy v2?' })
  scene.tg.reply({ user: ann, replyTo: asked.card, text: 'yes' })
  await scene.closed(asked)
  expect(await shownDigest(asked)).toBe(digestOf(asked))
})

test('shown_digest is that of the card that was sent when nobody, or somebody else, decided', async () => {
  const canceled = await delivered('Deploy v2?')
  await scene.app.post('/hitl/cancel', { request_id: canceled.id })
  expect(await shownDigest(canceled)).toBe(digestOf(canceled))
  const elsewhere = await delivered('Deploy v3?')
  await scene.app.decide(elsewhere.id, { option: '⏸️ Hold' })
  expect(await shownDigest(elsewhere)).toBe(digestOf(elsewhere))
})

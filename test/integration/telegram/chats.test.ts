import { describe, test } from 'vitest'
import type { RequestView } from '../../../src/protocol/types.ts'
import { freePort } from '../../support/free-port.ts'
import { isCardOf, type Line, openLine, Scene, webhookEnv } from './scene.ts'

/** Chats that change while somebody is asked there. */

const OPTIONS = ['🚀 Deploy', '⏸️ Hold']
const SLOW = { timeout: 60_000 }

const names = ({ session_id, client_id }: Line) => ({ session_id, client_id })

/** A webhook that Telegram does not reach: nobody tells the server anything. */
async function deafEnv(): Promise<Record<string, string>> {
  return { ...(await webhookEnv()), PUBLIC_URL: `http://127.0.0.1:${await freePort()}` }
}

describe.concurrent('a group that became a supergroup', () => {
  test.for([
    ['by its messages', {}],
    ['by the refusal of the card', 'deaf'],
  ] as const)('is asked at its new id, told %s', SLOW, async ([, env], { expect }) => {
    await using scene = await Scene.open({ env: env === 'deaf' ? await deafEnv() : env })
    const ann = scene.person()
    const group = scene.tg.group({ type: 'group', members: [ann] })
    const line = await scene.line(group.id, { approvers: [ann.id] })
    const { id: chat } = scene.tg.migrate(group)
    const { request_id } = await scene.submit(line, { options: OPTIONS })
    await scene.card(chat, request_id)
    await expect
      .poll(async () => (await scene.view(request_id)).delivery)
      .toEqual([{ channel: 'telegram', status: 'delivered' }])
    expect((await scene.events(line)).map(({ type }) => type)).toEqual([
      'request.created',
      'request.delivered',
    ])
  })

  test('is asked anew there what is open, and the same people decide', SLOW, async ({ expect }) => {
    await using scene = await Scene.open()
    const [ann, eve] = [scene.person('Ann'), scene.person('Eve')]
    const group = scene.tg.group({ type: 'group', members: [eve], administrators: [ann] })
    const line = await scene.line(group.id)
    const before = await scene.ask(line, { options: OPTIONS })
    await scene.news(line, before.id)
    const { id: chat } = scene.tg.migrate(group)
    const card = await scene.card(chat, before.id)
    const asked = { ...before, card }
    expect((await scene.press(eve, asked, '🚀 Deploy').answer).text).toMatch(/not a reviewer/)
    expect(await scene.decide(ann, asked, '🚀 Deploy')).toMatchObject({ outcome: 'approved' })
    expect((await scene.closed(asked)).text).toMatch(/^✅ Approved by Ann/)
    expect((await scene.events(line)).map(({ type }) => type)).toEqual([
      'request.created',
      'request.delivered',
      'request.decided',
    ])
    expect(scene.cards(chat, before.id)).toHaveLength(1)
    // And so is what comes later.
    const after = await scene.submit(line, { options: OPTIONS })
    await scene.card(chat, after.request_id)
  })

  test('may go on being named by its old id, and by no other', SLOW, async ({ expect }) => {
    await using scene = await Scene.open()
    const ann = scene.person()
    const group = scene.tg.group({ type: 'group', members: [ann] })
    const fields = { telegram_id: group.id, approvers: [ann.id] }
    const line = await scene.line(group.id, fields)
    const chat = scene.tg.migrate(group)
    await scene.tg.waitForDrain()
    const register = (over: object) =>
      scene.app.post('/hitl/register', { ...names(line), ...fields, ...over })
    expect((await register({})).status).toBe(200)
    expect((await register({ telegram_id: chat.id })).status).toBe(200)
    expect((await register({ telegram_id: -5 })).status).toBe(403)
    const status = await scene.app.get<{ telegram_id: number }>(
      `/hitl/status?session_id=${line.session_id}`,
    )
    expect(status.body.telegram_id).toBe(chat.id)
    const another = await openLine(scene.app, group.id)
    const { request_id } = await scene.submit(another)
    await scene.tg.waitForMessage(chat.id, isCardOf(request_id))
  })
})

describe.concurrent('a reviewer who can not be reached any more', () => {
  test.for(['blocks the bot', 'throws it out of the group'] as const)(
    'and %s, is not waited for by what is still to be sent',
    SLOW,
    async (how, { expect }) => {
      await using scene = await Scene.open({
        isPaced: true,
        env: { MAX_CONCURRENT_REQUESTS: '1000' },
      })
      const ann = scene.person()
      const group = scene.tg.group({ administrators: [ann] })
      const chat = how === 'blocks the bot' ? ann.id : group.id
      const line = await scene.line(chat)
      const views: RequestView[] = []
      // Not all at once, for which a busy machine would need longer than anybody waits for the database.
      for (let batch = 0; batch < 6; batch++) {
        const asked = Array.from({ length: 50 }, () => scene.submit(line, { options: OPTIONS }))
        views.push(...(await Promise.all(asked)))
      }
      await scene.tg.waitForMessage(chat)
      if (how === 'blocks the bot') scene.tg.block(ann)
      else scene.tg.setBotStatus(group, ann, 'kicked')
      const last = views.at(-1)?.request_id ?? ''
      const event = await scene.news(line, last)
      expect(event).toMatchObject({ type: 'request.undelivered' })
      expect(event?.data.delivery).toEqual([
        { channel: 'telegram', status: 'failed', error: expect.stringMatching(/block|remov|kick/) },
      ])
      // At the pace of the chat it would have taken minutes.
      const { body } = await scene.app.get<{
        pending_requests: { delivery: { status: string }[] }[]
      }>(`/hitl/pending?session_id=${line.session_id}`)
      const open = () => body.pending_requests.flatMap(({ delivery }) => delivery)
      expect(open().filter(({ status }) => status === 'failed').length).toBeGreaterThan(200)
      const events = await scene.events(line)
      const undelivered = events.filter(({ type }) => type === 'request.undelivered')
      expect(new Set(undelivered.map(({ request_id }) => request_id)).size).toBe(undelivered.length)
    },
  )
})

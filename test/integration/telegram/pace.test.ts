import { sql } from 'kysely'
import { describe, type TestContext, test } from 'vitest'
import { startTestApp } from '../../support/app.ts'
import { botOf, isCardOf, type Line, labelsOf, Scene } from './scene.ts'

/** A Telegram that refuses what comes too fast, and counts what comes before its time. */

const OPTIONS = ['🚀 Deploy', '⏸️ Hold']
const SLOW = { timeout: 90_000 }
const STRICT = {
  telegram: { enforceRates: true, waitMs: 60_000 },
  env: { MAX_CONCURRENT_REQUESTS: '2000' },
  isPaced: true,
} as const

const many = <Result>(count: number, make: (i: number) => Result): Result[] =>
  Array.from({ length: count }, (_, i) => make(i))

async function submitMany(scene: Scene, line: Line, count: number): Promise<string[]> {
  const ids: string[] = []
  while (ids.length < count) {
    const views = await Promise.all(many(10, () => scene.submit(line, { options: OPTIONS })))
    ids.push(...views.map(({ request_id }) => request_id))
  }
  return ids
}

function expectNoRefusal({ tg }: Scene, expect: TestContext['expect']): void {
  const refused = tg.calls().filter(({ error }) => error?.error_code === 429)
  expect(refused).toEqual([])
  expect(tg.violations).toEqual([])
}

describe.concurrent('inside the limits of Telegram', () => {
  test('a chat with a thousand cards delays nobody else', SLOW, async ({ expect }) => {
    await using scene = await Scene.open(STRICT)
    const busy = scene.person('Busy')
    await submitMany(scene, await scene.line(busy.id), 1_000)
    const lines = await Promise.all(many(40, (i) => scene.line(scene.person(`P${i}`).id)))
    await Promise.all(lines.map((line) => scene.ask(line, { options: OPTIONS })))
    expect(scene.tg.messages(busy.id).length).toBeLessThan(200)
    expect(scene.tg.messages(busy.id).length).toBeGreaterThan(3)
    expectNoRefusal(scene, expect)
  })

  test(
    'an agent that floods a reviewer is refused, and holds up no other one',
    SLOW,
    async ({ expect }) => {
      const { MAX_CONCURRENT_REQUESTS: _, ...env } = STRICT.env
      await using scene = await Scene.open({ ...STRICT, env })
      const ann = scene.person()
      const [flood, other] = [await scene.line(ann.id), await scene.line(ann.id)]
      const { session_id, client_id } = flood
      const body = { session_id, client_id, message: 'Please approve', options: OPTIONS }
      const answers = []
      for (let i = 0; i < 50; i++) {
        answers.push(...(await Promise.all(many(10, () => scene.app.post('/hitl/request', body)))))
      }
      const refused = answers.filter(({ status }) => status !== 200)
      expect(refused).toHaveLength(400)
      for (const { status, headers, body: problem } of refused) {
        expect([status, problem['code']]).toEqual([429, 'TOO_MANY_PENDING'])
        expect(headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
      }
      const start = performance.now()
      const asked = await scene.ask(other, { options: OPTIONS })
      const waited = performance.now() - start
      await scene.decide(ann, asked, '🚀 Deploy')
      const closed = await scene.closed(asked)
      expect(labelsOf(closed)).toEqual([])
      expect(waited).toBeLessThan(10_000)
      const cards = scene.tg.messages(ann.id).filter(({ text = '' }) => text.includes(client_id))
      expect(cards.length).toBeLessThan(60)
      expectNoRefusal(scene, expect)
    },
  )

  test('two servers keep inside them together', SLOW, async ({ expect }) => {
    await using scene = await Scene.open(STRICT)
    const env = { ...botOf(scene.tg), DATABASE_URL: scene.store.url ?? '' }
    await using _second = await startTestApp(env, { isPaced: true })
    const busy = await scene.line(scene.person('Busy').id)
    await submitMany(scene, busy, 50)
    const lines = await Promise.all(many(120, (i) => scene.line(scene.person(`P${i}`).id)))
    await Promise.all(lines.map((line) => scene.ask(line, { options: OPTIONS })))
    expectNoRefusal(scene, expect)
  })

  test('what one server is told to wait with, the other one leaves', SLOW, async ({ expect }) => {
    await using scene = await Scene.open(STRICT)
    const env = { ...botOf(scene.tg), DATABASE_URL: scene.store.url ?? '' }
    await using second = await startTestApp(env, { isPaced: true })
    const ann = scene.person()
    const line = await scene.line(ann.id)
    scene.tg.failNext('sendMessage', { mode: 'too-many-requests', retryAfter: 3 })
    const first = await scene.submit(line, { options: OPTIONS })
    // The others know once it is written down.
    const held = () =>
      sql`SELECT FROM rates WHERE at > clock_timestamp() + make_interval(secs => 5)`.execute(
        scene.store.database.db,
      )
    await expect.poll(async () => (await held()).rows.length).toBe(1)
    const { session_id, client_id } = line
    const other = await second.ask({ session_id, client_id, options: OPTIONS })
    for (const { request_id } of [first, other]) await scene.card(ann.id, request_id)
    expect(scene.tg.violations).toEqual([])
  })

  test('a burst to one chat comes whole, and so do its outcomes', SLOW, async ({ expect }) => {
    await using scene = await Scene.open(STRICT)
    const ann = scene.person()
    const line = await scene.line(ann.id)
    const ids = await submitMany(scene, line, 10)
    await Promise.all(ids.map((id) => scene.card(ann.id, id)))
    await Promise.all(ids.map((request_id) => scene.app.post('/hitl/cancel', { request_id })))
    await expect
      .poll(() => scene.tg.messages(ann.id).flatMap(labelsOf), { timeout: 60_000 })
      .toEqual([])
    expect(ids.map((id) => scene.cards(ann.id, id).length)).toEqual(ids.map(() => 1))
    expectNoRefusal(scene, expect)
  })

  test(
    'a group gets its cards, and a long question both of its messages',
    SLOW,
    async (context) => {
      const { expect } = context
      await using scene = await Scene.open(STRICT)
      const group = scene.tg.group()
      const line = await scene.line(group.id)
      const message = 'x'.repeat(5_000)
      const views = await Promise.all(many(4, () => scene.submit(line, { message })))
      await Promise.all(
        views.map(({ request_id }) => scene.tg.waitForMessage(group.id, isCardOf(request_id))),
      )
      const files = scene.tg.messages(group.id).filter(({ document }) => document !== undefined)
      expect(files).toHaveLength(4)
      expectNoRefusal(scene, expect)
    },
  )

  test('whoever writes too much is answered as far as a chat may be', SLOW, async ({ expect }) => {
    await using scene = await Scene.open(STRICT)
    const ann = scene.person()
    const acts = many(30, () => scene.tg.send({ user: ann, text: '/help' }))
    await Promise.all(acts.map(({ confirmed }) => confirmed))
    const [bob] = [scene.person('Bob')]
    scene.tg.send({ user: bob, text: '/help' })
    await scene.tg.waitForMessage(bob.id)
    await scene.tg.waitForMessage(ann.id)
    expectNoRefusal(scene, expect)
  })
})

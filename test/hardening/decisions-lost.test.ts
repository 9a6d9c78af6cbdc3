import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { Envelope } from '../../src/protocol/types.ts'
import { botOf, labelsOf } from '../integration/telegram/scene.ts'
import { startTestApp } from '../support/app.ts'
import { openWatchedScene, WatchedServer } from '../support/hardening.ts'
import { openDataDirectory } from '../support/readers/data-directory.ts'
import { startReceiver } from '../support/receiver.ts'
import { dataAt, press, stage } from '../support/telegram-attacks.ts'

/** Defects 13 to 23 of the server before this one: decisions and questions that got lost. */

const OPTIONS = ['🚀 Deploy', '⏸️ Hold']

const here = stage()
const ask = (fields: object = {}) => here().scene.ask(here().line, { options: OPTIONS, ...fields })

/** Another server on the same database, with the same bot. */
const startOther = () => {
  const { scene, server } = here()
  const env = { ...botOf(scene.tg), DATABASE_URL: scene.store.url ?? '' }
  return startTestApp(env, { logger: server.log.logger })
}

describe('defect 13: a press is confirmed to Telegram only when it is saved:', () => {
  test('while the row can not be written, it is neither confirmed nor answered', async () => {
    const { scene, server, ann } = here()
    const asked = await ask()
    const { db } = server.store.database
    let pressed: ReturnType<typeof press> | undefined
    await db.transaction().execute(async (locking) => {
      await sql`SELECT id FROM requests WHERE id = ${asked.id} FOR UPDATE`.execute(locking)
      pressed = press(here(), ann, asked, dataAt(asked))
      // The press waits for our lock by now: the database itself says so.
      await expect
        .poll(async () => {
          const { rows } = await sql<{ count: number }>`
            SELECT count(*) AS count FROM pg_locks WHERE NOT granted`.execute(db)
          return rows[0]?.count
        })
        .toBeGreaterThan(0)
      expect(pressed.update?.fate).toBe('pending')
      expect(pressed.answered).toBeUndefined()
    })
    await pressed?.answer
    await pressed?.confirmed
    expect(await scene.view(asked.id)).toMatchObject({ outcome: 'approved' })
  })

  test('what our own code fails on comes again, and the ones behind it count within seconds', async () => {
    const { scene, server, ann, eve } = here()
    const asked = await ask()
    await server.attack(
      async () => {
        const poison = press(here(), eve, asked, dataAt(asked), { from: undefined })
        const behind = press(here(), eve, asked, dataAt(asked))
        expect((await behind.answerWithin(5_000)).text).toMatch(/^You are not a reviewer/)
        await poison.confirmed
      },
      { mayComplain: true },
    )
    expect(await scene.decide(ann, asked, '⏸️ Hold')).toMatchObject({ outcome: 'rejected' })
  })
})

test('defect 14: a server that stops while ten press loses none of them', async () => {
  const { scene, server } = await openWatchedScene()
  await using _ = scene
  const ann = scene.person('Ann')
  const line = await scene.line(ann.id)
  const all = await Promise.all(
    Array.from({ length: 10 }, () => scene.ask(line, { options: OPTIONS })),
  )
  const presses = all.map((asked) => scene.press(ann, asked, '⏸️ Hold'))
  await presses[3]?.answer
  await scene.app.app.stop()
  await using next = await startTestApp(
    { ...botOf(scene.tg), DATABASE_URL: scene.store.url ?? '' },
    { logger: server.log.logger },
  )
  await Promise.all(presses.map((pressed) => pressed.confirmed))
  for (const { id } of all) {
    const { outcome, decided_by } = await next.view(id)
    expect({ outcome, by: decided_by?.id }).toEqual({ outcome: 'rejected', by: String(ann.id) })
  }
})

test('defects 15 and 16: what could not be stored is asked nobody, and asked once when it can', async () => {
  const { scene, server, ann, line } = here()
  const { db } = server.store.database
  const { session_id, client_id } = line
  const body = { session_id, client_id, message: 'Store this', idempotency_key: 'once' }
  const before = scene.tg.calls('sendMessage').length
  await sql`ALTER TABLE requests ADD CONSTRAINT full_up CHECK (message <> 'Store this')`.execute(db)
  const failed = await scene.app.post('/hitl/request', body)
  expect(failed.status).toBeGreaterThan(499)
  expect(JSON.stringify(failed.body)).not.toMatch(/full_up|constraint|insert/i)
  await sql`ALTER TABLE requests DROP CONSTRAINT full_up`.execute(db)

  const answers = await Promise.all([1, 2, 3].map(() => scene.app.post('/hitl/request', body)))
  const ids = new Set(answers.map(({ body: view }) => view.request_id))
  expect(ids.size).toBe(1)
  const [id = ''] = ids
  await scene.card(ann.id, id)
  expect(scene.tg.calls('sendMessage')).toHaveLength(before + 1)
})

test('defect 16: a card that could not be sent is sent later, once, and the agent waits for nothing', async () => {
  const { scene, ann, line } = here()
  scene.tg.failNext('sendMessage', { mode: 'error', status: 500, times: 1 })
  const key = { idempotency_key: 'sent later' }
  const view = await scene.submit(line, key)
  expect(view).toMatchObject({ status: 'pending' })
  expect((await scene.submit(line, key)).request_id).toBe(view.request_id)
  await scene.card(ann.id, view.request_id)
  expect(scene.cards(ann.id, view.request_id)).toHaveLength(1)
})

test('defects 17 and 20: with two servers a card is sent once, and whichever settles it edits it', async () => {
  const { scene, ann } = here()
  await using other = await startOther()
  const conflicts = () =>
    scene.tg.calls('getUpdates').filter(({ error }) => error?.error_code === 409)
  const before = conflicts().length
  for (const app of [scene.app, other]) {
    const asked = await ask()
    expect(scene.cards(ann.id, asked.id)).toHaveLength(1)
    await app.post('/hitl/cancel', { request_id: asked.id })
    const closed = await scene.closed(asked)
    expect(closed.text).toMatch(/^🚫 Canceled/)
    expect(labelsOf(closed)).toEqual([])
    const pressed = await ask()
    await scene.decide(ann, pressed, '🚀 Deploy')
    expect(await other.view(pressed.id)).toMatchObject({ outcome: 'approved' })
  }
  expect(conflicts()).toHaveLength(before)
})

test('defect 18: what was asked and decided is there after a restart, without any database set up', async () => {
  using directory = await openDataDirectory()
  const env = { LOOPGATE_DATA_DIR: directory.path }
  const views = await (async () => {
    await using app = await startTestApp(env)
    await app.register()
    const [open, decided] = [await app.ask({ options: OPTIONS }), await app.ask()]
    await app.decide(decided.request_id, { response: 'yes' })
    return await Promise.all([open, decided].map(({ request_id }) => app.view(request_id)))
  })()
  await using app = await startTestApp(env)
  for (const view of views) expect(await app.view(view.request_id)).toEqual(view)
  const [open] = views
  expect((await app.decide(open?.request_id ?? '', { option: '⏸️ Hold' })).status).toBe(200)
})

test('defect 19: the address for callbacks is called', async () => {
  await using receiver = await startReceiver()
  await using server = await WatchedServer.start({ CALLBACK_ALLOW_PRIVATE: 'true' })
  const { app } = server
  await app.register()
  const { request_id } = await app.ask({ options: OPTIONS, callback_url: receiver.url })
  await app.decide(request_id, { option: '🚀 Deploy' })
  const [post] = await receiver.received(1)
  const { type, data } = JSON.parse(post?.body ?? '') as Envelope
  expect({ type, outcome: data.outcome }).toEqual({ type: 'request.decided', outcome: 'approved' })
})

test('defect 21: an agent is answered at once while Telegram does not answer', async () => {
  const { scene, ann, line } = here()
  scene.tg.failNext('sendMessage', { mode: 'hang' })
  const started = Date.now()
  const view = await scene.submit(line, { options: OPTIONS })
  expect(Date.now() - started).toBeLessThan(2_000)
  expect(view).toMatchObject({ status: 'pending', delivery: [{ status: 'queued' }] })
  // Another person's card does not wait for it either.
  const bob = scene.person('Bob')
  const theirs = await scene.ask(await scene.line(bob.id), { options: OPTIONS })
  expect(await scene.decide(bob, theirs, '⏸️ Hold')).toMatchObject({ outcome: 'rejected' })
  expect(scene.cards(ann.id, view.request_id)).toEqual([])
})

test('defect 22: a row that is locked holds up who decides it, and who decides by another way goes on', async () => {
  const { scene, server, eve } = here()
  const [stuck, free] = [
    await ask(),
    await scene.ask(await scene.line(eve.id), { options: OPTIONS }),
  ]
  const { db } = server.store.database
  await db.transaction().execute(async (locking) => {
    await sql`SELECT id FROM requests WHERE id = ${stuck.id} FOR UPDATE`.execute(locking)
    const waiting = press(here(), here().ann, stuck, dataAt(stuck))
    const { status } = await scene.app.decide(free.id, { option: '⏸️ Hold' })
    expect(status).toBe(200)
    expect(waiting.answered).toBeUndefined()
  })
  expect(await scene.settled(stuck.id)).toMatchObject({ outcome: 'approved' })
})

test('defect 23: a client’s other sessions go on when one is deactivated', async () => {
  const { scene, ann } = here()
  const client_id = 'client-of-two'
  const [one, two] = [
    await scene.line(ann.id, { client_id, session_id: 'one' }),
    await scene.line(ann.id, { client_id, session_id: 'two' }),
  ].map((line, i) => ({ ...line, client_id, session_id: ['one', 'two'][i] ?? '' }))
  if (!one || !two) throw new Error('there are two')
  const open = await scene.ask(one, { options: OPTIONS })
  expect((await scene.app.post('/hitl/deactivate', { session_id: 'one' })).status).toBe(200)
  const asked = await scene.ask(two, { options: OPTIONS })
  expect(await scene.decide(ann, asked, '🚀 Deploy')).toMatchObject({ outcome: 'approved' })
  // And what was open in the one stays open.
  expect(await scene.decide(ann, open, '⏸️ Hold')).toMatchObject({ outcome: 'rejected' })
})

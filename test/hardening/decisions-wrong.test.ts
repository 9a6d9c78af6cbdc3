import { describe, expect, test } from 'vitest'
import { WatchedServer } from '../support/hardening.ts'
import { dataAt, press, said, stage } from '../support/telegram-attacks.ts'

/**
 * Defects 1 to 12 of the server before this one: decisions that nobody took. Those of labels,
 * presses and replies also have their tests beside the attacks: A14, A15, A19, A20, A25, A37.
 */

const OPTIONS = ['🚀 Deploy', '⏸️ Hold']

const here = stage()
const ask = (fields: object = {}) => here().scene.ask(here().line, fields)

describe('defect 2: a text that says no does not approve:', () => {
  test.for(['no, stop', 'no', 'Stop!', 'do not', 'nope', 'yes? no'])('%j', async (text) => {
    const { scene, ann } = here()
    const asked = await ask()
    scene.tg.reply({ user: ann, replyTo: asked.card, text })
    expect(await scene.settled(asked.id)).toMatchObject({ approved: false, response: text })
  })
})

test('defect 3: a reply to a card is found although Telegram keeps no markup in its text', async () => {
  const { scene, ann } = here()
  const asked = await ask({ request_type: 'input', message: 'Which `branch`?' })
  scene.tg.reply({ user: ann, replyTo: asked.card, text: 'main' })
  expect(await scene.settled(asked.id)).toMatchObject({ outcome: 'answered', response: 'main' })
})

test('defect 4: who writes a card to himself and answers it decides nothing', async () => {
  const { scene, server, eve } = here()
  const asked = await ask()
  const own = scene.tg.send({ user: eve, text: `Request ID: \`${asked.id}\`` })
  await said(here(), own)
  await server.attack(() =>
    said(here(), scene.tg.reply({ user: eve, replyTo: own.message, text: 'yes' })),
  )
})

test('defect 5: who knows a button and is not asked decides nothing', async () => {
  const { server, eve } = here()
  const asked = await ask({ options: OPTIONS })
  const { text } = await server.attack(() => press(here(), eve, asked, dataAt(asked)).answer)
  expect(text).toMatch(/^You are not a reviewer/)
})

test('defect 6: nobody without a key reads which questions are open', async () => {
  await using server = await WatchedServer.start(
    { AUTH: 'required' },
    // Without a console link nobody here may decide; that it serves is enough.
    { approve: async () => undefined },
  )
  await server.attack(async () => {
    for (const path of [
      '/hitl/pending',
      '/hitl/pending?session_id=s1',
      '/hitl/status?session_id=s1',
    ]) {
      expect(await server.app.get(path)).toMatchObject({ status: 401 })
    }
  })
})

describe('defects 7 and 8: what is settled stays so, whatever comes later:', () => {
  const settle = {
    decided: (id: string) => here().scene.app.decide(id, { option: '🚀 Deploy' }),
    canceled: (id: string) => here().scene.app.post('/hitl/cancel', { request_id: id }),
    expired: (id: string) => here().scene.settled(id),
  }
  test.for(['decided', 'canceled', 'expired'] as const)('what was %s', async (how) => {
    const { scene, server, ann } = here()
    const time = how === 'expired' ? { timeout_seconds: 1 } : {}
    const asked = await ask({ options: OPTIONS, ...time })
    await settle[how](asked.id)
    const before = await scene.settled(asked.id)
    expect(before.approved).toBe(before.outcome === 'approved')
    const settled = {
      status: 409,
      body: { code: 'REQUEST_ALREADY_SETTLED', request: { outcome: before.outcome } },
    }
    await server.attack(async () => {
      expect(await scene.app.decide(asked.id, { option: '⏸️ Hold' })).toMatchObject(settled)
      const { text } = await press(here(), ann, asked, dataAt(asked, 1)).answer
      expect(text).toMatch(/^Too late/)
      // The same command by the same agent is a repeat, and no other one.
      expect(await scene.app.post('/hitl/cancel', { request_id: asked.id })).toMatchObject(
        how === 'canceled' ? { status: 200 } : settled,
      )
    })
    expect(await scene.view(asked.id)).toEqual(before)
  })
})

test('defect 9: of a decision and a cancellation at once one holds, in every field: 100 rounds', async () => {
  const { scene, server } = here()
  const outcomes = new Set<string | null>()
  const { session_id, client_id } = await scene.line(undefined)
  await server.attack(
    async () => {
      for (let round = 0; round < 100; round++) {
        const { request_id } = await scene.app.ask({ session_id, client_id, options: OPTIONS })
        const acts = [
          () => scene.app.decide(request_id, { option: '🚀 Deploy', comment: 'go' }),
          () => scene.app.post('/hitl/cancel', { request_id }),
        ]
        if (round % 2) acts.reverse()
        const [first, second] = acts
        // The second starts up to three answers later, so that each of them is the faster one now and then.
        const later = async () => {
          for (let i = 0; i < round % 4; i++) await scene.app.get('/livez')
          return second?.()
        }
        const answers = await Promise.all([first?.(), later()])
        expect(answers.map((answer) => answer?.status).sort()).toEqual([200, 409])
        const view = await scene.view(request_id)
        outcomes.add(view.outcome)
        expect(view).toMatchObject(
          view.outcome === 'approved'
            ? { status: 'completed', approved: true, response: '🚀 Deploy', comment: 'go' }
            : {
                status: 'canceled',
                approved: false,
                response: null,
                comment: null,
                decided_by: null,
              },
        )
      }
    },
    { mayAdd: true },
  )
  expect([...outcomes].sort()).toEqual(['approved', 'canceled'])
})

test('defect 10: a question ends by itself, also the one that names no time', async () => {
  await using server = await WatchedServer.start({ REQUEST_TIMEOUT: '1' })
  const { app } = server
  await app.register()
  const { request_id } = await app.ask({ options: OPTIONS })
  const { body } = await app.get(`/hitl/poll?request_id=${request_id}&wait=10`)
  expect(body).toMatchObject({ status: 'timeout', outcome: 'expired', approved: false })
  expect(await app.decide(request_id, { option: '🚀 Deploy' })).toMatchObject({ status: 409 })
  expect(await app.view(request_id)).toEqual(body)
})

test('defect 11: a time below one second or beyond 30 days is refused', async () => {
  const { scene, server, line } = here()
  const { session_id, client_id } = line
  const times = ['-1', '0', '0.5', '1e12', '2592001', '"5m"', '"60"', 'null', '1e400', 'true', '[]']
  await server.attack(async () => {
    for (const time of times) {
      const body = `{"session_id":"${session_id}","client_id":"${client_id}","message":"x","timeout_seconds":${time}}`
      expect(await scene.app.post('/hitl/request', body), time).toMatchObject({
        status: 400,
        body: { errors: [{ path: '/timeout_seconds' }] },
      })
    }
  })
})

test('defect 12: an option below the first or past the last ends nothing', async () => {
  const { server, ann } = here()
  const asked = await ask({ options: OPTIONS })
  const data = dataAt(asked)
  await server.attack(async () => {
    for (const option of ['-1', '2', '99', '4294967296']) {
      const forged = data.replace(/\.0\./, `.${option}.`)
      const { text } = await press(here(), ann, asked, forged).answer
      expect(text).toMatch(/not mine/)
    }
  })
})

import { expect, test } from 'vitest'
import { openWatchedScene } from '../support/hardening.ts'

/** A41: one agent that asks without end. */

const ASKED = 500

test('A41: 500 questions at once to one reviewer are bounded, and hold up nobody else', async () => {
  // Telegram's real limits hold here: about one message a second in a chat.
  const { scene, server } = await openWatchedScene({ isPaced: true })
  await using _ = scene
  const [ann, bob] = [scene.person('Ann'), scene.person('Bob')]
  const [greedy, modest, elsewhere] = [
    await scene.line(ann.id),
    await scene.line(ann.id),
    await scene.line(bob.id),
  ]
  const { session_id, client_id } = greedy
  const answers = await server.attack(
    async () => {
      const all = await Promise.all(
        Array.from({ length: ASKED }, (_, i) =>
          scene.app.post('/hitl/request', { session_id, client_id, message: `Question ${i}` }),
        ),
      )
      const started = Date.now()
      const theirs = await scene.ask(elsewhere, { options: ['Yes', 'No'] })
      expect(await scene.decide(bob, theirs, 'No')).toMatchObject({ outcome: 'rejected' })
      const mine = await scene.ask(modest, { options: ['Yes', 'No'] })
      expect(await scene.decide(ann, mine, 'Yes')).toMatchObject({ outcome: 'approved' })
      expect(Date.now() - started).toBeLessThan(8_000)
      return all
    },
    { mayAdd: true },
  )
  const refused = answers.filter(({ status }) => status === 429)
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(100)
  expect(refused).toHaveLength(ASKED - 100)
  for (const { body, headers } of refused) {
    expect(body).toMatchObject({ code: 'TOO_MANY_PENDING' })
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
  }
  // What the reviewer got of the hundred came at Telegram's pace, and no 429 was run into.
  expect(scene.tg.messages(ann.id).length).toBeLessThan(30)
  expect(scene.tg.violations).toEqual([])
})

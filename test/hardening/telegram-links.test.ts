import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { said, stage } from '../support/telegram-attacks.ts'

/** A23: the one-time links by which a reviewer joins a session. */

const here = stage()

const DEAD = /^This link does not work/

/** A session that nobody reviews yet, and the code of its link. */
async function invitation() {
  const line = await here().scene.line(undefined)
  const code = /\?start=([\w-]+)$/.exec(line.link ?? '')?.[1] ?? ''
  here().server.keepSecret(code)
  return { line, code }
}

const start = (code: string, fields: object = {}) =>
  here().scene.tg.send({ user: here().eve, text: `/start ${code}`.trimEnd(), ...fields })

/** Nobody joins anything, and what is said to each does not tell them apart. */
async function refused(codes: readonly string[]): Promise<void> {
  const { server } = here()
  await server.attack(async () => {
    for (const code of codes) expect(await said(here(), start(code))).toMatch(DEAD)
  })
}

describe('A23: a link makes nobody a reviewer', () => {
  test('that was used, or is somebody else’s by now', async () => {
    const { scene, ann, eve } = here()
    const { line, code } = await invitation()
    const act = scene.tg.send({ user: ann, text: `/start ${code}` })
    expect(await said(here(), act)).toMatch(/^You answer for/)
    await refused([code, code])
    const asked = await scene.ask({ ...line, chat: ann.id })
    expect(scene.cards(eve.id, asked.id)).toEqual([])
  })

  test('that is more than ten minutes old', async () => {
    const { server } = here()
    const { code } = await invitation()
    const { db } = server.store.database
    await sql`UPDATE invitations SET expires_at = expires_at - interval '10 minutes'`.execute(db)
    await refused([code])
  })

  test('that nobody made', async () => {
    const { code } = await invitation()
    const other = code.at(-1) === 'A' ? 'B' : 'A'
    await refused([
      'x',
      'A'.repeat(code.length),
      'a'.repeat(64),
      'a'.repeat(65),
      'a'.repeat(4_000),
      `${code.slice(0, -1)}${other}`,
      code.slice(0, -1),
      `${code}A`,
      code.toUpperCase() === code ? code.toLowerCase() : code.toUpperCase(),
      `${code} ${code}`,
      ';DROP',
      "' OR 1=1--",
      '../../etc/passwd',
      '__proto__',
      '%00',
      '\u202e',
    ])
    // None of them spent the link.
    expect(await said(here(), start(code))).toMatch(/^You answer for/)
  })

  test('that is missing', async () => {
    const { server, eve } = here()
    const text = await server.attack(() => said(here(), start('')))
    expect(text).toMatch(new RegExp(`^Your numeric id is ${eve.id}`))
  })

  test('in a group, or that was passed on, or that a bot opens', async () => {
    const { scene, server, ann, eve } = here()
    const group = scene.tg.group({ administrators: [eve, ann], bot: 'administrator' })
    const { code } = await invitation()
    await server.attack(async () => {
      expect(await said(here(), start(code, { chat: group }))).toMatch(/in a private chat/)
      const from = { id: eve.id, is_bot: true, first_name: 'Robot' }
      const origin = { type: 'user', date: 1, sender_user: { id: 1 } }
      const acts = [start(code, { from }), start(code, { forward_origin: origin })]
      for (const act of acts) await act.confirmed
    })
    expect(await said(here(), start(code))).toMatch(/^You answer for/)
  })

  test('twice, when two open it at the same time', async () => {
    const { scene, server, ann, eve } = here()
    const { code, line } = await invitation()
    const acts = [ann, eve].map((user) => scene.tg.send({ user, text: `/start ${code}` }))
    const texts = await Promise.all(acts.map((act) => said(here(), act)))
    expect(texts.filter((text) => text.startsWith('You answer for'))).toHaveLength(1)
    expect(texts.filter((text) => DEAD.test(text))).toHaveLength(1)
    const { reviewers } = await server.store.database.db
      .selectFrom('sessions')
      .select('reviewers')
      .where('id', '=', line.session_id)
      .executeTakeFirstOrThrow()
    expect([String(ann.id), String(eve.id)]).toContain(reviewers['telegram']?.address)
  })

  test('when the agent has set the reviewer, or says so itself', async () => {
    const { scene, server, eve } = here()
    const { line, code } = await invitation()
    const { session_id, client_id } = line
    const act = scene.tg.send({ user: here().ann, text: `/start ${code}` })
    await said(here(), act)
    await server.attack(async () => {
      const body = { session_id, client_id, telegram_id: eve.id }
      expect((await scene.app.post('/hitl/register', body)).status).toBe(403)
    })
  })
})

test('A23: codes that are guessed are 128 bits, and only their digests are kept', async () => {
  const { server } = here()
  const { code } = await invitation()
  expect(Buffer.from(code, 'base64url').length * 8).toBeGreaterThanOrEqual(128)
  const rows = await server.store.database.db
    .selectFrom('invitations')
    .select('code_digest')
    .execute()
  expect(JSON.stringify(rows)).not.toContain(code)
})

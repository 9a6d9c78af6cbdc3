import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Asked,
  dataOf,
  postUpdate,
  type Somebody,
  webhookEnv,
} from '../integration/telegram/scene.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { eventually } from '../support/eventually.ts'
import { stage } from '../support/telegram-attacks.ts'

/** A17 and A18: what comes twice, or at the same time, at two servers on one database. */

const OPTIONS = ['🚀 Deploy', '⏸️ Hold']
/** A thousand is `HARDENING_ROUNDS=1000`: the whole suite takes a part of a minute. */
const ROUNDS = Number(process.env['HARDENING_ROUNDS'] ?? 100)
const AT_ONCE = 20

const here = stage(webhookStage)

async function webhookStage() {
  return { env: await webhookEnv() }
}

/** A second server, as behind a load balancer. */
let other: TestApp

beforeAll(async () => {
  const { scene, server } = here()
  const { token, apiRoot } = scene.tg
  const env = { TELEGRAM_BOT_TOKEN: token, TELEGRAM_API_ROOT: apiRoot, ...(await webhookEnv()) }
  other = await startTestApp(
    { ...env, DATABASE_URL: scene.store.url ?? '' },
    { logger: server.log.logger },
  )
})
afterAll(() => other.app.stop())

let lastUpdate = 950_000_000

function pressUpdate(from: Somebody, { card }: Asked, i: number) {
  const id = ++lastUpdate
  const query = { id: String(id), from, message: card, chat_instance: '1', data: dataOf(card)[i] }
  return { update_id: id, callback_query: query }
}

const decisions = async (asked: readonly Asked[]) => {
  const { db } = here().server.store.database
  const rows = await db
    .selectFrom('events')
    .select(['request_id', 'type'])
    .where(
      'request_id',
      'in',
      asked.map(({ id }) => id),
    )
    .execute()
  return rows.filter(({ type }) => !['request.created', 'request.delivered'].includes(type))
}

test('A17: an update that comes ten times, at two servers at once, makes one decision and one event', async () => {
  const { scene, server, ann, line } = here()
  const all = await Promise.all(
    Array.from({ length: 10 }, () => scene.ask(line, { options: OPTIONS })),
  )
  await Promise.all(
    all.map(async (asked) => {
      const update = pressUpdate(ann, asked, 0)
      const statuses = await Promise.all(
        Array.from({ length: 10 }, (_, i) => postUpdate(i % 2 ? scene : { app: other }, update)),
      )
      expect(statuses).toEqual(Array(10).fill(200))
    }),
  )
  expect(await decisions(all)).toHaveLength(10)
  for (const { id } of all) {
    expect(await scene.view(id)).toMatchObject({ outcome: 'approved' })
    expect(await other.view(id)).toEqual(await scene.view(id))
  }
  await server.expectNoSecretInLog()
  expect(server.log.mistakes()).toEqual([])
})

test(`A18: of two who press different buttons at once, at two servers, one decides and the other hears who: ${ROUNDS} rounds`, {
  timeout: 60_000,
}, async () => {
  const { scene, server, ann, eve } = here()
  const group = scene.tg.group({ members: [ann, eve] })
  const line = await scene.line(group.id, { approvers: [ann.id, eve.id] })
  const winners = { approved: 0, rejected: 0 }
  const rounds: Asked[] = []

  const round = async (number: number) => {
    const asked = await scene.ask(line, { options: OPTIONS })
    rounds.push(asked)
    const moves = [
      { app: number % 2 ? scene.app : other, update: pressUpdate(ann, asked, 0) },
      { app: number % 2 ? other : scene.app, update: pressUpdate(eve, asked, 1) },
    ]
    if (number % 4 > 1) moves.reverse()
    await Promise.all(moves.map(({ app, update }) => postUpdate({ app }, update)))
    const [view, there] = await Promise.all([scene.view(asked.id), other.view(asked.id)])
    expect(there).toEqual(view)
    const outcome = view.outcome as 'approved' | 'rejected'
    const winner = outcome === 'approved' ? ann : eve
    expect(view.decided_by).toMatchObject({ id: String(winner.id) })
    winners[outcome]++
    const loser = moves.find(({ update }) => update.callback_query.from !== winner)
    return { loser: loser?.update.callback_query.id ?? '', name: winner.first_name }
  }

  const lost = await server.attack(
    async () => {
      const told: { loser: string; name: string }[] = []
      for (let from = 0; from < ROUNDS; from += AT_ONCE) {
        const numbers = Array.from({ length: AT_ONCE }, (_, i) => from + i)
        told.push(...(await Promise.all(numbers.map(round))))
      }
      return told
    },
    { mayAdd: true },
  )
  expect(await decisions(rounds)).toHaveLength(ROUNDS)
  expect(winners.approved + winners.rejected).toBe(ROUNDS)
  // It is a race: neither the first server nor the first button wins it always.
  expect(Math.min(winners.approved, winners.rejected)).toBeGreaterThan(ROUNDS / 20)
  const answers = () =>
    new Map(
      scene.tg
        .calls('answerCallbackQuery')
        .map(({ params }) => [params['callback_query_id'], String(params['text'])]),
    )
  await eventually(() => lost.filter(({ loser }) => !answers().has(loser)).length).toBe(0)
  const heard = answers()
  for (const { loser, name } of lost) {
    expect(heard.get(loser)).toMatch(new RegExp(`^Too late.*by ${name}`))
  }
})

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RequestView } from '../../src/protocol/types.ts'
import { isCardOf, type Scene, type Somebody } from '../integration/telegram/scene.ts'
import { type Account, type MadeKey, makeKey, openAccount } from '../support/accounts.ts'
import { openWatchedScene, type WatchedServer } from '../support/hardening.ts'
import { emit, openSocketIo } from '../support/readers/socketio.ts'
import { FrameSocket } from '../support/readers/websocket.ts'

/** A13 and defect 26: an agent does not choose who decides on what it asks. */

interface Place {
  readonly scene: Scene
  readonly server: WatchedServer
  readonly ann: Somebody
  readonly eve: Somebody
  /** A group of both, in which Ann alone is an approver. */
  readonly group: number
  readonly owner: Account
  readonly agent: MadeKey
}

let opened: Place | undefined
const here = (): Place => {
  if (!opened) throw new Error('the place is not open')
  return opened
}

const NAMES = { client_id: 'agent' }
const SESSIONS = { private: 'in-private', group: 'in-group', nowhere: 'nowhere-yet' }

beforeAll(async () => {
  const { scene, server } = await openWatchedScene()
  const [ann, eve] = [scene.person('Ann'), scene.person('Eve')]
  const { id: group } = scene.tg.group({ members: [ann, eve], administrators: [eve] })
  const owner = await openAccount(scene.app)
  const agent = await makeKey(scene.app, owner)
  server.keepSecret(agent.key, owner.token)
  opened = { scene, server, ann, eve, group, owner, agent }
  expect(await register(SESSIONS.private, { telegram_id: ann.id })).toBe(200)
  expect(await register(SESSIONS.group, { telegram_id: group, approvers: [ann.id] })).toBe(200)
  expect(await register(SESSIONS.nowhere, {})).toBe(200)
})
afterAll(() => opened?.scene[Symbol.asyncDispose]())

async function register(
  session_id: string,
  fields: object,
  { headers }: { headers: Record<string, string> } = here().agent,
): Promise<number> {
  const { app } = here().scene
  const body = { ...NAMES, session_id, ...fields }
  const answers = [
    await app.post<object>('/hitl/register', body, headers),
    await app.post<object>('/sessions/register', body, headers),
  ]
  expect(answers[1]?.status).toBe(answers[0]?.status)
  return answers[0]?.status ?? 0
}

/** What an agent would name instead. */
const OTHERS: readonly (readonly [string, keyof typeof SESSIONS, (place: Place) => object])[] = [
  ['another person', 'private', ({ eve }) => ({ telegram_id: eve.id })],
  ['a group', 'private', ({ group }) => ({ telegram_id: group })],
  [
    'a group and its approvers',
    'private',
    ({ group, eve }) => ({
      ...{ telegram_id: group, approvers: [eve.id] },
    }),
  ],
  ['approvers alone', 'private', ({ eve }) => ({ approvers: [eve.id] })],
  [
    'one more approver',
    'group',
    ({ group, ann, eve }) => ({
      ...{ telegram_id: group, approvers: [ann.id, eve.id] },
    }),
  ],
  ['another approver', 'group', ({ group, eve }) => ({ telegram_id: group, approvers: [eve.id] })],
  ['another approver, without the group', 'group', ({ eve }) => ({ approvers: [eve.id] })],
  [
    'another group',
    'group',
    ({ group, ann }) => ({
      ...{ telegram_id: group - 1, approvers: [ann.id] },
    }),
  ],
  ['the approver’s own chat', 'group', ({ ann }) => ({ telegram_id: ann.id })],
  ['a person, where there was nobody', 'nowhere', ({ eve }) => ({ telegram_id: eve.id })],
  ['approvers, where there was nobody', 'nowhere', ({ eve }) => ({ approvers: [eve.id] })],
]

describe('A13: an agent that registers its session again is 403', () => {
  test.for(OTHERS)('with %s', ([, name, make]) =>
    here().server.attack(async () => {
      expect(await register(SESSIONS[name], make(here()))).toBe(403)
    }),
  )

  test.for(OTHERS)('with %s, after it was deactivated', async ([, name, make]) => {
    const { scene, server, agent } = here()
    const session_id = SESSIONS[name]
    await scene.app.post('/hitl/deactivate', { session_id }, agent.headers)
    await server.attack(async () => {
      expect(await register(session_id, make(here()))).toBe(403)
    })
    expect(await register(session_id, {})).toBe(200)
  })

  test('and with a client_id that is not the session’s', () =>
    here().server.attack(async () => {
      for (const fields of [{}, { telegram_id: here().eve.id }]) {
        expect(await register(SESSIONS.private, { client_id: 'other', ...fields })).toBe(403)
      }
    }))
})

test('A13: leaving out who approves does not open the group to its administrators', () =>
  here().server.attack(async () => {
    const { group } = here()
    for (const fields of [{ telegram_id: group }, { telegram_id: group, approvers: [] }, {}]) {
      expect([200, 403]).toContain(await register(SESSIONS.group, fields))
    }
  }))

test('A13: a key made with may_register: false names nobody at all', () =>
  here().server.attack(async () => {
    const { scene, server, owner, eve } = here()
    const narrow = await makeKey(scene.app, owner, { may_register: false })
    server.keepSecret(narrow.key)
    expect(await register('a-new-one', { telegram_id: eve.id }, narrow)).toBe(403)
    expect(await register(SESSIONS.private, {}, narrow)).toBe(403)
  }))

test('A13: a question names nobody who is asked, on any transport', async () => {
  const { scene, server, agent, ann, eve, group } = here()
  const reviewers = { telegram: { address: String(eve.id), approvers: [String(eve.id)] } }
  const names = { telegram_id: eve.id, approvers: [eve.id], chat_id: group, reviewers }
  const body = {
    ...{ ...NAMES, session_id: SESSIONS.private, message: `Ask ${eve.id}: may I?` },
    ...{ ...names, metadata: names },
  }
  const asked: string[] = []
  await server.attack(
    async () => {
      const { app } = scene
      asked.push((await app.post('/hitl/request', body, agent.headers)).body.request_id)
      await using socket = await FrameSocket.open(app.url, { headers: agent.headers })
      socket.send({ type: 'request', id: 1, body, ...names })
      asked.push(String((await socket.answer(1)).body?.['request_id']))
      const client = await openSocketIo(app.url, { auth: { token: agent.key } })
      asked.push(String((await emit(client, 'request', body))['request_id']))
      // Nor is there a way to change a session by a socket.
      socket.send({ type: 'register', id: 2, session_id: SESSIONS.private, ...names })
      expect(await socket.answer(2)).toMatchObject({ type: 'error', code: 'INVALID_INPUT' })
      client.emit('register', { ...NAMES, session_id: SESSIONS.private, ...names })
      expect(await emit(client, 'subscribe', { session_id: SESSIONS.private })).toMatchObject({
        ok: true,
      })
      client.disconnect()
      for (const id of asked) await scene.card(ann.id, id)
    },
    { mayAdd: true },
  )
  expect(new Set(asked).size).toBe(3)
  for (const chat of [eve.id, group]) {
    expect(asked.filter((id) => scene.cards(chat, id).length > 0)).toEqual([])
  }
})

describe('defect 26: another tenant that registers the same client', () => {
  test('is asked nothing of it, whichever session it names', async () => {
    const { scene, server, ann, eve, agent } = here()
    const thief = await makeKey(scene.app, await openAccount(scene.app))
    server.keepSecret(thief.key)
    const view = await server.attack(
      async () => {
        // The Go server took whichever session of the client came first by its id, or last by time.
        for (const session_id of ['0', SESSIONS.private, 'zzz']) {
          expect(await register(session_id, { telegram_id: eve.id }, thief)).toBe(200)
        }
        const body = { ...NAMES, session_id: SESSIONS.private, message: 'Whose is this?' }
        const { body: asked } = await scene.app.post('/hitl/request', body, agent.headers)
        await scene.card(ann.id, asked.request_id)
        return asked
      },
      { mayAdd: true },
    )
    expect(scene.cards(eve.id, view.request_id)).toEqual([])
    // A card of its own agent comes to the thief, and shows that one would have come.
    const own = { ...NAMES, session_id: SESSIONS.private, message: 'Mine?' }
    const { body: mine } = await scene.app.post('/hitl/request', own, thief.headers)
    expect(await scene.card(eve.id, mine.request_id)).toMatchObject({ chat: { id: eve.id } })
    expect(scene.tg.messages(ann.id).filter(isCardOf(mine.request_id))).toEqual([])
  })
})

test('a person of the tenant does change them, and another tenant’s person does not', async () => {
  const { scene, owner, eve, agent } = here()
  const { app } = scene
  const body = { ...NAMES, session_id: SESSIONS.nowhere, telegram_id: eve.id }
  const stranger = await openAccount(app)
  await here().server.attack(() => app.post('/hitl/register', body, stranger.headers), {
    mayAdd: true,
  })
  const path = `/hitl/status?session_id=${SESSIONS.nowhere}`
  const status = async () =>
    (await app.get<RequestView & { telegram_id: number | null }>(path, agent.headers)).body
      .telegram_id
  expect(await status()).toBeNull()
  expect((await app.post('/hitl/register', body, owner.headers)).status).toBe(200)
  expect(await status()).toBe(eve.id)
})

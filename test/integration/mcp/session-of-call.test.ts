import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClientOptions } from '../../support/readers/mcp.ts'
import { serve } from '../../support/readers/server.ts'
import { Scene } from '../telegram/scene.ts'
import { errorOf, NOW, Seat, viewOf } from './seat.ts'

/** Which of a tenant's sessions a call is for. Every test has a tenant of its own. */

const app = serve('pglite')

const QUESTION = { message: 'Deploy?', ...NOW }

async function ask(seat: Seat, input: object = {}, options: ClientOptions = {}) {
  await using client = await seat.client(options)
  return await client.tool('request_human_input', { ...QUESTION, ...input })
}

async function seatWith(...sessions: readonly string[]): Promise<Seat> {
  const seat = await Seat.open(app())
  for (const id of sessions) await seat.register(id, { client_id: `client of ${id}` })
  return seat
}

describe('a call is for', () => {
  test('the session that it names, and nothing else', async () => {
    const seat = await seatWith('one', 'two')
    const asked = viewOf(await ask(seat, { session_id: 'two' }, { query: '?session_id=one' }))
    expect(asked).toMatchObject({ session_id: 'two', client_id: 'client of two' })
    expect(errorOf(await ask(seat, { session_id: 'three' }))).toMatch(/^SESSION_NOT_FOUND: /)
  })

  test('the session of the address, by every revision', async () => {
    const seat = await seatWith('one', 'two')
    const query = '?session_id=two'
    const clients = [await seat.client({ query }), seat.modern({ query }), seat.bare({ query })]
    for (const client of clients) {
      const asked = viewOf(await client.tool('request_human_input', QUESTION))
      expect(asked.session_id).toBe('two')
    }
    const nowhere = await ask(seat, {}, { query: '?session_id=three' })
    expect(errorOf(nowhere)).toMatch(/^SESSION_NOT_FOUND: /)
  })

  test('the only session that is active', async () => {
    const seat = await seatWith('one', 'two')
    await seat.deactivate('one')
    expect(viewOf(await ask(seat)).session_id).toBe('two')
    expect(viewOf(await ask(seat)).client_id).toBe('client of two')
  })

  test('one of our own, made when there is none, and found again', async () => {
    const seat = await seatWith()
    const asked = viewOf(await ask(seat))
    expect(asked).toMatchObject({ session_id: 'mcp', client_id: 'mcp' })
    expect(viewOf(await ask(seat)).session_id).toBe('mcp')
    await seat.deactivate('mcp')
    expect(viewOf(await ask(seat)).session_id).toBe('mcp')
  })

  test('none, when there are several: the error names them', async () => {
    const seat = await seatWith('one', 'it\'s "two"')
    const said = errorOf(await ask(seat))
    expect(said).toMatch(/^INVALID_INPUT: \/session_id: /)
    expect(said).toContain('"one", "it\'s \\"two\\""')
    expect(await seat.pending()).toEqual([])
  })

  test('none of many: the error names the twenty oldest, and says that there are more', async () => {
    const names = Array.from({ length: 22 }, (_, i) => `s${i}.`)
    const said = errorOf(await ask(await seatWith(...names)))
    expect(names.filter((name) => said.includes(JSON.stringify(name)))).toEqual(names.slice(0, 20))
    expect(said).toMatch(/, …/)
  })

  test('none that is not active, when it is named', async () => {
    const seat = await seatWith('one')
    await seat.deactivate('one')
    expect(errorOf(await ask(seat, { session_id: 'one' }))).toMatch(/^SESSION_INACTIVE: /)
  })

  test('none, with the client_id of another', async () => {
    const seat = await seatWith('one')
    expect(errorOf(await ask(seat, { client_id: 'mine' }))).toMatch(/^FORBIDDEN: /)
    expect(viewOf(await ask(seat, { client_id: 'client of one' })).client_id).toBe('client of one')
  })

  test('none, with a key that may make none; but for one that is there', async () => {
    const seat = await Seat.open(app(), { may_register: false })
    const said = errorOf(await ask(seat))
    expect(said).toBe('FORBIDDEN: this key may not register sessions.')
    await seat.register('one', {}, seat.account.headers)
    expect(viewOf(await ask(seat)).session_id).toBe('one')
  })

  test.each(['?session_id=', '?session_id=a&session_id=b', '?session_id=%00'])(
    'nobody, with the address %s',
    async (query) => {
      const seat = await seatWith('one')
      await expect(seat.client({ query })).rejects.toMatchObject({ status: 400 })
    },
  )

  test('the session of the approval, the permission and the callback by the same rule', async () => {
    const seat = await seatWith('one', 'two')
    const client = await seat.client()
    const approval = { action_description: 'Deploy', action_details: '' }
    expect(errorOf(await client.tool('request_approval', approval))).toContain('"one", "two"')
    const callback = await client.tool('register_callback', { url: 'https://example.com/hook' })
    expect(errorOf(callback)).toContain('"one", "two"')
    const permission = await client.tool('permission_prompt', { tool_name: 'Bash', input: {} })
    const verdict = JSON.parse(permission.content[0]?.text ?? '')
    expect(verdict).toMatchObject({ behavior: 'deny', message: expect.stringContaining('"two"') })
  })
})

describe('with Telegram on', () => {
  let scene: Scene
  beforeAll(async () => {
    scene = await Scene.open({ database: 'memory', env: { REGISTRATION: 'open' } })
  }, 30_000)
  afterAll(() => scene[Symbol.asyncDispose]())

  test('the first call makes a session, gives its link, and asks whoever joins by it', async () => {
    const seat = await Seat.open(scene.app)
    const asked = viewOf(await ask(seat))
    const [link = ''] = /https:\/\/t\.me\/\S+/.exec(asked.next_step) ?? []
    expect(asked.next_step).toContain(`give the user this link`)
    const [, code = ''] = /start=([\w-]+)/.exec(link) ?? []
    const ann = scene.person('Ann')
    scene.tg.send({ user: ann, text: `/start ${code}` })
    const card = await scene.card(ann.id, asked.request_id)
    expect(card.text).toContain('Deploy?')
    // Somebody answers for it now: there is nothing to join.
    expect(viewOf(await ask(seat)).next_step).not.toContain('t.me')
  })

  test('a client that takes tasks is given the link instead of one, as long as nobody has joined', async () => {
    const seat = await Seat.open(scene.app)
    const extensions = { 'io.modelcontextprotocol/tasks': {} }
    const client = seat.modern({ capabilities: { extensions } })
    const asked = viewOf(await client.tool('request_human_input', { message: 'Deploy?' }))
    expect(asked.next_step).toMatch(/give the user this link, .+: https:\/\/t\.me\//)
    const [, code = ''] = /start=([\w-]+)/.exec(asked.next_step) ?? []
    const ann = scene.person('Ann')
    scene.tg.send({ user: ann, text: `/start ${code}` })
    await scene.card(ann.id, asked.request_id)
    const next = client.call('request_human_input', { message: 'And now?' })
    expect(await next.answer()).toMatchObject({ resultType: 'task', status: 'working' })
  })

  test('a question that could not be brought to anybody says so, and why', async () => {
    const seat = await Seat.open(scene.app)
    await seat.register('blocked', { telegram_id: scene.stranger('Ben').id })
    const { request_id } = viewOf(await ask(seat))
    await expect
      .poll(async () => (await seat.view({ request_id })).delivery[0]?.status)
      .toBe('failed')
    await using client = await seat.client()
    const { next_step } = viewOf(await client.tool('check_request_status', { request_id }))
    expect(next_step).toMatch(/Nobody was told of it \(telegram: .+\): tell the user/)
  })
})

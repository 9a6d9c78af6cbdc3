import { describe, expect, test } from 'vitest'
import { Line } from '../../support/readers/line.ts'
import { personOf, serve } from '../../support/readers/server.ts'

const app = serve('postgres')
let count = 0
const fresh = () => `register-${count++}`

const register = (body: object, headers?: Record<string, string>, path = '/hitl/register') =>
  app().post<Record<string, unknown>>(path, { client_id: 'c1', ...body }, headers)

const isActive = async (session_id: string): Promise<boolean> =>
  (await app().get<{ active: boolean }>(`/hitl/status?session_id=${session_id}`)).body.active

const forbidden = { status: 403, body: { code: 'FORBIDDEN' } }
const bearer = async (tenant: string) => ({
  authorization: `Bearer ${await personOf(app(), tenant)}`,
})

test.each(['/hitl/register', '/sessions/register'])(
  '%s makes a session and says what an agent needs to know',
  async (path) => {
    const session_id = fresh()
    const { status, body } = await register({ session_id }, {}, path)
    expect(status).toBe(200)
    expect(body).toEqual({
      success: true,
      session_id,
      message: 'Session registered successfully',
      webhook_secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{32,}=*$/),
      link_url: null,
    })
    expect((await register({ session_id })).body).toEqual(body)
  },
)

test('two sessions have two secrets', async () => {
  const secrets = await Promise.all(
    [fresh(), fresh()].map(
      async (session_id) => (await register({ session_id })).body['webhook_secret'],
    ),
  )
  expect(new Set(secrets).size).toBe(2)
})

test('twenty registrations of one session at once make one session', async () => {
  const session_id = fresh()
  const answers = await Promise.all(Array.from({ length: 20 }, () => register({ session_id })))
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
  expect(new Set(answers.map(({ body }) => body['webhook_secret'])).size).toBe(1)
})

test('another client_id than that of the session is 403', async () => {
  const session_id = fresh()
  await register({ session_id })
  expect(await register({ session_id, client_id: 'other' })).toMatchObject(forbidden)
})

test('another tenant has its own session of the same id, with its own client', async () => {
  const session_id = fresh()
  await register({ session_id })
  const theirs = await register({ session_id, client_id: 'other' }, await bearer('elsewhere'))
  expect(theirs.status).toBe(200)
  expect((await register({ session_id })).status).toBe(200)
})

describe('the reviewers of a session', () => {
  test('are the same when they are named again or left out', async () => {
    const session_id = fresh()
    const named = { session_id, telegram_id: -100, approvers: [7, 8] }
    expect((await register(named)).status).toBe(200)
    expect((await register(named)).status).toBe(200)
    expect((await register({ ...named, approvers: [8, 7, 7] })).status).toBe(200)
    expect((await register({ session_id })).status).toBe(200)
    const { body } = await app().get<object>(`/hitl/status?session_id=${session_id}`)
    expect(body).toMatchObject({ telegram_id: -100 })
  })

  test.each([
    ['another user', { telegram_id: 42 }, { telegram_id: 43 }],
    ['a group instead of a user', { telegram_id: 42 }, { telegram_id: -42 }],
    ['a user where there was none', {}, { telegram_id: 42 }],
    ['approvers where there were none', { telegram_id: -1 }, { telegram_id: -1, approvers: [9] }],
    ['more approvers', { telegram_id: -1, approvers: [9] }, { telegram_id: -1, approvers: [9, 8] }],
    [
      'fewer approvers',
      { telegram_id: -1, approvers: [9, 8] },
      { telegram_id: -1, approvers: [9] },
    ],
    ['no approvers any more', { telegram_id: -1, approvers: [9] }, { telegram_id: -1 }],
    ['approvers alone', { telegram_id: -1 }, { approvers: [9] }],
  ])('are not changed by an agent to %s, not even after deactivation', async (_, made, wanted) => {
    const session_id = fresh()
    await register({ session_id, ...made })
    expect(await register({ session_id, ...wanted })).toMatchObject(forbidden)
    await app().post('/hitl/deactivate', { session_id })
    expect(await register({ session_id, ...wanted })).toMatchObject(forbidden)
    expect((await register({ session_id, ...made })).status).toBe(200)
  })

  test('are changed by a person of the tenant', async () => {
    const session_id = fresh()
    await register({ session_id, telegram_id: 42 })
    const person = await bearer('local')
    expect((await register({ session_id, telegram_id: 43 }, person)).status).toBe(200)
    const { body } = await app().get<object>(`/hitl/status?session_id=${session_id}`)
    expect(body).toMatchObject({ telegram_id: 43 })
    expect(await register({ session_id, telegram_id: 42 })).toMatchObject(forbidden)
  })
})

test('a registration that is refused changes nothing: the session stays inactive', async () => {
  const session_id = fresh()
  await register({ session_id, telegram_id: 42 })
  await app().post('/hitl/deactivate', { session_id })
  expect(await register({ session_id, telegram_id: 43 })).toMatchObject(forbidden)
  expect(await isActive(session_id)).toBe(false)
  expect(await register({ session_id, client_id: 'other' })).toMatchObject(forbidden)
  expect(await isActive(session_id)).toBe(false)
})

test('registering again reactivates', async () => {
  const line = await Line.open(app())
  await app().post('/hitl/deactivate', line.target)
  expect(await isActive(line.id)).toBe(false)
  await register({ session_id: line.id, client_id: line.clientId })
  expect(await isActive(line.id)).toBe(true)
  expect((await line.settled()).outcome).toBe('approved')
})

describe('what is wrong is 400 with its place', () => {
  test.each([
    ['no session_id', { session_id: undefined }, '/session_id'],
    ['an empty session_id', { session_id: '' }, '/session_id'],
    ['a blank session_id', { session_id: ' \t ' }, '/session_id'],
    ['a session_id of 201 characters', { session_id: 'x'.repeat(201) }, '/session_id'],
    ['a session_id with a line break', { session_id: 'a\nb' }, '/session_id'],
    ['a session_id with NUL', { session_id: 'a\0b' }, '/session_id'],
    ['a session_id with half a character', { session_id: 'a\ud800' }, '/session_id'],
    ['a session_id with something invisible', { session_id: 'a\u200bb' }, '/session_id'],
    ['a session_id that is a number', { session_id: 7 }, '/session_id'],
    ['a session_id that is null', { session_id: null }, '/session_id'],
    ['no client_id', { client_id: undefined }, '/client_id'],
    ['a client_id of 201 characters', { client_id: '😀'.repeat(201) }, '/client_id'],
    ['a telegram_id of 0', { telegram_id: 0 }, '/telegram_id'],
    ['a telegram_id of 1.5', { telegram_id: 1.5 }, '/telegram_id'],
    ['a telegram_id that is text', { telegram_id: '42' }, '/telegram_id'],
    ['a telegram_id that is null', { telegram_id: null }, '/telegram_id'],
    ['a telegram_id beyond safe integers', { telegram_id: 2 ** 53 }, '/telegram_id'],
    ['approvers that are no list', { approvers: 7 }, '/approvers'],
    ['approvers that are null', { approvers: null }, '/approvers'],
    ['an approver that is text', { approvers: ['7'] }, '/approvers/0'],
    ['an approver that is a group', { approvers: [7, -7] }, '/approvers/1'],
    ['another approver than the user', { telegram_id: 7, approvers: [8] }, '/approvers'],
  ])('%s', async (_, fields, path) => {
    const { status, body } = await register({ session_id: fresh(), ...fields })
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'INVALID_INPUT' })
    expect(body.errors?.map((error) => error.path)).toContain(path)
  })

  test('and what is just right is taken', async () => {
    const long = '😀'.repeat(180) + fresh()
    expect((await register({ session_id: long, client_id: 'é'.repeat(200) })).status).toBe(200)
    const odd = `a/b?c&d=e%20 ${fresh()} "'<>\\`
    expect((await register({ session_id: odd, telegram_id: 7, approvers: [7] })).status).toBe(200)
    const { body } = await app().get<object>(`/hitl/status?session_id=${encodeURIComponent(odd)}`)
    expect(body).toMatchObject({ id: odd, telegram_id: 7 })
  })
})

import { describe, expect, test } from 'vitest'
import { aName, login, openAccount, PASSWORD, postKey, register } from '../../support/accounts.ts'
import { openServer, serve } from '../../support/readers/server.ts'

const app = serve('postgres')

describe('registering', () => {
  test('answers 201 with the id, which is that of the login', async () => {
    const name = aName()
    const made = await register(app(), name)
    expect(made.status).toBe(201)
    expect(made.body).toEqual({
      message: 'User registered successfully',
      user_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    })
    const { status, body } = await login(app(), name)
    expect(status).toBe(200)
    expect(body).toEqual({
      token: expect.any(String),
      user_id: made.body.user_id,
      username: name,
    })
  })

  test.each([
    ['in capitals', (name: string) => name.toUpperCase()],
    ['in full width', (name: string) => name.replace('user', 'ｕｓｅｒ')],
    ['as it is', (name: string) => name],
  ])('a name that is taken, %s, is 409', async (_, change) => {
    const name = aName()
    await register(app(), name)
    const taken = await register(app(), change(name))
    expect(taken).toMatchObject({ status: 409, body: { code: 'USERNAME_TAKEN' } })
    expect((await login(app(), change(name))).status).toBe(200)
  })

  test('of twenty at once with one name, one is the user', async () => {
    const name = aName()
    const made = await Promise.all(Array.from({ length: 20 }, () => register(app(), name)))
    expect(made.map(({ status }) => status).sort()).toEqual([201, ...Array(19).fill(409)])
  })

  test.each([
    ...['', ' ', ' ann', 'ann ', 'a  b', 'a\u0000b', 'a\u200bb', 'a\u202eb', 'a\nb', '\ud800'],
    ...['x'.repeat(101), 7, null, {}, undefined],
  ])('the name %j is 400', async (name) => {
    expect(await register(app(), name)).toMatchObject({
      status: 400,
      body: { code: 'INVALID_INPUT', errors: [{ path: '/username' }] },
    })
  })
})

describe('a password', () => {
  const over = '🔑'.repeat(401)
  test.each([
    ...['', '1234567', 'x'.repeat(401), over, 'x'.repeat(10_000)],
    ...['12345678\u0000', '1234567\ud800', 12345678, null, undefined],
  ])('%# is weak or none: 400', async (password) => {
    expect(await register(app(), aName(), password === undefined ? {} : password)).toMatchObject({
      status: 400,
      body: { code: 'INVALID_INPUT', errors: [{ path: '/password' }] },
    })
  })

  test.each([
    '12345678',
    'x'.repeat(72),
    'x'.repeat(73),
    'x'.repeat(400),
    '🔑'.repeat(400),
    ' leading and trailing ',
    'пароль и ещё',
  ])('%# holds, and nothing shorter or longer by one does', async (password) => {
    const name = aName()
    expect((await register(app(), name, password)).status).toBe(201)
    expect((await login(app(), name, password)).status).toBe(200)
    expect((await login(app(), name, [...password].slice(0, -1).join(''))).status).toBe(401)
    expect((await login(app(), name, `${password}x`)).status).toBe(401)
  })

  test('is the same however its letters are composed, and whichever blank is in it', async () => {
    const name = aName()
    await register(app(), name, 'cafe\u0301 au lait')
    expect((await login(app(), name, 'caf\u00e9\u00a0au\u3000lait')).status).toBe(200)
    // Not so for what is another letter to a person: RFC 8265 keeps case and width.
    expect((await login(app(), name, 'CAFÉ AU LAIT')).status).toBe(401)
  })

  test('that is the name itself is 400', async () => {
    const name = aName()
    expect((await register(app(), name, name.toUpperCase())).status).toBe(400)
  })
})

describe('a login', () => {
  test('says the same of a wrong password and of nobody', async () => {
    const { username } = await openAccount(app())
    const wrong = await login(app(), username, 'wrong password')
    const nobody = await login(app(), aName(), 'wrong password')
    const odd = await login(app(), '\u200b', 'wrong password')
    expect(wrong).toMatchObject({ status: 401, body: { code: 'UNAUTHORIZED' } })
    expect(nobody.body).toEqual(wrong.body)
    expect(odd.body).toEqual(wrong.body)
  })

  test.each([
    {},
    { username: 'ann' },
    { password: PASSWORD },
    { username: 1, password: PASSWORD },
    [],
    'x',
  ])('without its fields is 400: %j', async (body) => {
    expect((await app().post('/api/auth/login', body)).status).toBe(400)
  })

  test('takes as long for nobody as for a user', async () => {
    const { username } = await openAccount(app())
    const timed = async (name: string) => {
      const began = performance.now()
      await login(app(), name, 'wrong password')
      return performance.now() - began
    }
    const known: number[] = []
    const unknown: number[] = []
    for (let i = 0; i < 8; i++) {
      known.push(await timed(username))
      unknown.push(await timed(aName()))
    }
    // Hashing takes tens of milliseconds; without it an answer takes two.
    expect(Math.min(...unknown)).toBeGreaterThan(Math.min(...known) / 2)
  })

  test('W2: of a user is a tenant of its own, and never `local`', async () => {
    const ann = await openAccount(app())
    const bob = await openAccount(app())
    const session = { session_id: 'own', client_id: 'c' }
    await app().post('/hitl/register', session, ann.headers)
    const status = '/hitl/status?session_id=own'
    expect((await app().get(status, ann.headers)).status).toBe(200)
    expect((await app().get(status, bob.headers)).status).toBe(404)
    expect((await app().get(status)).status).toBe(404)
  })
})

describe('REGISTRATION', () => {
  test('first: of twenty at once one gets in, and then nobody', async () => {
    await using server = await openServer('postgres', { REGISTRATION: 'first' })
    const made = await Promise.all(
      Array.from({ length: 20 }, (_, i) => register(server.app, `user-${i}`)),
    )
    expect(made.map(({ status }) => status).sort()).toEqual([201, ...Array(19).fill(403)])
    expect(await register(server.app, 'late')).toMatchObject({
      status: 403,
      body: { code: 'FORBIDDEN' },
    })
  })

  test('closed: nobody', async () => {
    await using server = await openServer('pglite', { REGISTRATION: 'closed' })
    expect((await register(server.app, 'first')).status).toBe(403)
  })

  test('is first where AUTH is required, and open in local mode', async () => {
    await using required = await openServer('pglite', { AUTH: 'required', REGISTRATION: '' })
    expect((await register(required.app, 'ann')).status).toBe(201)
    expect((await register(required.app, 'bob')).status).toBe(403)
    await using local = await openServer('pglite', { REGISTRATION: '' })
    expect((await register(local.app, 'ann')).status).toBe(201)
    expect((await register(local.app, 'bob')).status).toBe(201)
  })
})

test('the person of this machine is no user, and has no keys', async () => {
  expect((await postKey(app(), await app().person())).status).toBe(403)
  expect((await postKey(app(), {})).status).toBe(403)
})

import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { openDatabase } from '../../../src/storage/database.ts'
import {
  bearer,
  listKeys,
  login,
  makeKey,
  openAccount,
  postKey,
  revokeKey,
} from '../../support/accounts.ts'
import { eventually } from '../../support/eventually.ts'
import { openServer, serve, startOn } from '../../support/readers/server.ts'

const app = serve('postgres')

describe('a key', () => {
  test('is made, listed and revoked, in the words of the contract', async () => {
    const ann = await openAccount(app())
    const { status, body } = await postKey(app(), ann.headers, { label: 'deploy-bot' })
    expect(status).toBe(201)
    expect(body).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      raw_key: expect.stringMatching(/^lk_pub_[0-9a-f]{64}$/),
      label: 'deploy-bot',
      prefix: 'lk_pub_',
      expires_at: null,
      created_at: expect.stringMatching(/^\d{4}-.*Z$/),
    })
    const { raw_key: _, ...known } = body
    expect(await listKeys(app(), ann)).toEqual([{ ...known, last_used_at: null, is_active: true }])
    expect(await revokeKey(app(), ann, body.id)).toEqual({
      status: 200,
      body: { message: 'API key revoked successfully' },
    })
    expect(await listKeys(app(), ann)).toMatchObject([{ id: body.id, is_active: false }])
    expect((await revokeKey(app(), ann, body.id)).status).toBe(200)
  })

  test('W3: lets an agent in by either header, until it is revoked, and not a call longer', async () => {
    const ann = await openAccount(app())
    const { id, key } = await makeKey(app(), ann)
    for (const headers of [bearer(key), { 'x-api-key': key }]) {
      expect((await app().get('/hitl/pending', headers)).status).toBe(200)
    }
    await revokeKey(app(), ann, id)
    for (const headers of [bearer(key), { 'x-api-key': key }]) {
      expect(await app().get('/hitl/pending', headers)).toMatchObject({
        status: 401,
        body: { code: 'UNAUTHORIZED' },
      })
    }
  })

  test('that is not quite the key is none', async () => {
    const { key } = await makeKey(app(), await openAccount(app()))
    const last = key.endsWith('0') ? '1' : '0'
    const wrong = [
      ...[key.slice(0, -1), `${key}0`, key.toUpperCase(), key.slice(7), `x${key.slice(1)}`],
      ...[key.slice(0, -1) + last, `lk_pub_${'0'.repeat(64)}`, ` ${key} ${key}`, 'lk_pub_'],
    ]
    for (const text of wrong) {
      expect(await app().get('/hitl/pending', { 'x-api-key': text })).toMatchObject({
        status: 401,
        body: {
          detail: expect.stringMatching(/wrong, expired or revoked; .*makes keys with POST/),
        },
      })
    }
  })

  test('W1: asks and reads, and can neither decide, nor make keys, nor see or revoke them', async () => {
    const ann = await openAccount(app())
    const { id, headers } = await makeKey(app(), ann)
    await app().post('/hitl/register', { session_id: 's', client_id: 'c' }, headers)
    const body = { session_id: 's', client_id: 'c', message: 'Deploy?', options: ['Yes', 'No'] }
    const { request_id } = (await app().post('/hitl/request', body, headers)).body
    const decision = `/api/requests/${request_id}/decision`
    const forbidden = { status: 403, body: { code: 'FORBIDDEN' } }
    expect(await app().post(decision, { option: 'Yes' }, headers)).toMatchObject(forbidden)
    expect(await postKey(app(), headers)).toMatchObject(forbidden)
    expect(await app().get('/api/user/apikeys', headers)).toMatchObject(forbidden)
    expect((await revokeKey(app(), { ...ann, headers }, id)).status).toBe(403)
    const { body: seen } = await app().get(`/hitl/poll?request_id=${request_id}`, headers)
    expect(seen).toMatchObject({ status: 'pending', approved: false })
    const decided = await app().post(decision, { option: 'Yes' }, ann.headers)
    expect(decided.body).toMatchObject({ approved: true, decided_by: { name: ann.username } })
  })

  test('of another user can neither be seen nor revoked', async () => {
    const ann = await openAccount(app())
    const bob = await openAccount(app())
    const { id, headers } = await makeKey(app(), ann)
    expect(await listKeys(app(), bob)).toEqual([])
    for (const other of [id, '00000000-0000-4000-8000-000000000000', 'x', '%00', `${id}'`]) {
      expect(await revokeKey(app(), bob, encodeURIComponent(other))).toMatchObject({
        status: 404,
        body: { code: 'NOT_FOUND' },
      })
    }
    expect((await app().get('/hitl/pending', headers)).status).toBe(200)
  })

  test('expires by the clock', async () => {
    const ann = await openAccount(app())
    const expires_at = new Date(Date.now() + 1_500).toISOString()
    const { headers } = await makeKey(app(), ann, { expires_at })
    expect((await app().get('/hitl/pending', headers)).status).toBe(200)
    expect(await listKeys(app(), ann)).toMatchObject([{ expires_at, is_active: true }])
    await eventually(async () => (await app().get('/hitl/pending', headers)).status).toBe(401)
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(expires_at))
    expect(await listKeys(app(), ann)).toMatchObject([{ expires_at, is_active: false }])
  })

  test.each([
    [{ expires_at: '2020-01-01T00:00:00Z' }, '/expires_at'],
    [{ expires_at: new Date().toISOString() }, '/expires_at'],
    [{ expires_at: 'tomorrow' }, '/expires_at'],
    [{ expires_at: '2999-01-01' }, '/expires_at'],
    [{ expires_at: '2999-01-01T00:00:00' }, '/expires_at'],
    [{ expires_at: 32503680000 }, '/expires_at'],
    [{ label: 7 }, '/label'],
    [{ label: 'x'.repeat(201) }, '/label'],
    [{ label: 'a\u0000' }, '/label'],
    [{ may_register: 'no' }, '/may_register'],
  ])('is not made of %j', async (fields, path) => {
    const ann = await openAccount(app())
    expect(await postKey(app(), ann.headers, fields)).toMatchObject({
      status: 400,
      body: { code: 'INVALID_INPUT', errors: [{ path }] },
    })
    expect(await listKeys(app(), ann)).toEqual([])
  })

  test('with a time of another zone, or none at all, is made', async () => {
    const ann = await openAccount(app())
    const fields = { label: null, expires_at: '2999-01-01T02:00:00+02:00' }
    const { body } = await postKey(app(), ann.headers, fields)
    expect(body).toMatchObject({ label: null, expires_at: '2999-01-01T00:00:00.000Z' })
    expect((await postKey(app(), ann.headers, { expires_at: null })).status).toBe(201)
  })

  test('W1: with may_register: false asks in sessions, and makes and revives none', async () => {
    const ann = await openAccount(app())
    const { headers } = await makeKey(app(), ann, { may_register: false })
    const session = { session_id: 's', client_id: 'c' }
    for (const path of ['/hitl/register', '/sessions/register']) {
      expect((await app().post(path, session, headers)).status).toBe(403)
    }
    expect((await app().get('/hitl/status?session_id=s', ann.headers)).status).toBe(404)
    await app().post('/hitl/register', session, ann.headers)
    const asked = await app().post('/hitl/request', { ...session, message: 'Deploy?' }, headers)
    expect(asked.status).toBe(200)
    expect((await app().post('/hitl/register', session, headers)).status).toBe(403)
    const [listed] = await listKeys(app(), ann)
    expect(listed).toMatchObject({ may_register: false })
  })
})

test('W5: when a key was used is written for many calls at once, and seen by its owner', async () => {
  await using server = await openServer('postgres')
  const ann = await openAccount(server.app)
  const { headers } = await makeKey(server.app, ann)
  const began = Date.now()
  await using database = await openDatabase({
    type: 'postgres',
    url: server.place['DATABASE_URL'] ?? '',
  }).then((opened) => ({ ...opened, [Symbol.asyncDispose]: () => opened.close() }))
  const writes = async () => {
    const { rows } = await sql<{ n_tup_upd: number }>`
      SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'api_keys'`.execute(database.db)
    return rows[0]?.n_tup_upd
  }
  for (let i = 0; i < 50; i++) await server.app.get('/hitl/pending', headers)
  const [key] = await listKeys(server.app, ann)
  expect(Date.parse(key?.last_used_at ?? '')).toBeGreaterThanOrEqual(began - 1_000)
  await listKeys(server.app, ann)
  await eventually(writes).toBe(1)
})

test('a key of an earlier prefix goes on to hold', async () => {
  await using first = await openServer('postgres', { API_KEY_PREFIX: 'old_' })
  const ann = await openAccount(first.app)
  const { key, headers } = await makeKey(first.app, ann)
  expect(key).toMatch(/^old_[0-9a-f]{64}$/)
  await using second = await startOn(first.place, { API_KEY_PREFIX: 'new-' })
  expect((await second.get('/hitl/pending', headers)).status).toBe(200)
  expect((await makeKey(second, ann)).key).toMatch(/^new-[0-9a-f]{64}$/)
})

test('W3: a user who is gone is let in neither by his token nor by his keys, at once', async () => {
  await using server = await openServer('postgres')
  const ann = await openAccount(server.app)
  const { headers } = await makeKey(server.app, ann)
  const database = await openDatabase({
    type: 'postgres',
    url: server.place['DATABASE_URL'] ?? '',
  })
  await database.db.deleteFrom('users').where('id', '=', ann.id).execute()
  await database.close()
  expect((await server.app.get('/hitl/pending', headers)).status).toBe(401)
  expect((await server.app.get('/hitl/pending', ann.headers)).status).toBe(401)
  expect((await postKey(server.app, ann.headers)).status).toBe(401)
  expect((await login(server.app, ann.username)).status).toBe(401)
})

test('W4: the database has neither keys nor passwords, only what they hash to', async () => {
  await using server = await openServer('postgres')
  const ann = await openAccount(server.app)
  const { key } = await makeKey(server.app, ann)
  const database = await openDatabase({
    type: 'postgres',
    url: server.place['DATABASE_URL'] ?? '',
  })
  const { rows } = await sql<{ row: string }>`
    SELECT users::text AS row FROM users UNION ALL SELECT api_keys::text FROM api_keys`.execute(
    database.db,
  )
  await database.close()
  const text = rows.map(({ row }) => row).join('\n')
  expect(text).toContain('$argon2id$v=19$m=19456,t=2,p=1$')
  expect(text).not.toContain(key.slice(7))
  expect(text).not.toContain('correct horse')
})

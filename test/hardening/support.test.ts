import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openWatchedScene, WatchedServer } from '../support/hardening.ts'

/** The net that every attack is caught in catches. */

const JWT_SECRET = 'a-secret-of-the-environment-0123456789'

let server: WatchedServer
let requestId: string

beforeAll(async () => {
  server = await WatchedServer.start({ JWT_SECRET })
  await server.app.register()
  requestId = (await server.app.ask()).request_id
})
afterAll(() => server[Symbol.asyncDispose]())

const logger = () => server.log.logger
const db = () => server.store.database.db

describe('an attack that did nothing', () => {
  test('passes, with what it resolved with', async () => {
    const answer = await server.attack(() => server.app.get(`/hitl/poll?request_id=${requestId}`))
    expect(answer.status).toBe(200)
  })

  test('passes when what it added is allowed', async () => {
    await server.attack(() => server.app.ask(), { mayAdd: true })
  })

  test('passes in a scene with Telegram, where a press still approves', async () => {
    const { scene, server: watched } = await openWatchedScene()
    await using _ = scene
    await watched.attack(async () => undefined)
    const log = watched.log.lines.length
    watched.log.logger.info(`the token is ${scene.tg.token}`)
    // The product's logger takes a bot token out by itself.
    expect(watched.log.lines[log]).toContain('[redacted]')
    await watched.expectNoSecretInLog()
  })
})

describe('is caught:', () => {
  const caught = (act: () => Promise<unknown>, message: RegExp | string, options = {}) =>
    expect(server.attack(act, options)).rejects.toThrow(message)

  test.for([
    ['a changed request', sql`UPDATE requests SET response = 'x' WHERE status = 'pending'`],
    [
      'a new event',
      sql`INSERT INTO events SELECT tenant, session_id, 99, epoch, type, request_id,
      at, state FROM events LIMIT 1`,
    ],
    ['an event that is gone', sql`DELETE FROM events WHERE seq = 99`],
    ['a changed session', sql`UPDATE sessions SET active = NOT active`],
  ] as const)('%s', async ([, change]) => {
    await caught(() => change.execute(db()), 'the rows in the database')
  })

  test('a changed row, also when rows may be added', async () => {
    const change = sql`UPDATE sessions SET active = NOT active`
    await caught(() => change.execute(db()), 'the rows in the database', { mayAdd: true })
  })

  test('an approval', async () => {
    const { request_id } = await server.app.ask()
    await caught(
      () => server.app.decide(request_id, { response: 'yes' }),
      'the rows in the database',
    )
  })

  test('an answer above 499, also where 503 is allowed', async () => {
    const act = async () => {
      await sql`ALTER TABLE sessions RENAME TO away`.execute(db())
      const { status } = await server.app.get('/hitl/status?session_id=s1')
      expect(status).toBe(500)
      await sql`ALTER TABLE away RENAME TO sessions`.execute(db())
    }
    await caught(act, 'answers above 499')
    await caught(act, 'answers above 499', { maySendAway: true, mayComplain: true })
  })

  test('a line at level error', async () => {
    await caught(async () => logger().error('it went wrong'), 'lines at level error')
    await server.attack(async () => logger().error('it went wrong'), { mayComplain: true })
  })

  test('that no approval goes through any more', async () => {
    await caught(async () => {
      await sql`CREATE RULE none AS ON UPDATE TO requests DO INSTEAD NOTHING`.execute(db())
    }, /./)
    await sql`DROP RULE none ON requests`.execute(db())
    await eventually(async () => (await server.app.get('/livez')).status).toBe(200)
    await server.attack(async () => undefined)
  })

  test('that the server is gone', async () => {
    await using gone = await WatchedServer.start()
    await expect(gone.attack(() => gone.app.app.stop())).rejects.toThrow()
  })
})

describe('a secret in the log', () => {
  test.for<readonly [string, () => string | Promise<string>]>([
    ['of the environment', () => JWT_SECRET],
    ['kept in the database', () => kept('secrets', 'value')],
    ['of a session', () => kept('sessions', 'webhook_secret')],
    ['that a test was given', () => 'a token of a test'],
    ['that a test was given, in an address', () => encodeURIComponent('a token of a test')],
    ['that looks like a JWT', async () => (await server.app.person())['authorization'] ?? ''],
    ['that looks like an API key', () => `lk_pub_${'0a'.repeat(32)}`],
    ['that looks like a webhook secret', () => `whsec_${'aB0+'.repeat(8)}`],
    ['that looks like the last line of a card', () => `${requestId}.${'a'.repeat(16)}`],
    ['that looks like what a button carries', () => `1.${'b'.repeat(22)}.0.${'a'.repeat(16)}`],
  ])('is found: one %s', async ([, secret]) => {
    server.keepSecret('a token of a test')
    const line = JSON.stringify({ level: 30, deep: { inside: `<${await secret()}>` } })
    expect(await server.leaks([line, '{"level":30}'])).toEqual([line])
  })

  test('is not seen in what is none', async () => {
    const ids = `{"request_id":"${requestId}","cursor":"abcdefgh-12","time":"${new Date().toISOString()}"}`
    expect(await server.leaks([ids])).toEqual([])
  })

  test('fails the attack that it came from, at any level', async () => {
    await using other = await WatchedServer.start({ JWT_SECRET })
    const leak = other.attack(async () => other.log.logger.trace({ value: JWT_SECRET }))
    await expect(leak).rejects.toThrow('lines with a secret in them')
  })
})

async function kept<Table extends 'secrets' | 'sessions'>(
  table: Table,
  column: Table extends 'secrets' ? 'value' : 'webhook_secret',
): Promise<string> {
  const rows = await sql<{ secret: string }>`
    SELECT ${sql.ref(column)} AS secret FROM ${sql.table(table)} LIMIT 1`.execute(db())
  return rows.rows[0]?.secret ?? ''
}

import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { openDatabase } from '../../../src/storage/database.ts'
import { type Account, bearer, makeKey, openAccount, revokeKey } from '../../support/accounts.ts'
import type { TestApp } from '../../support/app.ts'
import { ask } from '../../support/readers/http.ts'
import { openServer, serve, startOn } from '../../support/readers/server.ts'
import { FrameSocket } from '../../support/readers/websocket.ts'

const app = serve('postgres', { AUTH: 'required' })

const ticketOf = async (at: TestApp, headers: Record<string, string>): Promise<string> => {
  const { status, body } = await at.post<{ ticket: string }>('/api/tickets', {}, headers)
  expect(status).toBe(201)
  expect(body).toEqual({ ticket: expect.stringMatching(/^[\w-]{43}$/) })
  return body.ticket
}

async function sessionOf(at: TestApp, { headers }: Account): Promise<void> {
  await at.post('/hitl/register', { session_id: 's', client_id: 'c' }, headers)
}

/** The status of a stream that is opened with the ticket, and left. */
async function stream(at: TestApp, ticket: string, headers: Record<string, string> = {}) {
  const left = new AbortController()
  const query = new URLSearchParams({ session_id: 's', ticket })
  const signal = left.signal
  const response = await fetch(`${at.url}/hitl/stream?${query}`, { headers, signal })
  left.abort()
  return response.status
}

async function socket(at: TestApp, ticket: string): Promise<number> {
  try {
    const query = `?session_id=s&ticket=${encodeURIComponent(ticket)}`
    await using opened = await FrameSocket.open(at.url, { query })
    return (await opened.first('subscribed')) ? 101 : 0
  } catch (error) {
    return (error as { status: number }).status
  }
}

describe.each([
  ['an event stream', stream, 200],
  ['a WebSocket', socket, 101],
] as const)('%s', (_, open, opened) => {
  test('opens with the ticket of a person or of an agent, once', async () => {
    await using server = await openServer('postgres', { AUTH: 'required' })
    const ann = await openAccount(server.app)
    await sessionOf(server.app, ann)
    for (const { headers } of [ann, await makeKey(server.app, ann)]) {
      const ticket = await ticketOf(server.app, headers)
      const all = await Promise.all([1, 2, 3].map(() => open(server.app, ticket)))
      expect(all.sort()).toEqual([opened, 401, 401])
    }
  })

  test('does not open for a ticket that is wrong, given twice, or beside a credential', async () => {
    const ann = await openAccount(app())
    await sessionOf(app(), ann)
    for (const ticket of ['', 'x', '🎫', 'A'.repeat(43)]) {
      expect(await open(app(), ticket)).toBe(401)
    }
    const path = (ticket: string) => `/hitl/stream?session_id=s&ticket=${ticket}`
    const ticket = await ticketOf(app(), ann.headers)
    const twice = await ask(`${app().url}${path(ticket)}&ticket=${ticket}`)
    expect(twice.status).toBe(401)
    expect(await stream(app(), ticket, ann.headers)).toBe(401)
  })

  test('does not open when the time of the ticket is over, or its key is revoked meanwhile', async () => {
    await using server = await openServer('postgres', { AUTH: 'required' })
    const url = server.place['DATABASE_URL'] ?? ''
    const ann = await openAccount(server.app)
    await sessionOf(server.app, ann)
    const late = await ticketOf(server.app, ann.headers)
    const database = await openDatabase({ type: 'postgres', url })
    const { rows } = await sql<{ seconds: number; ticket: string }>`
      UPDATE tickets SET expires_at = expires_at - interval '30 s'
      RETURNING extract(epoch FROM expires_at + interval '30 s' - clock_timestamp())::float8
        AS seconds, tickets::text AS ticket`.execute(database.db)
    expect(rows[0]?.seconds).toBeGreaterThan(25)
    expect(rows[0]?.seconds).toBeLessThanOrEqual(30)
    expect(rows[0]?.ticket).not.toContain(late)
    expect(await open(server.app, late)).toBe(401)
    const key = await makeKey(server.app, ann)
    const ticket = await ticketOf(server.app, key.headers)
    await revokeKey(server.app, ann, key.id)
    expect(await open(server.app, ticket)).toBe(401)
    // Whoever issues one sweeps what nobody redeemed.
    await ticketOf(server.app, ann.headers)
    const left = await database.db.selectFrom('tickets').select('digest').execute()
    await database.close()
    expect(left).toHaveLength(1)
  })

  test('opens in another process than the one that issued the ticket', async () => {
    await using server = await openServer('postgres', { AUTH: 'required' })
    await using other = await startOn(server.place, { AUTH: 'required' })
    const ann = await openAccount(server.app)
    await sessionOf(server.app, ann)
    const ticket = await ticketOf(server.app, ann.headers)
    expect(await open(other, ticket)).toBe(opened)
    expect(await open(server.app, ticket)).toBe(401)
  })
})

test('nobody without a credential gets a ticket', async () => {
  expect((await app().post('/api/tickets', {})).status).toBe(401)
  expect((await app().post('/api/tickets', {}, bearer('wrong'))).status).toBe(401)
  // Nor is what he sends looked at.
  expect((await app().post('/api/tickets', '{"half":')).status).toBe(401)
})

test('a ticket of this machine opens a stream on this machine alone', async () => {
  await using server = await openServer('pglite')
  await server.app.register({ session_id: 's', client_id: 'c' })
  const forwarded = { 'x-forwarded-for': '203.0.113.7' }
  expect(await stream(server.app, await ticketOf(server.app, {}), forwarded)).toBe(401)
  expect(await stream(server.app, await ticketOf(server.app, {}))).toBe(200)
})

test('no credential counts in an address but a ticket, and a ticket counts for streams alone', async () => {
  const ann = await openAccount(app())
  const { key } = await makeKey(app(), ann)
  await sessionOf(app(), ann)
  for (const name of ['token', 'access_token', 'key', 'api_key', 'apikey', 'authorization']) {
    for (const credential of [key, ann.token]) {
      const query = `session_id=s&${name}=${credential}`
      for (const path of ['/hitl/stream', '/hitl/status', '/hitl/poll', '/ws', '/api/tickets']) {
        const method = path === '/api/tickets' ? 'POST' : 'GET'
        expect((await ask(`${app().url}${path}?${query}`, { method })).status).toBe(401)
      }
    }
  }
  const ticket = await ticketOf(app(), ann.headers)
  for (const path of ['/hitl/status', '/hitl/poll', '/hitl/pending', '/api/user/apikeys']) {
    const answer = await ask(`${app().url}${path}?session_id=s&ticket=${ticket}`)
    expect(answer.status).toBe(401)
  }
  expect(await stream(app(), ticket)).toBe(200)
})

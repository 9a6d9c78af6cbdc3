import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { McpSession } from '../../src/core/mcp-session.ts'
import type { Principal } from '../../src/core/principal.ts'
import { anAgent, aPerson } from '../support/builders.ts'
import { type Started, type StoreKind, start, times } from './store-harness.ts'

const MAX_OF_TENANT = 1_000

const aSession = (over: Partial<McpSession> = {}): McpSession => ({
  id: randomUUID(),
  initialize: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'ü 🚀' } },
  subscriptions: [],
  ...over,
})

const AGENT = anAgent()

/** Of a tenant that has as many as it may, the first of which was used the longest ago. */
async function fill(at: Started, { tenant }: Principal): Promise<string> {
  const { rows } = await sql<{ id: string }>`
    INSERT INTO mcp_sessions (id, tenant, principal, initialize, seen_at)
    SELECT gen_random_uuid(), ${tenant}, 'agent:other', '{}',
      clock_timestamp() - make_interval(secs => n)
    FROM generate_series(${MAX_OF_TENANT}::int, 1, -1) n RETURNING id`.execute(at.db)
  return rows[0]?.id ?? ''
}

const count = async (at: Started): Promise<number> =>
  (await at.db.selectFrom('mcp_sessions').select('id').execute()).length

/** As if it was used so many days ago. */
const age = (at: Started, { id }: McpSession, days: number) =>
  sql`UPDATE mcp_sessions SET seen_at = clock_timestamp() - make_interval(days => ${days})
    WHERE id = ${id}`.execute(at.db)

export function mcpSessionContract(kind: StoreKind): void {
  describe('sessions of MCP clients', () => {
    test('are found as they were made', async () => {
      await using at = await start(kind)
      const { mcpSessions } = at.stores
      const session = aSession({ subscriptions: ['loopgate://requests/1'] })
      await mcpSessions.create(AGENT, session)
      expect(await mcpSessions.find(AGENT, session.id)).toEqual(session)
      expect(await at.restart().mcpSessions.find(AGENT, session.id)).toEqual(session)
    })

    test.each([
      ['another key of the tenant', anAgent({ id: 'key-2' })],
      ['the same key of another tenant', anAgent({ tenant: 'tenant-2' })],
      ['a person of the tenant', aPerson({ id: 'key-1' })],
    ])('are not there for %s', async (_, principal) => {
      await using at = await start(kind)
      const session = aSession()
      await at.stores.mcpSessions.create(AGENT, session)
      expect(await at.stores.mcpSessions.find(principal, session.id)).toBeUndefined()
    })

    test.each(['', 'none', randomUUID(), "'; DROP TABLE mcp_sessions"])(
      '%j is none',
      async (id) => {
        await using at = await start(kind)
        expect(await at.stores.mcpSessions.find(AGENT, id)).toBeUndefined()
      },
    )

    test('are not there under another spelling of their id', async () => {
      await using at = await start(kind)
      const session = aSession()
      await at.stores.mcpSessions.create(AGENT, session)
      const shouted = session.id.toUpperCase()
      expect(await at.stores.mcpSessions.find(AGENT, shouted)).toBeUndefined()
    })

    test('remember what they follow now', async () => {
      await using at = await start(kind)
      const { mcpSessions } = at.stores
      const session = aSession({ subscriptions: ['a'] })
      await mcpSessions.create(AGENT, session)
      await mcpSessions.update(session.id, ['b', 'c'])
      const found = await mcpSessions.find(AGENT, session.id)
      expect(found).toEqual({ ...session, subscriptions: ['b', 'c'] })
    })

    test('are gone when they were deleted, also twice', async () => {
      await using at = await start(kind)
      const { mcpSessions } = at.stores
      const [gone, kept] = [aSession(), aSession()]
      for (const session of [gone, kept]) await mcpSessions.create(AGENT, session)
      for (const _ of times(2, () => 0)) await mcpSessions.delete(gone.id)
      expect(await mcpSessions.find(AGENT, gone.id)).toBeUndefined()
      expect(await mcpSessions.find(AGENT, kept.id)).toEqual(kept)
      await mcpSessions.update(gone.id, [])
      expect(await mcpSessions.find(AGENT, gone.id)).toBeUndefined()
    })

    test('beyond a thousand of a tenant, the one that was used the longest ago is forgotten', async () => {
      await using at = await start(kind)
      const { mcpSessions } = at.stores
      const oldest = await fill(at, AGENT)
      const theirs = aSession()
      await mcpSessions.create(anAgent({ tenant: 'tenant-2' }), theirs)
      await age(at, theirs, 20)
      const session = aSession()
      await mcpSessions.create(AGENT, session)
      expect(await mcpSessions.find(AGENT, session.id)).toEqual(session)
      expect(await mcpSessions.find(anAgent({ id: 'other' }), oldest)).toBeUndefined()
      expect(await count(at)).toBe(MAX_OF_TENANT + 1)
    })

    test('which are used are not the ones that are forgotten', async () => {
      await using at = await start(kind)
      const { mcpSessions } = at.stores
      const oldest = await fill(at, AGENT)
      const user = anAgent({ id: 'other' })
      expect(await mcpSessions.find(user, oldest)).toBeDefined()
      await mcpSessions.create(AGENT, aSession())
      expect(await mcpSessions.find(user, oldest)).toBeDefined()
    })

    test('are forgotten after a month without use, by the next that is made', async () => {
      await using at = await start(kind)
      const { mcpSessions } = at.stores
      const [left, used] = [aSession(), aSession()]
      for (const session of [left, used]) await mcpSessions.create(AGENT, session)
      await age(at, left, 31)
      await age(at, used, 29)
      await mcpSessions.create(AGENT, aSession())
      expect(await mcpSessions.find(AGENT, left.id)).toBeUndefined()
      expect(await mcpSessions.find(AGENT, used.id)).toEqual(used)
    })
  })

  describe('the active sessions of a tenant', () => {
    test('are listed oldest first, as many as are wanted, and no others', async () => {
      await using at = await start(kind)
      const { sessions } = at.stores
      const made = []
      for (const id of ['c', 'a', 'b']) made.push(await at.session({ id }))
      await at.session({ id: 'over' })
      const { tenant } = await at.session({ id: 'theirs', tenant: 'theirs' })
      await sessions.setActive(made[0]?.tenant ?? '', 'over', false)
      expect(await sessions.listActive(made[0]?.tenant ?? '', 10)).toEqual(made)
      expect(await sessions.listActive(made[0]?.tenant ?? '', 2)).toEqual(made.slice(0, 2))
      expect((await sessions.listActive(tenant, 10)).map(({ id }) => id)).toEqual(['theirs'])
      expect(await sessions.listActive('nobody', 10)).toEqual([])
    })
  })
}

import { beforeAll, describe, expect, test } from 'vitest'
import { calling, INITIALIZE, MCP_WAYS, modernMeta, textOf, WITH_TASKS } from '../support/mcp.ts'
import { askAs, NOWHERE, SAME, type Tenant, twoTenants } from '../support/tenants.ts'

/**
 * A02 and A07, over MCP: what is another tenant's does not exist, and no answer comes to whom it
 * was not for (CVE-2026-25536).
 */

const here = twoTenants()

describe.each(MCP_WAYS)('A02: over $name', ({ name: way, open }) => {
  /** What a tool says of an id, with the id taken out. */
  const saidOf = async (tool: string, field: string, id: string) => {
    const { app, theirs } = here()
    const line = await open(`${app.url}?session_id=same`, theirs.key.headers)
    const input = { [field]: id, url: 'https://example.com/hook', message: 'Whose?' }
    const answer = await line.request('tools/call', calling(tool, input), 1)
    return JSON.stringify({ ...answer.result, ...answer.error }).replaceAll(id, '<id>')
  }

  test.each([
    ['check_request_status', 'request_id'],
    ['cancel_request', 'request_id'],
    ['check_approval', 'pause_id'],
  ])('another’s request is as if it were not there for %s', (tool, field) =>
    here().server.attack(async () => {
      const said = await saidOf(tool, field, here().ours.asked.request_id)
      expect(said).toContain('REQUEST_NOT_FOUND')
      expect(said).toBe(await saidOf(tool, field, NOWHERE))
    }),
  )

  test.each(['request_human_input', 'hitl_request', 'register_callback'])(
    'another’s session is as if it were not there for %s',
    (tool) =>
      here().server.attack(async () => {
        const said = await saidOf(tool, 'session_id', here().ours.own)
        expect(said).toContain('SESSION_NOT_FOUND')
        expect(said).toBe(await saidOf(tool, 'session_id', 'no-such-session'))
      }),
  )

  test('no list has what is another’s', () =>
    here().server.attack(async () => {
      const { app, ours, theirs } = here()
      const line = await open(app.url, theirs.key.headers)
      const listed = await line.request('tools/call', calling('list_pending_requests', {}), 1)
      expect(textOf(listed)).toContain(theirs.asked.request_id)
      expect(textOf(listed)).not.toContain(ours.asked.request_id)
      if (way === 'the bare form') return
      const { result } = await line.request('resources/list', {}, 2)
      expect(JSON.stringify(result)).toContain(theirs.asked.request_id)
      expect(JSON.stringify(result)).not.toContain(ours.asked.request_id)
    }))
})

describe.each(MCP_WAYS.slice(0, 2))('A02: over $name', ({ name: way, open }) => {
  test.each([
    ['resources/read', 'uri', 'loopgate://requests/'],
    ['tasks/get', 'taskId', ''],
    ['tasks/cancel', 'taskId', ''],
    ...(way === '2025-11-25'
      ? [
          ['tasks/result', 'taskId', ''],
          ['resources/subscribe', 'uri', 'loopgate://requests/'],
        ]
      : [['tasks/update', 'taskId', '']]),
  ] as [string, string, string][])(
    'another’s request is as if it were not there for %s',
    (method, field, prefix) =>
      here().server.attack(async () => {
        const { app, ours, theirs } = here()
        const line = await open(app.url, theirs.key.headers)
        const said = []
        for (const id of [ours.asked.request_id, NOWHERE]) {
          const meta = way === '2025-11-25' ? undefined : modernMeta(WITH_TASKS)
          const given = { [field]: prefix + id, inputResponses: {}, _meta: meta }
          const { error, result } = await line.request(method, given, 1)
          expect(result).toBeUndefined()
          said.push(JSON.stringify(error).replaceAll(id, '<id>'))
        }
        expect(said[0]).toBe(said[1])
      }),
  )
})

describe('A02: a session of MCP', () => {
  const initialize = { jsonrpc: '2.0', id: 1, method: 'initialize', params: INITIALIZE }
  const list = { jsonrpc: '2.0', id: 2, method: 'tools/list', params: {} }

  const send = (method: string, { key }: Tenant, session: string | undefined, body?: object) =>
    fetch(`${here().app.url}/mcp`, {
      method,
      headers: {
        ...key.headers,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...(session === undefined ? {} : { 'mcp-session-id': session }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })

  test('of another’s is as if it were not there, also to read along and to end', () =>
    here().server.attack(async () => {
      const { ours, theirs } = here()
      const begun = await send('POST', ours, undefined, initialize)
      await begun.text()
      const session = begun.headers.get('mcp-session-id') ?? ''
      expect(session).toMatch(/^[0-9a-f-]{36}$/)
      for (const [method, body] of [
        ['POST', list],
        ['GET', undefined],
        ['DELETE', undefined],
      ] as const) {
        const [foreign, none] = [
          await send(method, theirs, session, body),
          await send(method, theirs, NOWHERE, body),
        ]
        expect([method, foreign.status]).toEqual([method, 404])
        expect(await foreign.text()).toBe(await none.text())
      }
      expect((await send('POST', ours, session, list)).status).toBe(200)
    }))
})

describe('A07: answers of clients with the same ids are never swapped in 200 rounds', () => {
  const ROUNDS = Array.from({ length: 200 }, (_, id) => id)
  /** A client's own requests under way at once. */
  const AT_ONCE = 20

  interface Client {
    readonly tenant: Tenant
    readonly headers: Record<string, string>
    readonly question: object
    readonly requestId: string
  }
  let clients: readonly Client[]

  beforeAll(async () => {
    const { app, ours, theirs } = here()
    const client = async (tenant: Tenant, idempotency_key: string) => {
      const { headers } = tenant.key
      const question = { ...SAME, message: 'Whose?', options: ['Yes', 'No'], idempotency_key }
      const { request_id } = await askAs(app, headers, question)
      return { tenant, headers, question: { ...question, wait_seconds: 0 }, requestId: request_id }
    }
    // Two of one tenant, and one of another, whose key to its question is the same.
    clients = [await client(ours, 'a'), await client(ours, 'b'), await client(theirs, 'a')]
  })

  test.each(MCP_WAYS)('over $name', ({ open }) =>
    here().server.attack(async () => {
      const { app } = here()
      const talk = async ({ headers, question, requestId }: Client) => {
        const line = await open(app.url, headers)
        for (let first = 0; first < ROUNDS.length; first += AT_ONCE) {
          const round = ROUNDS.slice(first, first + AT_ONCE)
          const params = calling('request_human_input', question)
          const answers = await Promise.all(
            round.map((id) => line.request('tools/call', params, id)),
          )
          expect(answers.map(({ id }) => id)).toEqual(round)
          for (const answer of answers)
            expect(JSON.parse(textOf(answer)).request_id).toBe(requestId)
        }
      }
      await Promise.all(clients.map(talk))
    }),
  )

  test.each(MCP_WAYS)(
    'over $name, by calls that are held until a person answers',
    ({ name, open }) =>
      here().server.attack(
        async () => {
          const { app } = here()
          const hold = async ({ tenant, headers }: Client, key: string) => {
            const line = await open(app.url, headers)
            const question = {
              ...SAME,
              message: 'Held?',
              options: ['Yes', 'No'],
              idempotency_key: key,
            }
            const { request_id } = await askAs(app, headers, question)
            const params = calling('request_human_input', { ...question, wait_seconds: 30 })
            return { tenant, request_id, answer: line.request('tools/call', params, 1) }
          }
          for (const round of ROUNDS.slice(0, 5)) {
            const held = await Promise.all(
              clients.map((one, i) => hold(one, `${name} ${round} ${i}`)),
            )
            for (const { tenant, request_id } of held.toReversed()) {
              const path = `/api/requests/${request_id}/decision`
              await app.post(path, { option: 'Yes' }, tenant.account.headers)
            }
            for (const { request_id, answer } of held) {
              const told = JSON.parse(textOf(await answer))
              expect(told).toMatchObject({ request_id, outcome: 'approved' })
            }
          }
        },
        { mayAdd: true },
      ),
  )
})

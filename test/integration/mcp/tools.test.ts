import { Ajv2020 } from 'ajv/dist/2020.js'
import { beforeAll, describe, expect, test } from 'vitest'
import { listTools } from '../../../src/transports/mcp/tools.ts'
import type { McpClient } from '../../support/readers/mcp.ts'
import { serve } from '../../support/readers/server.ts'
import { NOWHERE } from '../../support/tenants.ts'
import { CLIENTS, errorOf, NOW, OPTIONS, Seat, viewOf } from './seat.ts'

const app = serve('pglite', { CALLBACK_ALLOW_PRIVATE: 'true' })

const NAMES = [
  'request_human_input',
  'hitl_request',
  'check_request_status',
  'list_pending_requests',
  'cancel_request',
  'register_callback',
  'request_approval',
  'check_approval',
  'permission_prompt',
]
const ASKING = ['request_human_input', 'hitl_request']

let seat: Seat
let client: McpClient

beforeAll(async () => {
  seat = await Seat.open(app())
  await seat.register('s1')
  client = await seat.client()
}, 30_000)

interface Listed {
  readonly name: string
  readonly title?: string
  readonly description: string
  readonly inputSchema: Readonly<Record<string, unknown>>
  readonly outputSchema?: Readonly<Record<string, unknown>>
  readonly execution?: object
}

const ask = async (fields: object = {}, name = 'request_human_input') =>
  viewOf(await client.tool(name, { message: 'Deploy?', options: OPTIONS, ...NOW, ...fields }))

const refused = async (name: string, input: object = {}) => errorOf(await client.tool(name, input))

describe('the list of tools', () => {
  test('has every tool of the contract, the same by every revision and by GET /mcp/tools', async () => {
    const { body } = await app().get<{ result: { tools: Listed[] }; id: string }>('/mcp/tools')
    expect(body.id).toBe('tools-list')
    expect(body.result.tools.map(({ name }) => name)).toEqual(NAMES)
    expect(body.result.tools).toEqual(listTools())
    const { tools } = await client.request('tools/list').answer<{ tools: Listed[] }>()
    expect(tools.map(({ execution, ...tool }) => tool)).toEqual(body.result.tools)
    const modern = await seat.modern().request('tools/list').answer()
    expect(modern).toMatchObject({ tools: body.result.tools, resultType: 'complete' })
    expect(await seat.bare().request('tools/list').answer()).toEqual(body.result)
  })

  test.each(listTools())('$name has schemas of JSON Schema 2020-12 that say object', (tool) => {
    const ajv = new Ajv2020({ strict: true, strictRequired: false })
    for (const schema of [tool.inputSchema, tool.outputSchema ?? tool.inputSchema]) {
      expect(schema).toMatchObject({
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        type: 'object',
      })
      expect(ajv.validateSchema(schema), ajv.errorsText()).toBe(true)
      ajv.compile(schema)
    }
    // Not every model API follows references.
    expect(JSON.stringify(tool)).not.toMatch(/"\$(ref|defs)"/)
    expect(tool.description.length).toBeGreaterThan(20)
    expect(tool.title).not.toBe('')
    expect(tool.name).toMatch(/^[a-z_]{1,64}$/)
  })

  test('says which may become tasks, and only there', async () => {
    const { tools } = await client.request('tools/list').answer<{ tools: Listed[] }>()
    const long = tools.filter(({ execution }) => execution)
    expect(long.map(({ name }) => name)).toEqual([...ASKING, 'check_request_status'])
    expect(long[0]?.execution).toEqual({ taskSupport: 'optional' })
  })
})

describe.each(ASKING)('%s', (name) => {
  test('answers the view as structured content and as text, and what to do now', async () => {
    const { next_step, ...view } = await ask({ metadata: { version: '2.1' } }, name)
    expect(view).toEqual(await seat.view(view))
    expect(view).toMatchObject({
      ...{ session_id: 's1', client_id: 'agent', message: 'Deploy?', status: 'pending' },
      ...{ metadata: { version: '2.1' }, delivery: [] },
    })
    expect(next_step).toContain(`request_id "${view.request_id}"`)
    expect(next_step).toMatch(/check_request_status.*Do not go on as if it was approved/)
    expect(next_step).toContain('Nobody was told of it')
  })

  test('takes its session from s1, but not with the client_id of another', async () => {
    expect(await refused(name, { message: 'Deploy?', client_id: 'other' })).toMatch(/^FORBIDDEN: /)
    expect((await ask({ client_id: 'agent' }, name)).client_id).toBe('agent')
  })
})

describe('arguments', () => {
  const BAD: readonly object[] = [
    {},
    { message: '' },
    { message: ' ​' },
    { message: 'x'.repeat(20_001) },
    { message: 7 },
    { message: 'a\0b' },
    { message: 'ok', options: [], request_type: 'choice' },
    { message: 'ok', options: ['Yes', 'Yes'] },
    { message: 'ok', options: [{ label: 'No', effect: 'approve' }] },
    { message: 'ok', options: Array.from({ length: 21 }, (_, i) => `o${i}`) },
    { message: 'ok', options: ['x'.repeat(101)] },
    { message: 'ok', timeout_seconds: 0 },
    { message: 'ok', timeout_seconds: null },
    { message: 'ok', timeout_seconds: 2_592_001 },
    { message: 'ok', metadata: [] },
    { message: 'ok', metadata: { big: 'x'.repeat(33_000) } },
    { message: 'ok', approval_ttl_seconds: 0 },
    { message: 'ok', callback_url: 'ftp://example.com' },
    { message: 'ok', callback_url: 7 },
    { message: 'ok', idempotency_key: '' },
    { message: 'ok', request_type: 'poll' },
    { message: 'ok', metadata: { constructor: { a: '\ud800' } } },
  ]

  test.each(BAD)('%j: refused in the words of /hitl/request', async (input) => {
    const body = { session_id: 's1', client_id: 'agent', ...input }
    const http = await app().post('/hitl/request', body, seat.key.headers)
    expect(http).toMatchObject({ status: 400, body: { code: 'INVALID_INPUT' } })
    expect(await refused('request_human_input', input)).toBe(`INVALID_INPUT: ${http.body.detail}.`)
  })

  test.each([
    [{ wait_seconds: -1 }, '/wait_seconds'],
    [{ wait_seconds: '5' }, '/wait_seconds'],
    [{ session_id: 7 }, '/session_id'],
    [{ client_id: '' }, '/client_id'],
  ])('%j: refused by name', async (input, path) => {
    expect(await refused('request_human_input', { message: 'ok', ...input })).toContain(`${path}: `)
  })

  test.each([
    ['check_request_status', '/request_id'],
    ['cancel_request', '/request_id'],
    ['register_callback', '/url'],
    ['request_approval', '/action_description'],
    ['request_approval', '/action_details'],
    ['check_approval', '/pause_id'],
  ])('%s without arguments names %s', async (name, path) => {
    expect(await refused(name)).toMatch(new RegExp(`^INVALID_INPUT: .*${path}: is required`))
    const absent = await client.request('tools/call', { name }).answer<{ isError: true }>()
    expect(absent.isError).toBe(true)
  })

  test('nothing was asked by what was refused', async () => {
    const before = await seat.pending()
    await refused('request_human_input', { message: '' })
    expect(await seat.pending()).toEqual(before)
  })
})

describe('a name that no tool has', () => {
  test.each(['2025-11-25', '2026-07-28', 'bare'])('is -32602 by %s', async (revision) => {
    const called = (await CLIENTS[revision]?.(seat))?.call('request_human', {})
    await expect(called?.answer()).rejects.toMatchObject({
      code: -32_602,
      message: expect.stringContaining('request_human_input'),
    })
  })
})

describe('what to do next', () => {
  test.each([
    [{ option: 'Yes' }, 'approved', /^A person approved this/],
    [{ option: 'No', comment: 'not today' }, 'rejected', /^A person said no/],
    [{ option: 'Later' }, 'answered', /not an approval/],
  ])('after %j is said for %s', async (answer, outcome, step) => {
    const { request_id } = await ask()
    const decided = await seat.decide({ request_id }, answer)
    const { next_step, ...view } = viewOf(await client.tool('check_request_status', { request_id }))
    expect(view).toEqual(decided)
    expect(view).toMatchObject({ outcome, approved: outcome === 'approved' })
    expect(next_step).toMatch(step)
  })

  test('of an expired and of a canceled question is never that of an approval', async () => {
    const gone = await ask({ timeout_seconds: 1 })
    const expired = viewOf(
      await client.tool('check_request_status', { request_id: gone.request_id, wait_seconds: 10 }),
    )
    expect(expired).toMatchObject({ outcome: 'expired', approved: false, decided_by: null })
    expect(expired.next_step).toMatch(/^Nobody answered in time. This is not an approval/)
    const { request_id } = await ask()
    await client.tool('cancel_request', { request_id })
    const canceled = viewOf(await client.tool('check_request_status', { request_id }))
    expect(canceled).toMatchObject({ outcome: 'canceled', approved: false })
    expect(canceled.next_step).toMatch(/not an approval/)
  })
})

describe('questions that are there', () => {
  test('are listed while they are open, oldest first, those of this tenant alone', async () => {
    const other = await Seat.open(app())
    const lister = await other.client()
    const list = async () => (await lister.tool('list_pending_requests')).structuredContent
    expect(await list()).toEqual({ requests: [], count: 0 })
    const asked = []
    for (const message of ['One?', 'Two?']) {
      asked.push(viewOf(await lister.tool('request_human_input', { message, ...NOW })))
    }
    const views = asked.map(({ next_step, ...view }) => view)
    expect(await list()).toEqual({ requests: views, count: 2 })
    await other.decide(asked[0] as { request_id: string }, { response: 'yes' })
    expect(await list()).toEqual({ requests: views.slice(1), count: 1 })
  })

  test('are withdrawn; what is settled stays as it is, and is answered', async () => {
    const { request_id } = await ask()
    const cancel = async () =>
      (await client.tool('cancel_request', { request_id })).structuredContent
    const canceled = await cancel()
    expect(canceled).toMatchObject({ request_id, status: 'canceled', outcome: 'canceled' })
    expect(await cancel()).toEqual(canceled)
    const other = await ask()
    const decided = await seat.decide(other, { option: 'Yes' })
    const late = await client.tool('cancel_request', { request_id: other.request_id })
    expect(late.structuredContent).toEqual(decided)
  })

  test('that this tenant has not do not exist, as those that nobody has', async () => {
    const other = await Seat.open(app())
    const [theirs, ours] = [await other.client(), await ask()]
    for (const [tool, field] of [
      ['check_request_status', 'request_id'],
      ['cancel_request', 'request_id'],
      ['check_approval', 'pause_id'],
    ] as const) {
      const foreign = errorOf(await theirs.tool(tool, { [field]: ours.request_id }))
      expect(foreign).toMatch(/^REQUEST_NOT_FOUND: .*list_pending_requests/)
      for (const id of [NOWHERE, 'none']) {
        expect(errorOf(await theirs.tool(tool, { [field]: id }))).toBe(foreign)
      }
    }
    for (const [tool, input] of [
      ['request_human_input', { message: 'Mine?' }],
      ['register_callback', { url: 'http://127.0.0.1:9/hook' }],
    ] as const) {
      const foreign = errorOf(await theirs.tool(tool, { ...input, session_id: 's1' }))
      expect(foreign).toMatch(/^SESSION_NOT_FOUND: /)
      expect(errorOf(await theirs.tool(tool, { ...input, session_id: 'none' }))).toBe(foreign)
    }
    expect((await seat.view(ours)).status).toBe('pending')
  })
})

import { createHmac } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import type { McpClient } from '../../support/readers/mcp.ts'
import { serve } from '../../support/readers/server.ts'
import { errorOf, NOW, Seat, viewOf } from './seat.ts'

const app = serve('pglite')

let seat: Seat
let client: McpClient
let secret: string

beforeAll(async () => {
  seat = await Seat.open(app())
  const { body } = await seat.register('one')
  secret = body['webhook_secret'] ?? ''
  client = await seat.client()
}, 30_000)

const ACTION = { action_description: 'Delete the table', action_details: 'users, 4,000 rows' }

interface Paused {
  readonly pause_id: string
  readonly status: string
  readonly expires_at: string
  readonly MANDATORY_NEXT_STEP: string
}

async function pause(fields: object = {}, on = client): Promise<Paused & { request_id: string }> {
  const result = await on.tool('request_approval', { ...ACTION, ...fields })
  if (!result.structuredContent) throw new Error(errorOf(result))
  const paused = result.structuredContent as unknown as Paused
  return { ...paused, request_id: paused.pause_id }
}

const check = async ({ pause_id }: { pause_id: string }) =>
  (await client.tool('check_approval', { pause_id })).structuredContent ?? {}

describe('request_approval', () => {
  test('asks with Approve and Reject, and comes back at once with what must come next', async () => {
    const paused = await pause()
    expect(paused).toMatchObject({
      status: 'pending',
      pause_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    })
    expect(paused.MANDATORY_NEXT_STEP).toContain(
      `check_approval with pause_id "${paused.pause_id}"`,
    )
    const view = await seat.view(paused)
    expect(view).toMatchObject({
      message: 'Delete the table\n\nusers, 4,000 rows',
      ...{ session_id: 'one', request_type: 'choice', metadata: {}, delivery: [] },
      options: [
        { label: 'Approve', effect: 'approve' },
        { label: 'Reject', effect: 'reject' },
      ],
    })
    expect(view.expires_at).toBe(paused.expires_at)
    expect(Date.parse(view.expires_at) - Date.parse(view.created_at)).toBe(24 * 3_600_000)
  })

  test('takes details that are an object, which the person sees as lines', async () => {
    const action_details = { table: 'users', rows: 4_000, where: { dry: [true, null] } }
    const view = await seat.view(await pause({ action_details }))
    expect(view).toMatchObject({ message: 'Delete the table', metadata: action_details })
  })

  test.each([
    [1, 1],
    [1.5, 1.5],
    [168, 168],
  ])('timeout_hours %s is how long it is open', async (timeout_hours, hours) => {
    const { created_at, expires_at } = await seat.view(await pause({ timeout_hours }))
    expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(hours * 3_600_000)
  })

  test.each([0, 0.99, 168.1, -1, null, '24'])(
    'timeout_hours %s is refused',
    async (timeout_hours) => {
      const result = await client.tool('request_approval', { ...ACTION, timeout_hours })
      expect(errorOf(result)).toMatch(/^INVALID_INPUT: \/timeout_hours: /)
    },
  )

  test('a recipient whom no channel reaches is a failed delivery, said at once', async () => {
    const paused = await pause({ recipient_email: 'ann@example.com', recipient_slack: '#ops' })
    const { delivery, metadata } = await seat.view(paused)
    expect(delivery).toEqual([
      { channel: 'email', status: 'failed', error: expect.stringContaining('email') },
      { channel: 'slack', status: 'failed', error: expect.stringContaining('slack') },
    ])
    expect(metadata).toEqual({ recipient_email: 'ann@example.com', recipient_slack: '#ops' })
  })

  test.each([
    [{ action_description: ' ' }, '/action_description'],
    [{ action_details: undefined }, '/action_details'],
    [{ action_details: 7 }, '/action_details'],
    [{ recipient_email: '' }, '/recipient_email'],
  ])('%j is refused by its name', async (fields, path) => {
    const result = await client.tool('request_approval', { ...ACTION, ...fields })
    expect(errorOf(result)).toContain(`${path}: `)
  })
})

describe('check_approval', () => {
  test('of one that is open says that alone', async () => {
    expect(await check(await pause())).toEqual({ status: 'pending' })
  })

  test.each([
    ['Approve', 'approved', undefined],
    ['Reject', 'rejected', 'not „today“ 🚫'],
  ])('after %s is signed with the secret of the session', async (option, decision, comment) => {
    const paused = await pause()
    const view = await seat.decide(paused, { option, ...(comment && { comment }) })
    const { response, ...rest } = await check(paused)
    expect(rest).toEqual({
      pause_id: paused.pause_id,
      agent_id: 'agent',
      status: 'responded',
      created_at: view.created_at,
      expires_at: paused.expires_at,
    })
    const { signature, ...fields } = response as Record<string, unknown>
    expect(fields).toEqual({
      ...{ decision, comment: comment ?? null, fields: {}, channel: 'console' },
      responder: view.decided_by?.name,
      responded_at: view.responded_at,
      nonce: expect.stringMatching(/^[0-9a-f]{16,}$/),
    })
    const text = JSON.stringify(Object.fromEntries(Object.entries(fields).sort()))
    const hmac = createHmac('sha256', secret).update(text).digest('hex')
    expect(signature).toBe(`sha256=${hmac}`)
  })

  test('answers the same for ever, and another nonce for another approval', async () => {
    const [one, two] = [await pause(), await pause({ action_description: 'Another' })]
    for (const paused of [one, two]) await seat.decide(paused, { option: 'Approve' })
    expect(await check(one)).toEqual(await check(one))
    const nonces = [await check(one), await check(two)].map(
      ({ response }) => (response as { nonce: string }).nonce,
    )
    expect(new Set(nonces).size).toBe(2)
  })

  test('of one that was withdrawn is expired, and nobody approved', async () => {
    const paused = await pause()
    await client.tool('cancel_request', { request_id: paused.pause_id })
    expect(await check(paused)).toMatchObject({ status: 'expired', response: null })
  })

  test('of one that nobody answered is timed_out, and nobody approved', async () => {
    const input = { message: 'Approve?', options: ['Approve', 'Reject'], timeout_seconds: 1 }
    const { request_id } = viewOf(await client.tool('request_human_input', { ...input, ...NOW }))
    await client.tool('check_request_status', { request_id, wait_seconds: 10 })
    const checked = await check({ pause_id: request_id })
    expect(checked).toMatchObject({ status: 'timed_out', response: null })
  })

  test('of a question that was answered otherwise is an error, and no approval', async () => {
    const input = { message: 'Which?', options: ['Blue', 'Red'], ...NOW }
    const { request_id } = viewOf(await client.tool('request_human_input', input))
    await seat.decide({ request_id }, { option: 'Blue' })
    const result = await client.tool('check_approval', { pause_id: request_id })
    expect(errorOf(result)).toContain('check_request_status')
  })
})

import { beforeAll, describe, expect, test } from 'vitest'
import type { RequestView } from '../../src/protocol/types.ts'
import { calling, MCP_WAYS, type McpLine, modernMeta, textOf, WITH_TASKS } from '../support/mcp.ts'
import { askAs, SAME, type TwoTenants, twoTenants } from '../support/tenants.ts'

/** A12, over MCP: nothing that holds an agent's key decides, by whatever tool, method or message. */

const here = twoTenants()

const LABEL = 'Yes'
/** Says yes in every word that anything could read. */
const YES = {
  ...{ option: LABEL, response: 'yes', answer: LABEL, approved: true, outcome: 'approved' },
  ...{ decision: 'approved', status: 'completed', comment: 'ok', decided_by: { channel: 'mcp' } },
}
const COMMANDS = [
  ...['decide', 'approve', 'decision', 'resolve', 'answer', 'respond', 'settle', 'press'],
  ...['request.decided', 'requests/decide', 'hitl_approve', 'consume', 'toString', '__proto__'],
]

const [modern] = MCP_WAYS.filter(({ name }) => name === '2026-07-28')

const openModern = async ({ app, ours }: TwoTenants): Promise<McpLine> => {
  if (!modern) throw new Error('there is no such way')
  return modern.open(app.url, ours.key.headers)
}

describe.each(MCP_WAYS)('A12: over $name', ({ open }) => {
  test('no tool and no method approves, whatever it is called', () =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const { request_id } = ours.asked
      const line = await open(app.url, ours.key.headers)
      for (const [id, name] of COMMANDS.entries()) {
        const given = { request_id, pause_id: request_id, taskId: request_id, ...YES }
        const called = await line.request('tools/call', calling(name, given), id)
        expect([name, called.error?.code]).toEqual([name, -32602])
        const asked = await line.request(name, given, id)
        expect([name, asked.error?.code]).toEqual([name, -32601])
      }
    }))

  test('a tool that is there approves nothing, whatever it is told beside', () =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const { request_id } = ours.asked
      const line = await open(app.url, ours.key.headers)
      const listed = await line.request('tools/list', {}, 'list')
      const tools = (listed.result?.['tools'] ?? []) as readonly { readonly name: string }[]
      expect(tools.length).toBeGreaterThanOrEqual(9)
      const question = { ...SAME, message: ours.asked.message, options: ['Yes', 'No'] }
      // The one withdraws what it is told to, and the others would wait for a person.
      const asking = ['cancel_request', 'request_approval', 'permission_prompt']
      for (const { name } of tools.filter((tool) => !asking.includes(tool.name))) {
        const input = { ...YES, ...question, request_id, pause_id: request_id, url: 'x' }
        const params = { ...calling(name, { ...input, wait_seconds: 0 }), ...YES }
        const { error, result } = await line.request('tools/call', params, name)
        expect([name, error]).toEqual([name, undefined])
        expect([name, JSON.stringify(result).includes('"approved":true')]).toEqual([name, false])
      }
    }))
})

describe('A12: the person at the client', () => {
  test('is not heard where no person of the tenant has allowed it, although the client answers', () =>
    here().server.attack(async () => {
      const line = await openModern(here())
      const { asked } = here().ours
      const question = { ...SAME, message: asked.message, options: ['Yes', 'No'], wait_seconds: 0 }
      const response = { action: 'accept', content: { answer: LABEL } }
      for (const tool of ['request_human_input', 'hitl_request']) {
        const params = {
          ...calling(tool, question),
          ...{ requestState: asked.request_id, inputResponses: { answer: response } },
        }
        const answer = await line.request('tools/call', params, tool)
        expect(JSON.parse(textOf(answer))).toMatchObject({ status: 'pending', approved: false })
      }
    }))

  test('answers no task with what nobody asked for', () =>
    here().server.attack(async () => {
      const line = await openModern(here())
      const { request_id } = here().ours.asked
      const inputResponses = { answer: { action: 'accept', content: YES } }
      const params = { taskId: request_id, inputResponses, _meta: modernMeta(WITH_TASKS) }
      expect(await line.request('tasks/update', params, 1)).toMatchObject({
        result: { resultType: 'complete' },
      })
      const { result } = await line.request('tasks/get', params, 2)
      expect(result).toMatchObject({ taskId: request_id, status: 'working' })
    }))

  test('answers no form that was not shown, by a response to a request that there never was', () =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const [session] = MCP_WAYS
      const line = await session?.open(app.url, ours.key.headers)
      for (const id of [0, 1, '0', ours.asked.request_id]) {
        const result = { action: 'accept', content: { answer: LABEL } }
        const answer = await line?.post(JSON.stringify({ jsonrpc: '2.0', id, result }))
        expect(answer?.status).toBe(202)
      }
    }))
})

describe('A12: what was said to one question is no answer to another', () => {
  let approved: RequestView

  beforeAll(async () => {
    const { app, ours } = here()
    const { request_id } = await askAs(app, ours.key.headers, { message: 'Say hello?' })
    const path = `/api/requests/${request_id}/decision`
    const { body } = await app.post(path, { option: LABEL }, ours.account.headers)
    approved = body
    expect(approved.approved).toBe(true)
  })

  const OTHERS = [
    ['request_human_input', { message: 'Drop the table?', options: ['Yes', 'No'] }],
    ['hitl_request', { message: 'Say hello?', options: ['Yes', 'No', 'Never'] }],
    ['hitl_request', { message: 'Say hello?', options: ['Yes', 'No'], metadata: { to: 'all' } }],
  ] as const

  test.each(OTHERS)('that %s asks: %j', (name, input) =>
    here().server.attack(async () => {
      const { app, ours } = here()
      const line = await modern?.open(`${app.url}?session_id=same`, ours.key.headers)
      const params = {
        ...calling(name, input),
        ...{ requestState: approved.request_id, inputResponses: {} },
      }
      const answer = await line?.request('tools/call', params, 1)
      const said = answer ? textOf(answer) : ''
      expect(said).toContain('/requestState: is of another question')
      expect(said).not.toContain('"allow"')
      expect(said).not.toContain('approved')
    }),
  )
})

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RequestView } from '../../src/protocol/types.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { eventually } from '../support/eventually.ts'
import { callModern, textOf, viewOf } from '../support/mcp-attacks.ts'

/** Over MCP: an approval is of what the person was asked, and of one call. */

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app[Symbol.asyncDispose]())

const YES_NO = { options: ['Yes', 'No'] }

async function approved(message: string): Promise<RequestView> {
  const asked = viewOf(
    await callModern(app.url, 'request_human_input', { message, ...YES_NO, wait_seconds: 0 }),
  )
  const { body } = await app.decide(asked.request_id, { option: 'Yes' })
  expect(body.approved).toBe(true)
  return body
}

const pending = async (message: string): Promise<RequestView | undefined> => {
  const { body } = await app.get<{ pending_requests: RequestView[] }>('/hitl/pending')
  return body.pending_requests.find((one) => one.message === message)
}

const found = async (message: string): Promise<RequestView> => {
  await eventually(() => pending(message)).toBeDefined()
  return (await pending(message)) as RequestView
}

describe('a requestState that names an approved question', () => {
  test('allows no tool that nobody was asked about', async () => {
    const { request_id: requestState } = await approved('Read a file?')
    const asking = callModern(
      app.url,
      'permission_prompt',
      { tool_name: 'Bash', input: { command: 'rm -rf /' } },
      { params: { requestState } },
    )
    const { request_id } = await found('Allow Bash?\n\n{\n  "command": "rm -rf /"\n}')
    await app.decide(request_id, { option: 'Deny' })
    expect(JSON.parse(textOf(await asking))).toMatchObject({ behavior: 'deny' })
  })

  test('approves no other question', async () => {
    const { request_id: requestState } = await approved('Read another file?')
    const input = { message: 'Drop the database?', ...YES_NO }
    const answer = await callModern(app.url, 'request_human_input', input, {
      params: { requestState },
    })
    expect(answer.result).toMatchObject({ isError: true })
    expect(textOf(answer)).toContain('requestState is of another question')
  })

  test('is no approval of another action', async () => {
    const { request_id: requestState } = await approved('Read a third file?')
    const input = { action_description: 'Drop it', action_details: 'all of it' }
    const answer = await callModern(app.url, 'request_approval', input, {
      params: { requestState },
    })
    expect(answer.result?.structuredContent).toMatchObject({ status: 'pending' })
  })
})

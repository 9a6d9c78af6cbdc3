import { createHash } from 'node:crypto'
import { decodeJwt } from 'jose'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ToolResult } from '../../support/readers/mcp.ts'
import { openServer, serve, startOn } from '../../support/readers/server.ts'
import { NOWHERE } from '../../support/tenants.ts'
import { errorOf, NOW, OPTIONS, Seat, viewOf } from './seat.ts'

/** Answers of the person at the client, which holds the agent's key: only where a person allows it. */

const app = serve('pglite')

let seat: Seat
let stranger: Seat
beforeAll(async () => {
  stranger = await Seat.open(app())
}, 30_000)
beforeEach(async () => {
  seat = await Seat.open(app())
})

const FORMS = { elicitation: { form: {} } }
const QUESTION = { message: 'Deploy?', options: OPTIONS }
const TOOL = 'request_human_input'
const ELICIT = 'elicitation/create'

const allow = (inline_answers = true) =>
  seat.register('one', { inline_answers }, seat.account.headers)
const accept = (answer: unknown) => ({ action: 'accept', content: { answer } })

const decidedBy = () => ({
  ...{ channel: 'mcp', id: `agent:${seat.key.id}`, name: expect.stringContaining('the user of') },
})

describe('inline answers are allowed', () => {
  test('by a person alone: an agent that says so is 403, and the session is not made', async () => {
    const asAgent = await seat.register('one', { inline_answers: true })
    expect(asAgent).toMatchObject({ status: 403, body: { code: 'FORBIDDEN' } })
    const status = await app().get('/hitl/status?session_id=one', seat.key.headers)
    expect(status.status).toBe(404)
    await seat.register('two')
    expect((await seat.register('two', { inline_answers: true })).status).toBe(403)
    const local = { session_id: 'local-one', client_id: 'c', inline_answers: true }
    expect((await app().post('/hitl/register', local)).status).toBe(403)
  })

  test('for good: an agent may name it again, or leave it out, and changes nothing by it', async () => {
    expect((await allow()).status).toBe(200)
    expect((await seat.register('one', { inline_answers: true })).status).toBe(200)
    expect((await seat.register('one')).status).toBe(200)
    expect((await seat.register('one', { inline_answers: false })).status).toBe(403)
    await using client = await seat.client({ capabilities: FORMS })
    const call = client.call(TOOL, QUESTION)
    await client.reply(await call.asked(ELICIT), accept('Yes'))
    expect(viewOf(await call.answer<ToolResult>()).approved).toBe(true)
  })
})

describe('elicitation, of 2025-11-25', () => {
  test('puts the question to the person, whose answer counts', async () => {
    await allow()
    await using client = await seat.client({ capabilities: FORMS, name: 'My Editor' })
    const call = client.call(TOOL, QUESTION)
    const asked = await call.asked(ELICIT)
    expect(asked.params).toMatchObject({
      message: 'Deploy?',
      requestedSchema: {
        type: 'object',
        properties: { answer: { type: 'string', enum: OPTIONS } },
        required: ['answer'],
      },
    })
    await client.reply(asked, accept('No'))
    const view = viewOf(await call.answer<ToolResult>())
    expect(view).toMatchObject({ outcome: 'rejected', response: 'No', decided_by: decidedBy() })
    expect(view.decided_by?.name).toBe('the user of My Editor')
    expect(view.receipt).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/)
  })

  test('is named in the receipt by the text of the form', async () => {
    await allow()
    await using client = await seat.client({ capabilities: FORMS })
    const call = client.call(TOOL, { ...QUESTION, metadata: { to: 'production' } })
    const asked = await call.asked(ELICIT)
    await client.reply(asked, accept('Yes'))
    const { receipt } = viewOf(await call.answer<ToolResult>())
    const { request } = decodeJwt<{ request: { shown_digest: string } }>(receipt ?? '')
    const text = String(asked.params?.['message'])
    expect(text).toContain('to: production')
    expect(request.shown_digest).toBe(`sha-256:${createHash('sha256').update(text).digest('hex')}`)
  })

  test('takes text where there are no options', async () => {
    await allow()
    await using client = await seat.client({ capabilities: FORMS })
    const call = client.call(TOOL, { message: 'Which name?', request_type: 'input' })
    const asked = await call.asked(ELICIT)
    expect(asked.params?.['requestedSchema']).toMatchObject({
      properties: { answer: { type: 'string' } },
    })
    await client.reply(asked, accept('Ada'))
    const view = viewOf(await call.answer<ToolResult>())
    expect(view).toMatchObject({ outcome: 'answered', response: 'Ada' })
  })

  test.each([
    ['decline', { action: 'decline' }],
    ['cancel', { action: 'cancel' }],
    ['an option that was not offered', accept('Maybe')],
    ['no text', accept(7)],
    ['nothing', { action: 'accept' }],
  ])('%s is no answer: the question stays open for everybody else', async (_, reply) => {
    await allow()
    await using client = await seat.client({ capabilities: FORMS })
    const call = client.call(TOOL, QUESTION)
    await client.reply(await call.asked(ELICIT), reply)
    const asked = await seat.asked()
    await seat.decide(asked, { option: 'Yes' })
    expect(viewOf(await call.answer<ToolResult>())).toMatchObject({
      ...{ approved: true, decided_by: { channel: 'console' } },
    })
  })

  test('is called off when another channel was faster', async () => {
    await allow()
    await using client = await seat.client({ capabilities: FORMS })
    const call = client.call(TOOL, QUESTION)
    const asked = await call.asked(ELICIT)
    await seat.decide(await seat.asked(), { option: 'No' })
    expect(viewOf(await call.answer<ToolResult>()).outcome).toBe('rejected')
    const [cancelled] = call.notifications('notifications/cancelled')
    expect(cancelled?.params).toMatchObject({ requestId: asked.id })
    await client.reply(asked, accept('Yes'))
    expect((await seat.pending()).length).toBe(0)
  })

  test.each([
    ['the session does not allow it', false, FORMS],
    ['the client shows no forms', true, {}],
    ['the client shows only addresses', true, { elicitation: { url: {} } }],
  ])('does not happen when %s', async (_, isAllowed, capabilities) => {
    await allow(isAllowed)
    await using client = await seat.client({ capabilities })
    const call = client.call(TOOL, QUESTION)
    await seat.decide(await seat.asked(), { option: 'Yes' })
    await call.answer()
    expect(call.messages.items).toHaveLength(1)
  })

  test('is worth nothing any more once a person has turned it off', async () => {
    await allow()
    await using client = await seat.client({ capabilities: FORMS })
    const call = client.call(TOOL, QUESTION)
    const elicited = await call.asked(ELICIT)
    expect((await allow(false)).status).toBe(200)
    await client.reply(elicited, accept('Yes'))
    const asked = await seat.asked()
    await seat.decide(asked, { option: 'No' })
    expect(viewOf(await call.answer<ToolResult>()).outcome).toBe('rejected')
  })

  test('is worth nothing for what was asked before it was allowed', async () => {
    await allow(false)
    await using client = await seat.client({ capabilities: FORMS })
    const { request_id } = viewOf(await client.tool(TOOL, { ...QUESTION, ...NOW }))
    await allow()
    const call = client.call('check_request_status', { request_id, wait_seconds: 30 })
    await seat.decide({ request_id }, { option: 'Yes' })
    await call.answer()
    expect(call.messages.items).toHaveLength(1)
  })
})

describe('input_required, of 2026-07-28', () => {
  interface Asks {
    readonly resultType: string
    readonly requestState: string
    readonly inputRequests: { readonly answer: { method: string; params: object } }
  }

  const begin = (capabilities: object = FORMS) =>
    seat.modern({ capabilities }).call(TOOL, QUESTION).answer<Asks>()

  const resume = async (
    { requestState }: Pick<Asks, 'requestState'>,
    answer?: object,
    of = seat,
  ) => {
    const inputResponses = answer && { answer }
    const more = { requestState, ...(inputResponses && { inputResponses }) }
    return of
      .modern({ capabilities: FORMS, name: 'My Editor' })
      .call(TOOL, { ...QUESTION, wait_seconds: 30 }, more)
  }

  test('hands the question to the client, and takes the answer with the next call', async () => {
    await allow()
    const asks = await begin()
    expect(asks).toMatchObject({
      resultType: 'input_required',
      inputRequests: {
        answer: {
          method: ELICIT,
          params: {
            message: 'Deploy?',
            requestedSchema: { properties: { answer: { enum: OPTIONS } } },
          },
        },
      },
    })
    const [open] = await seat.pending()
    const view = viewOf(await (await resume(asks, accept('Yes'))).answer<ToolResult>())
    expect(view).toMatchObject({ request_id: open?.request_id, approved: true })
    expect(view.decided_by).toEqual({ ...decidedBy(), name: 'the user of My Editor' })
  })

  test('is for a client that says nothing of the kind of its elicitation, too', async () => {
    await allow()
    expect((await begin({ elicitation: {} })).resultType).toBe('input_required')
  })

  test.each([
    ['declined', { action: 'decline' }],
    ['closed it', { action: 'cancel' }],
    ['was not asked', undefined],
  ])('who %s has not answered: the call waits for the others', async (_, answer) => {
    await allow()
    const asks = await begin()
    const call = await resume(asks, answer)
    const asked = await seat.asked()
    await seat.decide(asked, { option: 'No' })
    const view = viewOf(await call.answer<ToolResult>())
    expect(view).toMatchObject({ outcome: 'rejected', decided_by: { channel: 'console' } })
    expect(await seat.pending()).toEqual([])
  })

  test('who declined, and left, is found again by the same call', async () => {
    await allow()
    const call = await resume(await begin(), { action: 'decline' })
    const { request_id } = await seat.asked()
    await call.head
    call.leave()
    const again = seat.modern({ capabilities: FORMS }).call(TOOL, QUESTION)
    expect(await again.answer()).toMatchObject({ requestState: request_id })
    expect(await seat.pending()).toHaveLength(1)
  })

  test('an answer that comes after another is the other one', async () => {
    await allow()
    const asks = await begin()
    await seat.decide(await seat.asked(), { option: 'No' })
    const view = viewOf(await (await resume(asks, accept('Yes'))).answer<ToolResult>())
    expect(view).toMatchObject({ outcome: 'rejected', decided_by: { channel: 'console' } })
  })

  test('nothing is asked of who does not want to wait, or where it is not allowed', async () => {
    await allow()
    const modern = seat.modern({ capabilities: FORMS })
    expect(viewOf(await modern.tool(TOOL, { ...QUESTION, ...NOW })).status).toBe('pending')
    await allow(false)
    const call = modern.call(TOOL, { ...QUESTION, message: 'Again?' })
    await seat.decide(await seat.asked(2), { option: 'Yes' })
    expect(await call.answer()).toMatchObject({ resultType: 'complete' })
  })

  test('turned off meanwhile, the answer does not count', async () => {
    await allow()
    const asks = await begin()
    await allow(false)
    const call = await resume(asks, accept('Yes'))
    const asked = await seat.asked()
    await seat.decide(asked, { option: 'No' })
    expect(viewOf(await call.answer<ToolResult>()).outcome).toBe('rejected')
  })

  test("with another tenant's state, or none of ours, is an error", async () => {
    await allow()
    const { requestState } = await begin()
    const { request_id } = await seat.asked()
    for (const state of [requestState, NOWHERE, 'none', request_id]) {
      const call = await resume({ requestState: state }, accept('Yes'), stranger)
      await expect(call.answer()).rejects.toMatchObject({ code: -32_602 })
    }
    expect((await seat.asked()).status).toBe('pending')
  })

  test('with the state of another question is an error: an approval is for what was asked', async () => {
    await allow()
    const { requestState } = await begin()
    await seat.decide({ request_id: requestState }, { option: 'Yes' })
    const modern = seat.modern({ capabilities: FORMS })
    for (const other of [
      { message: 'Delete?' },
      { metadata: { all: true } },
      { options: ['Yes'] },
    ]) {
      const result = await modern.tool(TOOL, { ...QUESTION, ...other }, { requestState })
      expect(errorOf(result)).toMatch(/^INVALID_INPUT: .*another question/)
    }
    const use = { tool_name: 'Bash', input: { command: 'rm -rf /' } }
    const { content } = await modern.tool('permission_prompt', use, { requestState })
    expect(JSON.parse(content[0]?.text ?? '')).toMatchObject({ behavior: 'deny' })
    const action = { action_description: 'Delete', action_details: '' }
    errorOf(await modern.tool('request_approval', action, { requestState }))
    expect(await seat.pending()).toEqual([])
  })

  test('with the id of a question that was asked where nobody allowed it, the answer does not count', async () => {
    await seat.register('two')
    const body = { session_id: 'two', client_id: 'agent', message: 'Pay?', options: OPTIONS }
    const asked = (await app().post('/hitl/request', body, seat.key.headers)).body
    const input = { ...QUESTION, message: 'Pay?', session_id: 'two', wait_seconds: 30 }
    const more = { requestState: asked.request_id, inputResponses: { answer: accept('Yes') } }
    const call = seat.modern({ capabilities: FORMS }).call(TOOL, input, more)
    await seat.decide(asked, { option: 'No' })
    expect(viewOf(await call.answer<ToolResult>()).outcome).toBe('rejected')
  })
})

test('M5: what is answered in a form from before a restart answers nothing that was asked after it', async () => {
  await using opened = new AsyncDisposableStack()
  const server = opened.use(await openServer('pglite'))
  const there = await Seat.open(server.app)
  await there.register('one', { inline_answers: true }, there.account.headers)
  const client = opened.use(await there.client({ capabilities: FORMS }))
  const old = await client.call(TOOL, { ...QUESTION, message: 'Harmless?' }).asked(ELICIT)
  await server.app.app.stop()
  const next = opened.use(await startOn(server.place))
  const same = opened.use(client.at(next))
  const call = same.call(TOOL, { ...QUESTION, message: 'Drop the table?' })
  const asked = await call.asked(ELICIT)
  await same.reply(old, accept('Yes'))
  await same.reply(asked, accept('No'))
  expect(viewOf(await call.answer<ToolResult>())).toMatchObject({ outcome: 'rejected' })
}, 30_000)

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app.ts'
import { callModern, type Message, textOf, viewOf } from '../support/mcp-attacks.ts'

/** Answers from the person at an MCP client count only when a person of the tenant has said so. */

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
  await app.register()
  const inline = { session_id: 'inline', client_id: 'c1', inline_answers: true }
  await app.post('/hitl/register', inline, await app.person())
})
afterAll(() => app[Symbol.asyncDispose]())

const FORM = { capabilities: { elicitation: { form: {} } } }

interface Round {
  readonly session_id: string
  readonly message: string
  readonly options?: readonly string[]
}

/** Asks, and answers itself as if its person had. */
async function answerItself(
  question: Round,
  answer: unknown,
  clientInfo: object = {},
): Promise<Message> {
  const first = await callModern(app.url, 'request_human_input', question, FORM)
  const params = {
    requestState: first.result?.['requestState'],
    inputResponses: { answer: { action: 'accept', content: { answer } } },
  }
  return callModern(
    app.url,
    'request_human_input',
    { ...question, wait_seconds: 0.2 },
    { ...FORM, params, clientInfo },
  )
}

describe('A12: without a person’s consent', () => {
  test('a client is never told to ask its own person, and what it says counts for nothing', async () => {
    const question = {
      session_id: 's1',
      message: 'Mine?',
      options: ['Yes', 'No'],
      wait_seconds: 0.1,
    }
    const asked = viewOf(await callModern(app.url, 'request_human_input', question, FORM))
    const params = {
      requestState: asked.request_id,
      inputResponses: { answer: { action: 'accept', content: { answer: 'Yes' } } },
    }
    const again = await callModern(app.url, 'request_human_input', question, { ...FORM, params })
    expect(viewOf(again)).toMatchObject({ request_id: asked.request_id, outcome: null })
  })

  test('an agent can not give it: by registering, or in its call', async () => {
    const wanted = { session_id: 's1', client_id: 'c1', inline_answers: true }
    expect((await app.post('/hitl/register', wanted)).status).toBe(403)
    expect((await app.post('/hitl/register', { ...wanted, session_id: 'new' })).status).toBe(403)
    const question = {
      session_id: 's1',
      message: 'In it?',
      inline_answers: true,
      wait_seconds: 0.1,
    }
    const asked = await callModern(app.url, 'request_human_input', question, FORM)
    expect(viewOf(asked).outcome).toBeNull()
  })
})

describe('A12: with it', () => {
  test('the person answers, under a name that can be read', async () => {
    const name = `Bot\u0000\u202E\uD800${'x'.repeat(5_000)}`
    const question = { session_id: 'inline', message: 'Now?', options: ['Yes', 'No'] }
    const { decided_by, outcome } = viewOf(await answerItself(question, 'Yes', { name }))
    expect(outcome).toBe('approved')
    expect(decided_by?.name).toBe(`the user of Bot\uFFFD${'x'.repeat(96)}`)
  })

  const NO_ANSWERS: Record<string, unknown> = {
    'no option': 'Maybe',
    'an option in another case': 'yes',
    'no text': { toString: 'Yes' },
    nothing: undefined,
  }
  test.for(Object.entries(NO_ANSWERS))('decides nothing: %s', async ([name, answer]) => {
    const question = { session_id: 'inline', message: `${name}?`, options: ['Yes', 'No'] }
    const said = await answerItself(question, answer)
    expect(JSON.stringify(said)).not.toContain('"approved":true')
    expect(textOf(said)).toMatch(/INVALID_INPUT|"status":"pending"/)
  })

  const NO_TEXTS = {
    NUL: 'a\u0000b',
    'a lone surrogate': '\uD800',
    blanks: ' ',
    long: 'x'.repeat(20_001),
  }
  test.for(Object.entries(NO_TEXTS))(
    'a text that nobody else may send: %s',
    async ([name, text]) => {
      const question = { session_id: 'inline', message: `Which text, ${name}?` }
      expect(textOf(await answerItself(question, text))).toContain('INVALID_INPUT')
    },
  )
})

import { describe, expect, test } from 'vitest'
import { type ErrorCode, LoopgateError } from '../../../../src/core/errors.ts'
import { callIdOf } from '../../../../src/transports/mcp/call.ts'
import { toAnswer, toForm } from '../../../../src/transports/mcp/form.ts'
import { toResource } from '../../../../src/transports/mcp/resources.ts'
import { toTask } from '../../../../src/transports/mcp/tasks.ts'
import { errorResult } from '../../../../src/transports/mcp/tool.ts'
import { aRequest } from '../../../support/builders.ts'

const withText = aRequest({ question: { options: [], type: 'input' } })

describe('the name of a call', () => {
  test('is what Claude Code calls it, or else our bridge', () => {
    expect(callIdOf({ 'claudecode/toolUseId': 'toolu_01A-b', 'loopgate/call': 'c' })).toBe(
      'toolu_01A-b',
    )
    expect(callIdOf({ 'loopgate/call': 'c' })).toBe('c')
  })

  test.each([
    undefined,
    {},
    { 'claudecode/toolUseId': '' },
    { 'claudecode/toolUseId': 7 },
    { 'claudecode/toolUseId': 'a:b' },
    { 'claudecode/toolUseId': 'x'.repeat(101) },
    { 'loopgate/call': 'a\n' },
    { other: 'c' },
  ])('is none in %j', (meta) => {
    expect(callIdOf(meta)).toBeUndefined()
  })
})

describe('a question as a form', () => {
  test('has one field, with the labels of the options in their order', () => {
    expect(toForm(aRequest())).toEqual({
      message: 'Deploy to production?',
      requestedSchema: {
        type: 'object',
        required: ['answer'],
        properties: {
          answer: { type: 'string', title: 'Answer', enum: ['Deploy', 'Hold', 'Review first'] },
        },
      },
    })
  })

  test('shows what Telegram shows: the metadata line by line, and nothing that hides', () => {
    const metadata = { to: 'a\nb', why: { n: 1 } }
    const { message } = toForm(aRequest({ question: { message: 'Pay\u202E?', metadata } }))
    expect(message).toBe('Pay⟨U+202E⟩?\n\n--- metadata: 2, to the end ---\nto: a ⏎ b\nwhy: {"n":1}')
  })

  test('takes text where there are no options', () => {
    const { answer } = toForm(withText).requestedSchema.properties
    expect(answer).toEqual({ type: 'string', title: 'Answer', maxLength: 20_000 })
  })

  test('is answered by accept alone', () => {
    const content = { answer: 'Deploy' }
    expect(toAnswer(aRequest(), { action: 'accept', content })).toEqual({ option: 'Deploy' })
    expect(toAnswer(withText, { action: 'accept', content })).toEqual({ response: 'Deploy' })
    for (const action of ['decline', 'cancel', 'ACCEPT', undefined, true]) {
      expect(toAnswer(aRequest(), { action, content })).toBeUndefined()
    }
  })

  test.each([undefined, null, {}, { answer: true }, { answer: ['Deploy'] }, 'Deploy'])(
    'is not answered by %j',
    (content) => {
      expect(toAnswer(aRequest(), { action: 'accept', content })).toBeUndefined()
    },
  )
})

describe('a request as a task', () => {
  const settledAt = new Date('2026-01-02T03:05:00.000Z')

  test.each([
    ['pending', 'working'],
    ['decided', 'completed'],
    ['expired', 'completed'],
    ['canceled', 'cancelled'],
  ] as const)('%s is %s', (status, shown) => {
    const isOver = status !== 'pending'
    const task = toTask(aRequest({ state: { status, settledAt: isOver ? settledAt : null } }))
    expect(task).toMatchObject({ taskId: '00000000-0000-4000-8000-000000000001', status: shown })
    expect(task.lastUpdatedAt).toBe(isOver ? settledAt.toISOString() : task.createdAt)
  })
})

test('a request as a resource has an address of its id', () => {
  const uri = 'loopgate://requests/00000000-0000-4000-8000-000000000001'
  expect(toResource(aRequest()).uri).toBe(uri)
})

describe('an error, to a model,', () => {
  const told = (code: ErrorCode, message?: string) => {
    const { content, isError, structuredContent } = errorResult(new LoopgateError(code, message))
    expect({ isError, structuredContent, blocks: content.length }).toEqual({
      isError: true,
      blocks: 1,
    })
    return content[0]?.text
  }

  test('is a sentence with its code, and what to do where the sentence does not say it', () => {
    expect(told('FORBIDDEN', 'no')).toBe('FORBIDDEN: no.')
    expect(told('FORBIDDEN', 'Is it?')).toBe('FORBIDDEN: Is it?')
    expect(told('REQUEST_NOT_FOUND')).toMatch(/^REQUEST_NOT_FOUND: .*list_pending_requests/)
    expect(told('TOO_MANY_PENDING')).toMatch(/cancel those that are not needed/)
    expect(told('UNAVAILABLE')).toMatch(/Nothing was decided/)
  })
})

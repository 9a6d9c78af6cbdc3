import { describe, expect, test } from 'vitest'
import { MAX_WAIT_SECONDS, parse } from '../../../src/protocol/fields.ts'
import {
  parseCallbackRegistration,
  parseDecision,
  parseRegistration,
  pendingQuery,
  pollQuery,
  requestBody,
  requestQuery,
  sessionQuery,
  streamQuery,
  toTarget,
} from '../../../src/protocol/requests.ts'
import { wrongPaths } from './refusals.ts'

describe('the registration of a callback', () => {
  const judged = {
    callbackProblem: (url: string) =>
      URL.canParse(url) && url.includes('.') ? undefined : 'must be public',
  }

  test('has the url in its normal form', () => {
    const url = 'HTTPS://A.example:443/x/../h\u00f6\u00f6k'
    const form = 'https://a.example/h%C3%B6%C3%B6k'
    expect(parseCallbackRegistration({ url, session_id: 's' }, judged)).toBe(form)
  })

  test.each([{}, { url: 7 }, { url: null }, { url: 'http://localhost/' }, { url: '' }])(
    'refuses %j by naming the url',
    (body) => {
      expect(wrongPaths(() => parseCallbackRegistration(body, judged))).toEqual(['/url'])
    },
  )

  test('is refused where nothing judges its address', () => {
    const register = () => parseCallbackRegistration({ url: 'https://a.example/' }, {})
    expect(wrongPaths(register)).toEqual(['/url'])
  })
})

describe('a registration', () => {
  const register = (fields: object) =>
    parseRegistration({ session_id: 's', client_id: 'c', ...fields })
  const wrong = (fields: object) => wrongPaths(() => register(fields))
  const telegram = (fields: object) => register(fields).reviewers['telegram']

  test('without anybody to ask asks nobody', () => {
    expect(register({})).toEqual({ sessionId: 's', clientId: 'c', reviewers: {} })
    expect(register({ approvers: [] }).reviewers).toEqual({})
  })

  test('of a private chat has its user, named again or not', () => {
    expect(telegram({ telegram_id: 41 })).toEqual({ address: '41', approvers: [] })
    expect(telegram({ telegram_id: 41, approvers: [41] })).toEqual({ address: '41', approvers: [] })
  })

  test('of a group has those that it names, each once', () => {
    expect(telegram({ telegram_id: -100 })).toEqual({ address: '-100', approvers: [] })
    expect(telegram({ telegram_id: -100, approvers: [7, 8, 7] })).toEqual({
      address: '-100',
      approvers: ['7', '8'],
    })
  })

  test('of approvers alone has them, and nobody has joined yet', () => {
    expect(telegram({ approvers: [7] })).toEqual({ address: null, approvers: ['7'] })
  })

  test('V4: beside a private chat another approver is refused', () => {
    expect(wrong({ telegram_id: 41, approvers: [42] })).toEqual(['/approvers'])
    expect(wrong({ telegram_id: 41, approvers: [41, 42] })).toEqual(['/approvers'])
  })

  test.each([1, -1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER])(
    'takes the telegram_id %d',
    (telegram_id) => {
      expect(telegram({ telegram_id })?.address).toBe(String(telegram_id))
    },
  )

  test.each([0, 1.5, Number.MAX_SAFE_INTEGER + 1, Number.NaN, '41', null, true, [41]])(
    'refuses the telegram_id %j',
    (telegram_id) => {
      expect(wrong({ telegram_id })).toEqual(['/telegram_id'])
    },
  )

  test.each([[[0]], [[-7]], [['7']], [[1.5]], [null]])('refuses the approvers %j', (approvers) => {
    const paths = wrong({ telegram_id: -100, approvers })
    expect(paths).toEqual([approvers === null ? '/approvers' : '/approvers/0'])
  })

  test('has the ids of a session', () => {
    expect(wrongPaths(() => parseRegistration({}))).toEqual(['/client_id', '/session_id'])
    expect(wrong({ session_id: 'x'.repeat(201), client_id: ' ' })).toEqual([
      '/client_id',
      '/session_id',
    ])
    expect(wrong({ session_id: '🚀'.repeat(200) })).toEqual([])
  })
})

describe('a decision', () => {
  const wrong = (body: unknown) => wrongPaths(() => parseDecision(body))

  test('is exactly one of an option and a text, and may have a comment', () => {
    expect(parseDecision({ option: 'Deploy' })).toEqual({ option: 'Deploy' })
    expect(parseDecision({ response: ' yes ', comment: 'go' })).toEqual({
      response: ' yes ',
      comment: 'go',
    })
    expect(wrong({})).toEqual([''])
    expect(wrong({ option: 'Deploy', response: 'yes' })).toEqual([''])
    expect(wrong({ comment: 'go' })).toEqual([''])
  })

  test('takes an empty comment for none', () => {
    expect(parseDecision({ option: 'Deploy', comment: '' }).comment).toBeUndefined()
  })

  test('has the limits of a text', () => {
    expect(wrong({ response: '🚀'.repeat(20_000) })).toEqual([])
    expect(wrong({ response: '🚀'.repeat(20_001) })).toEqual(['/response'])
    expect(wrong({ response: ' ' })).toEqual(['/response'])
    expect(wrong({ option: 'A', comment: 'x'.repeat(4_000) })).toEqual([])
    expect(wrong({ option: 'A', comment: 'x'.repeat(4_001) })).toEqual(['/comment'])
    expect(wrong({ option: 'A\0' })).toEqual(['/option'])
  })

  test('takes every label that could have been offered', () => {
    const option = '🚀'.repeat(100)
    expect(parseDecision({ option })).toEqual({ option })
  })

  test.each([{ option: 7 }, { option: null }])('refuses %j', (body) => {
    expect(wrong(body)).toEqual(['/option'])
  })
})

describe('a query', () => {
  test.each([
    ['0', 0],
    ['0.5', 0.5],
    ['50', 50],
    ['51', MAX_WAIT_SECONDS],
    ['999999999', MAX_WAIT_SECONDS],
  ])('waits %s seconds for %d', (wait, seconds) => {
    expect(parse(requestQuery, { wait }).wait).toBe(seconds)
  })

  test.each(['', '-1', 'abc', '1e3', '0x10', ' 5', '5s', 'NaN', 'Infinity', '1,5'])(
    'does not wait for %j',
    (wait) => {
      expect(wrongPaths(() => parse(requestQuery, { wait }))).toEqual(['/wait'])
    },
  )

  test('waits 50 seconds at most', () => {
    expect(MAX_WAIT_SECONDS).toBe(50)
  })

  test('that comes twice is refused, since it has no one meaning', () => {
    expect(wrongPaths(() => parse(sessionQuery, { session_id: ['a', 'b'] }))).toEqual([
      '/session_id',
    ])
    expect(wrongPaths(() => parse(pollQuery, { since: ['a', 'b'] }))).toEqual(['/since'])
  })

  test('has the ids it needs', () => {
    expect(wrongPaths(() => parse(sessionQuery, {}))).toEqual(['/session_id'])
    expect(wrongPaths(() => parse(requestBody, {}))).toEqual(['/request_id'])
    expect(parse(pendingQuery, {})).toEqual({})
  })

  test('takes any text for a cursor: what is none of ours is only not continued', () => {
    for (const since of ['', 'nonsense', '<script>', 'x'.repeat(200)]) {
      expect(parse(pollQuery, { session_id: 's', since }).since).toBe(since)
    }
    expect(wrongPaths(() => parse(pollQuery, { since: 'x'.repeat(201) }))).toEqual(['/since'])
  })

  test('of a stream takes the cursor under every name that polyfills have for it', () => {
    const names = { since: 'a', last_event_id: 'b', lastEventId: 'c' }
    expect(parse(streamQuery, { session_id: 's', ...names })).toEqual({ session_id: 's', ...names })
  })

  test('reads exactly one of a session and a request', () => {
    expect(toTarget({ session_id: 's' })).toEqual({ sessionId: 's' })
    expect(toTarget({ request_id: 'r' })).toEqual({ requestId: 'r' })
    expect(wrongPaths(() => toTarget({}))).toEqual([''])
    expect(wrongPaths(() => toTarget({ session_id: 's', request_id: 'r' }))).toEqual([''])
  })
})

import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { LoopgateError } from '../../../src/core/errors.ts'
import { parseAccount } from '../../../src/protocol/accounts.ts'
import { toProblem } from '../../../src/protocol/problem.ts'

/** What the console's page says when somebody is not let in. */

interface Answer {
  readonly status: number
  readonly retryMs: number
  readonly body: unknown
}

const FILE = join(import.meta.dirname, '../../../src/channels/console/account.js')
const page: Record<
  'problemOf' | 'newProblemOf',
  (answer: Answer | undefined) => { text: string; field?: string }
> = await import(pathToFileURL(FILE).href)

/** As the server sends it. */
function answerOf(error: LoopgateError): Answer {
  const retryMs = (error.details.retryAfterSeconds ?? 0) * 1_000
  return { status: error.status, retryMs, body: toProblem(error) }
}

/** What the server says to such an account. */
function refusalOf(body: unknown): Answer {
  try {
    parseAccount(body)
  } catch (error) {
    if (error instanceof LoopgateError) return answerOf(error)
  }
  throw new Error('it was not refused')
}

describe('who is not signed in is told', () => {
  test('that the password or the name is wrong, and not which', () => {
    expect(page.problemOf(answerOf(new LoopgateError('UNAUTHORIZED')))).toEqual({
      text: 'The username or the password is wrong.',
      field: 'password',
    })
  })

  test('when to try again', () => {
    const limited = new LoopgateError('RATE_LIMITED', undefined, { retryAfterSeconds: 42 })
    expect(page.problemOf(answerOf(limited)).text).toMatch(
      /^Too many attempts\. Try again in 42 s, at \d\d:\d\d:\d\d\.$/,
    )
  })

  test('that the server can not answer, and why', () => {
    const away = new LoopgateError('UNAVAILABLE', 'the database is away; try again')
    expect(page.problemOf(answerOf(away)).text).toBe(
      "The server can't answer right now (the database is away; try again).",
    )
    // A proxy's.
    expect(page.problemOf({ status: 503, retryMs: 0, body: undefined }).text).toBe(
      "The server can't answer right now.",
    )
  })

  test('that the server can not be reached', () => {
    expect(page.problemOf(undefined).text).toBe("The server can't be reached. Try again.")
  })

  test('what else the server says', () => {
    const foreign = new LoopgateError('FORBIDDEN', 'this Origin is not allowed')
    expect(page.problemOf(answerOf(foreign)).text).toBe(
      'The server refused: this Origin is not allowed.',
    )
    expect(page.problemOf({ status: 500, retryMs: 0, body: null }).text).toBe(
      'The server refused: 500.',
    )
  })
})

describe('who has made no account is told', () => {
  test('which fields are wrong, and is led to the first', () => {
    expect(page.newProblemOf(refusalOf({ username: ' ann', password: 'short' }))).toEqual({
      text:
        'Username: must not begin or end with a blank, or have two in a row. ' +
        'Password: must be at least 8 characters.',
      field: 'username',
    })
    expect(page.newProblemOf(refusalOf({ username: 'long-name', password: 'long-name' }))).toEqual({
      text: 'Password: must not be the username.',
      field: 'password',
    })
  })

  test('that the name is taken', () => {
    expect(page.newProblemOf(answerOf(new LoopgateError('USERNAME_TAKEN')))).toEqual({
      text: 'This username is taken. Choose another one.',
      field: 'username',
    })
  })

  test('that nobody may make one', () => {
    const closed = new LoopgateError('FORBIDDEN', 'registration is closed; see REGISTRATION')
    expect(page.newProblemOf(answerOf(closed)).text).toBe(
      'No account can be made here: registration is closed; see REGISTRATION.',
    )
  })

  test('that it may have been made when no answer came', () => {
    expect(page.newProblemOf(undefined).text).toBe(
      "The server didn't answer. If the account was made, you can sign in with it.",
    )
  })
})

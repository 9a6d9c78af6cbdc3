import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LoopgateError } from '../../../src/core/errors.ts'
import {
  type Answer,
  type Command,
  type HitlRequest,
  isRepeat,
  type Outcome,
  type RequestType,
  type Settlement,
  type Status,
  settle,
} from '../../../src/core/request.ts'
import { aRequest } from '../../support/builders.ts'

const ANN = { channel: 'console', id: 'ann', name: 'Ann' }
const BEN = { channel: 'telegram', id: '7', name: 'Ben' }

const decide = (answer: Answer, by = ANN): Command => ({ type: 'decide', answer, by })

const COMMANDS: Record<Command['type'], Command> = {
  decide: decide({ option: 'Deploy' }),
  expire: { type: 'expire' },
  cancel: { type: 'cancel' },
}

/** The table of the specification. The compiler keeps it complete. */
const TABLE: Record<Status, Record<Command['type'], Settlement['status'] | 'refused'>> = {
  pending: { decide: 'decided', expire: 'expired', cancel: 'canceled' },
  decided: { decide: 'refused', expire: 'refused', cancel: 'refused' },
  expired: { decide: 'refused', expire: 'refused', cancel: 'refused' },
  canceled: { decide: 'refused', expire: 'refused', cancel: 'refused' },
}

/** The request after the command, as the stores write it. */
function settledBy(request: HitlRequest, command: Command): HitlRequest {
  const settlement = settle(request, command)
  return { ...request, state: { ...request.state, ...settlement, settledAt: new Date(1) } }
}

const SETTLED: Record<Status, HitlRequest> = {
  pending: aRequest(),
  decided: settledBy(aRequest(), COMMANDS.decide),
  expired: settledBy(aRequest(), COMMANDS.expire),
  canceled: settledBy(aRequest(), COMMANDS.cancel),
}

const refusal = (act: () => unknown): LoopgateError => {
  try {
    act()
  } catch (error) {
    if (error instanceof LoopgateError) return error
    throw error
  }
  return expect.fail('it was not refused')
}

const rows = Object.entries(TABLE).flatMap(([from, columns]) =>
  Object.entries(columns).map(([command, becomes]) => ({ from, command, becomes })),
) as { from: Status; command: Command['type']; becomes: Settlement['status'] | 'refused' }[]

describe('a command on a request', () => {
  test.each(rows.filter(({ becomes }) => becomes !== 'refused'))(
    'that is $from: $command makes it $becomes',
    ({ from, command, becomes }) => {
      expect(settle(SETTLED[from], COMMANDS[command]).status).toBe(becomes)
    },
  )

  test.each(rows.filter(({ becomes }) => becomes === 'refused'))(
    'R1: that is $from: $command is refused, with the winner’s view',
    ({ from, command }) => {
      const request = SETTLED[from]
      const error = refusal(() => settle(request, COMMANDS[command]))
      expect(error.code).toBe('REQUEST_ALREADY_SETTLED')
      expect(error.details.request).toBe(request)
    },
  )

  test('settling changes nothing of what it was given', () => {
    const request = aRequest()
    const before = structuredClone(request)
    for (const command of Object.values(COMMANDS)) settle(request, command)
    expect(request).toEqual(before)
  })
})

describe('a decision', () => {
  test.each<[option: string, outcome: Outcome]>([
    ['Deploy', 'approved'],
    ['Hold', 'rejected'],
    ['Review first', 'answered'],
  ])('for %s is %s, by the effect of the option', (option, outcome) => {
    expect(settle(aRequest(), decide({ option, comment: 'because' }, BEN))).toEqual({
      status: 'decided',
      outcome,
      response: option,
      comment: 'because',
      decidedBy: BEN,
    })
  })

  test.each(['deploy', 'Deploy ', '', 'Ship', 'Dеploy'])(
    'for %j is refused: it was not offered',
    (option) => {
      const error = refusal(() => settle(aRequest(), decide({ option })))
      expect(error).toMatchObject({
        code: 'INVALID_INPUT',
        details: { issues: [{ path: '/option' }] },
      })
    },
  )

  test('A4: by text is refused where there are options', () => {
    const error = refusal(() => settle(aRequest(), decide({ response: 'Deploy' })))
    expect(error).toMatchObject({
      code: 'INVALID_INPUT',
      details: { issues: [{ path: '/response' }] },
    })
  })

  test('for an option is refused where there are none', () => {
    const request = aRequest({ question: { type: 'confirmation', options: [] } })
    expect(refusal(() => settle(request, decide({ option: 'Deploy' }))).code).toBe('INVALID_INPUT')
  })

  test.each<[type: RequestType, response: string, outcome: Outcome]>([
    ['confirmation', 'yes', 'approved'],
    ['confirmation', 'No.', 'rejected'],
    ['confirmation', 'yes, but later', 'answered'],
    ['input', 'yes', 'answered'],
    ['input', 'no', 'answered'],
    ['input', 'the blue one', 'answered'],
  ])('A4: on a %s, the text %j is %s, verbatim', (type, response, outcome) => {
    const request = aRequest({ question: { type, options: [] } })
    expect(settle(request, decide({ response }))).toMatchObject({ outcome, response })
  })

  test('without a comment has none', () => {
    expect(settle(aRequest(), COMMANDS.decide).comment).toBeNull()
  })
})

describe('R5: what nobody decided', () => {
  test.each(['expire', 'cancel'] as const)(
    '%s leaves without an answer and without a person',
    (type) => {
      const { status, outcome, ...answer } = settle(aRequest(), COMMANDS[type])
      expect(status).toBe(outcome)
      expect(answer).toEqual({ response: null, comment: null, decidedBy: null })
    },
  )
})

describe('R3: a repeat', () => {
  test('is the command that would have settled it just so', () => {
    for (const type of ['decide', 'cancel'] as const) {
      expect(isRepeat(settledBy(aRequest(), COMMANDS[type]), COMMANDS[type])).toBe(true)
    }
    const commented = decide({ option: 'Hold', comment: 'not today' })
    expect(isRepeat(settledBy(aRequest(), commented), commented)).toBe(true)
  })

  test('is not another command, another answer or another comment', () => {
    const request = settledBy(aRequest(), decide({ option: 'Hold', comment: 'not today' }))
    for (const other of [
      COMMANDS.cancel,
      COMMANDS.expire,
      decide({ option: 'Deploy', comment: 'not today' }),
      decide({ option: 'Hold' }),
      decide({ option: 'Hold', comment: 'never' }),
    ]) {
      expect(isRepeat(request, other)).toBe(false)
    }
  })

  test('is not what settles a pending request', () => {
    for (const command of Object.values(COMMANDS)) expect(isRepeat(aRequest(), command)).toBe(false)
  })

  test('is not an answer that was never offered', () => {
    const request = settledBy(aRequest(), COMMANDS.decide)
    expect(isRepeat(request, decide({ option: 'Ship' }))).toBe(false)
  })

  test('is not the label of the option, given as a text', () => {
    const request = settledBy(aRequest(), COMMANDS.decide)
    expect(isRepeat(request, decide({ response: 'Deploy' }))).toBe(false)
  })
})

describe('whatever commands come, in whatever order and however often', () => {
  const question = fc.constantFrom<Partial<HitlRequest['question']>>(
    {},
    { type: 'confirmation', options: [] },
    { type: 'input', options: [] },
  )
  const answer = fc.oneof(
    fc.record({ option: fc.constantFrom('Deploy', 'Hold', 'Review first', 'Ship') }),
    fc.record({ response: fc.constantFrom('yes', 'no', 'perhaps') }),
  )
  const command = fc.oneof(
    fc.record({
      type: fc.constant('decide' as const),
      answer,
      by: fc.constantFrom(ANN, BEN),
    }),
    fc.constant(COMMANDS.expire),
    fc.constant(COMMANDS.cancel),
  )

  /** Sends the commands one by one, and returns every state on the way. */
  function run(request: HitlRequest, commands: readonly Command[]): HitlRequest[] {
    const states = [request]
    for (const one of commands) {
      const now = states.at(-1) ?? request
      try {
        states.push(settledBy(now, one))
      } catch (error) {
        if (!(error instanceof LoopgateError)) throw error
        states.push(now)
      }
    }
    return states
  }

  const runs = fc.tuple(question, fc.array(command, { maxLength: 12 })).map(([over, commands]) => ({
    commands,
    states: run(aRequest({ question: over }), commands),
  }))

  test('R1, R2: the first that settles it wins, and nothing changes afterwards', () => {
    fc.assert(
      fc.property(runs, ({ states }) => {
        const first = states.find(({ state }) => state.status !== 'pending')
        if (!first) return
        const later = states.slice(states.indexOf(first))
        expect(new Set(later).size).toBe(1)
      }),
    )
  })

  test('R3: repeating each command changes nothing more', () => {
    fc.assert(
      fc.property(runs, ({ commands, states }) => {
        const [request] = states
        if (!request) return
        const twice = run(
          request,
          commands.flatMap((one) => [one, one]),
        )
        expect(twice.at(-1)).toEqual(states.at(-1))
      }),
    )
  })

  test('R4, R5: an answer has somebody who decided, and nobody else has answered', () => {
    fc.assert(
      fc.property(runs, ({ states }) => {
        for (const { state } of states) {
          const isDecided = state.status === 'decided'
          expect(state.decidedBy !== null).toBe(isDecided)
          expect(state.response !== null).toBe(isDecided)
          expect(['approved', 'rejected', 'answered'].includes(state.outcome ?? '')).toBe(isDecided)
        }
      }),
    )
  })

  test('R7: what was asked never changes', () => {
    fc.assert(
      fc.property(runs, ({ states }) => {
        expect(new Set(states.map(({ question: asked }) => asked)).size).toBe(1)
      }),
    )
  })
})

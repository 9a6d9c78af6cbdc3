import { describe, expect, test } from 'vitest'
import type { EventType } from '../../../src/core/event.ts'
import type { Outcome, State, Status } from '../../../src/core/request.ts'
import type { WireStatus } from '../../../src/protocol/types.ts'
import { envelopeJson, toEnvelope, toView } from '../../../src/protocol/view.ts'
import { anEvent, aRequest } from '../../support/builders.ts'

const SETTLED_AT = new Date('2026-01-02T03:05:00.007Z')
const ANN = { channel: 'telegram', id: '7', name: 'Ann' }

/** Every state that a request can be in. The compiler keeps the outcomes complete. */
const STATES: Record<Outcome | 'pending', { state: Partial<State>; status: WireStatus }> = {
  pending: { state: {}, status: 'pending' },
  approved: {
    state: { status: 'decided', decidedBy: ANN, response: 'Deploy' },
    status: 'completed',
  },
  rejected: { state: { status: 'decided', decidedBy: ANN, response: 'Hold' }, status: 'completed' },
  answered: { state: { status: 'decided', decidedBy: ANN, response: 'Blue' }, status: 'completed' },
  expired: { state: { status: 'expired' }, status: 'timeout' },
  canceled: { state: { status: 'canceled' }, status: 'canceled' },
}

const rows = Object.entries(STATES).map(([name, { state, status }]) => ({
  name,
  status,
  outcome: name === 'pending' ? null : (name as Outcome),
  state: {
    ...state,
    ...(name !== 'pending' && { outcome: name as Outcome, settledAt: SETTLED_AT }),
  },
}))

describe('the view of a request', () => {
  test('is the one of the contract, field by field', () => {
    const request = aRequest({
      seq: 7,
      question: { metadata: { z: 1, a: 2 } },
      state: {
        status: 'decided',
        outcome: 'approved',
        response: 'Deploy',
        comment: 'go',
        decidedBy: ANN,
        delivery: [
          { channel: 'telegram', status: 'delivered' },
          { channel: 'slack', status: 'failed', error: 'nobody is there' },
        ],
        settledAt: SETTLED_AT,
      },
    })
    expect(JSON.parse(JSON.stringify(toView(request)))).toEqual({
      request_id: '00000000-0000-4000-8000-000000000001',
      session_id: 'session-1',
      client_id: 'client-1',
      message: 'Deploy to production?',
      request_type: 'choice',
      options: [
        { label: 'Deploy', effect: 'approve' },
        { label: 'Hold', effect: 'reject' },
        { label: 'Review first', effect: 'other' },
      ],
      metadata: { z: 1, a: 2 },
      status: 'completed',
      outcome: 'approved',
      completed: true,
      approved: true,
      response: 'Deploy',
      comment: 'go',
      decided_by: { channel: 'telegram', id: '7', name: 'Ann' },
      delivery: [
        { channel: 'telegram', status: 'delivered' },
        { channel: 'slack', status: 'failed', error: 'nobody is there' },
      ],
      created_at: '2026-01-02T03:04:05.006Z',
      expires_at: '2026-01-02T03:09:05.006Z',
      responded_at: '2026-01-02T03:05:00.007Z',
      timestamp: '2026-01-02T03:05:00.007Z',
      cursor: 'e1-7',
      receipt: null,
    })
  })

  test.each(rows)('that is $name says $status, and nothing else means an approval', (row) => {
    const view = toView(aRequest({ state: row.state }))
    expect(view).toMatchObject({
      status: row.status,
      outcome: row.outcome,
      completed: row.name !== 'pending',
      approved: row.name === 'approved',
      decided_by: row.state.decidedBy ?? null,
      responded_at: row.name === 'pending' ? null : SETTLED_AT.toISOString(),
      timestamp: row.name === 'pending' ? view.created_at : SETTLED_AT.toISOString(),
    })
  })

  test('has a word of the wire for every status', () => {
    const STATUS: Record<Status, WireStatus> = {
      pending: 'pending',
      decided: 'completed',
      expired: 'timeout',
      canceled: 'canceled',
    }
    for (const [status, word] of Object.entries(STATUS) as [Status, WireStatus][]) {
      expect(toView(aRequest({ state: { status } })).status).toBe(word)
    }
  })

  test('shows no more of an option, a delivery or a person than they are on the wire', () => {
    const more = { secret: 'x' }
    const view = toView(
      aRequest({
        question: { options: [{ label: 'A', effect: 'other', ...more }] },
        state: {
          decidedBy: { ...ANN, ...more },
          delivery: [{ channel: 'telegram', status: 'queued', ...more }],
        },
      }),
    )
    expect(JSON.stringify(view)).not.toContain('secret')
  })
})

describe('the envelope of an event', () => {
  const TYPES: Record<EventType, true> = {
    'request.created': true,
    'request.delivered': true,
    'request.undelivered': true,
    'request.decided': true,
    'request.expired': true,
    'request.canceled': true,
  }

  test.each(Object.keys(TYPES) as EventType[])(
    'of %s has its cursor, its request and the view as of it',
    (type) => {
      const event = anEvent(type, { seq: 3, state: { status: 'canceled' } })
      expect(toEnvelope(event)).toEqual({
        id: 'e1-3',
        type,
        session_id: 'session-1',
        request_id: event.question.id,
        timestamp: event.at.toISOString(),
        data: toView({ question: event.question, state: event.state, cursor: event.cursor }),
      })
    },
  )

  test('is JSON on one line, made once for all readers', () => {
    const event = anEvent('request.created', { question: { message: 'a\nb\u2028c' } })
    const json = envelopeJson(event)
    expect(JSON.parse(json.toString())).toEqual(JSON.parse(JSON.stringify(toEnvelope(event))))
    expect(json.toString()).not.toContain('\n')
    expect(envelopeJson(event)).toBe(json)
    expect(envelopeJson({ ...event, cursor: { epoch: 'e1', seq: 2 } })).not.toBe(json)
  })
})

import { expectTypeOf, test } from 'vitest'
import type { Decision, Envelope, Loopgate, LoopgateClient } from '../../../client/index.ts'

/** What the types promise; the compiler is the one that checks it. */

test('only an approval is approved', () => {
  expectTypeOf<Extract<Decision, { approved: true }>['outcome']>().toEqualTypeOf<'approved'>()
  expectTypeOf<Extract<Decision, { approved: false }>['outcome']>().toEqualTypeOf<
    'rejected' | 'answered' | 'expired' | 'canceled'
  >()
})

test('a listener is given the type of event that it asked for', () => {
  const listen = (gate: Loopgate) => {
    gate.on('request.decided', (envelope) =>
      expectTypeOf(envelope.type).toEqualTypeOf<'request.decided'>(),
    )
    gate.on('*', (envelope) => expectTypeOf(envelope).toEqualTypeOf<Envelope>())
    // @ts-expect-error there is no such event
    gate.on('request.approved', () => undefined)
  }
  expectTypeOf(listen).toBeFunction()
})

test('the client of the Go Loopgate is called as it was', () => {
  expectTypeOf<Parameters<LoopgateClient['requestApproval']>>().toExtend<
    [string, string, string, unknown?, unknown?, unknown?]
  >()
})

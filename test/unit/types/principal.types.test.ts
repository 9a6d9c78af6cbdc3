import { expect, test } from 'vitest'
import type { Hub } from '../../../src/core/hub.ts'
import type { StoredRequest } from '../../../src/core/ports.ts'
import { type Agent, LOCAL, type Person, type Principal } from '../../../src/core/principal.ts'

/** Compiles, and is never called: what must not compile is marked. */
function decisions(hub: Hub, stored: StoredRequest, agent: Agent, person: Person): unknown[] {
  const principal: Principal = agent
  const answer = { option: 'Deploy' }
  return [
    hub.decide(person, 'id', answer),
    hub.decideWhile({}, person, stored, answer),
    // @ts-expect-error an agent can not decide
    hub.decide(agent, 'id', answer),
    // @ts-expect-error a program of this machine can not decide
    hub.decide(LOCAL, 'id', answer),
    // @ts-expect-error nor can whoever it may be
    hub.decide(principal as Principal, 'id', answer),
    // @ts-expect-error what an agent has can not be made into a person
    hub.decide({ ...agent, type: 'person' }, 'id', answer),
    // @ts-expect-error an agent can not decide
    hub.decideWhile({}, agent, stored, answer),
    // @ts-expect-error a program of this machine can not decide
    hub.decideWhile({}, LOCAL, stored, answer),
    // Everybody may cancel.
    hub.cancel(agent, 'id'),
    hub.cancel(LOCAL, 'id'),
    hub.cancel(person, 'id'),
  ]
}

test('R4: only a person compiles as who decides, which tsc checks', () => {
  expect(decisions).toBeInstanceOf(Function)
})

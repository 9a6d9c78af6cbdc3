/**
 * Who is calling. The three kinds are disjoint: only a Person decides, and nothing an agent holds
 * can be turned into one.
 *
 * Everything a principal does happens inside its tenant; what belongs to another tenant does not
 * exist for it.
 */
export type Principal = Agent | Person | Local

/** A program with an API key. Asks, reads and cancels. */
export interface Agent {
  readonly type: 'agent'
  readonly tenant: string
  /** The id of the key, never the key. */
  readonly id: string
  /** Whether the key may make sessions, and so say who is asked. */
  readonly mayRegister: boolean
  /** When the key ends; never, when it is undefined. */
  readonly until?: Date | undefined
}

/** A person. May do what agents may, and decide. */
export interface Person {
  readonly type: 'person'
  readonly tenant: string
  /** Where the person was recognised: `console`, `telegram`, … */
  readonly channel: string
  /** The channel's own unchangeable id of the person, never a name that can be taken over. */
  readonly id: string
  readonly name: string
  /** When what the person was recognised by ends. */
  readonly until?: Date | undefined
}

/** A program without a key on this machine, in local mode. Asks, reads and cancels. */
export interface Local {
  readonly type: 'local'
  readonly tenant: typeof LOCAL_TENANT
}

/** The tenant of everything asked without a key in local mode. */
export const LOCAL_TENANT = 'local'

export const LOCAL: Local = { type: 'local', tenant: LOCAL_TENANT }

/** Tells two principals apart in what is stored: a repeat by the same one is not a second command. */
export function principalKey(principal: Principal): string {
  switch (principal.type) {
    case 'agent':
      return `agent:${principal.id}`
    case 'person':
      return `person:${principal.channel}:${principal.id}`
    case 'local':
      return 'local'
    default:
      return principal satisfies never
  }
}

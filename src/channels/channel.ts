import type { FastifyInstance } from 'fastify'
import type * as z from 'zod'
import type {
  AddressStore,
  CardStore,
  ContactStore,
  Courier,
  InvitationStore,
  RateStore,
} from '../core/card.ts'
import type { Hub } from '../core/hub.ts'
import type { Authenticator, Clock, Leadership, Log, Metrics } from '../core/ports.ts'
import type { Person } from '../core/principal.ts'

export interface ChannelContext {
  readonly hub: Hub
  readonly cards: CardStore
  readonly invitations: InvitationStore
  readonly contacts: ContactStore
  readonly addresses: AddressStore
  /** Undefined when no other process can be on the database. */
  readonly rates: RateStore | undefined
  readonly http: FastifyInstance
  readonly auth: Authenticator
  /** For what only one of the processes on the database may do. */
  readonly leadership: Leadership
  readonly metrics: Pick<Metrics, 'failed'>
  readonly clock: Clock
  readonly logger: Log
  /** Whether this machine's own programs and people need no account. */
  readonly isLocalMode: boolean
  /** Whether whoever asks now may make an account. */
  mayRegister(): Promise<boolean>
  /** The address that people use, once the server listens. */
  readonly address: () => string
  /** A secret of this name, the same for every process on the database. */
  secret(name: string): Promise<string>
  /** A token with which the person may use what is open to persons. */
  issueToken(person: Person): Promise<string>
  /** Sends now what is owed, of one request or of all. */
  deliver(requestId?: string): void
}

/**
 * Where people are asked and answer. A channel knows the core and its own outside, and no other
 * channel; authority over who may answer there is its own to check.
 *
 * Factories open nothing but routes. `start` resolves when the channel is on or has failed; it never
 * rejects for what the outside did, which `status` tells instead.
 */
export interface Channel {
  readonly name: string
  /** For a channel that brings questions to people. Without one it only takes decisions. */
  readonly courier?: Courier
  start(): Promise<void>
  stop(): Promise<void>
  status(): ChannelStatus
}

export interface ChannelStatus {
  readonly state: 'starting' | 'on' | 'failed'
  /** One line for a person: what it is, or what to do. */
  readonly text: string
}

export type ChannelBuilder = (context: ChannelContext) => Channel

export interface ChannelDefinition<Settings> {
  readonly name: string
  /** The channel's variables. Undefined settings: the channel is off. */
  readonly env: z.ZodType<Settings | undefined>
  create(settings: Settings, context: ChannelContext): Channel
}

/** A channel whose variables, once read, yield the function that builds it, or nothing when it is off. */
export function defineChannel<Settings>({ name, env, create }: ChannelDefinition<Settings>) {
  return {
    name,
    builder: env.transform((settings): ChannelBuilder | undefined =>
      settings === undefined ? undefined : (context) => create(settings, context),
    ),
  }
}

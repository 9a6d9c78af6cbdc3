import { type Effect, type Option, readText } from './approval.ts'
import { invalid, LoopgateError } from './errors.ts'
import type { Cursor } from './event.ts'

/**
 * The life of a request.
 *
 *   submit --> pending --decide--> decided
 *                 |-----expire---> expired
 *                 `-----cancel---> canceled
 *
 * Only `pending` moves. The first settling command wins; the rest are refused.
 */
export type Status = 'pending' | 'decided' | 'expired' | 'canceled'

/** What a settled request means to the agent. */
export type Outcome = 'approved' | 'rejected' | 'answered' | 'expired' | 'canceled'

export type RequestType = 'confirmation' | 'input' | 'choice'

/**
 * Who is asked, by channel. `address` is where the channel asks (a chat, a mailbox); `approvers`
 * are the channel's ids of the people who may answer there, empty when the address alone says it.
 */
export type Reviewers = Readonly<Record<string, Audience>>

export interface Audience {
  /** Null while nobody has joined: only an invitation can fill it. */
  readonly address: string | null
  readonly approvers: readonly string[]
}

/**
 * Whether what is asked for is what is there. What is not mentioned is left as it is: a channel, or
 * the address of one, which somebody may have filled by joining.
 */
export function agrees(current: Reviewers, wanted: Reviewers): boolean {
  return Object.entries(wanted).every(([channel, { address, approvers }]) => {
    const known = current[channel]
    return (
      known !== undefined &&
      (address === null || known.address === address) &&
      known.approvers.length === approvers.length &&
      known.approvers.every((id) => approvers.includes(id))
    )
  })
}

/** What is asked for, over what is there. What is not mentioned stays, as in `agrees`. */
export function merge(current: Reviewers, wanted: Reviewers): Reviewers {
  const merged = Object.entries(wanted).map(([channel, { address, approvers }]) => {
    return [channel, { address: address ?? current[channel]?.address ?? null, approvers }] as const
  })
  return { ...current, ...Object.fromEntries(merged) }
}

/**
 * Answers from the person at an MCP client, which holds the agent's credential: they count only when
 * a person of the tenant has said so, by naming this approver.
 */
export const INLINE: { readonly channel: string; readonly approver: string } = {
  channel: 'mcp',
  approver: 'inline',
}

export const isInlineAllowed = (reviewers: Reviewers): boolean =>
  reviewers[INLINE.channel]?.approvers.includes(INLINE.approver) ?? false

export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [key: string]: Json
}

/** What was asked. Nothing in it ever changes. */
export interface Question {
  readonly id: string
  readonly tenant: string
  readonly sessionId: string
  readonly clientId: string
  readonly message: string
  readonly type: RequestType
  readonly options: readonly Option[]
  readonly metadata: JsonObject
  /** The reviewers as they were when it was asked. */
  readonly reviewers: Reviewers
  /**
   * Whether somebody is to be called back when it is settled. Becomes true when an address is
   * registered for its session while it is pending.
   */
  readonly hasCallbacks: boolean
  readonly createdAt: Date
  readonly expiresAt: Date
}

/** The person who decided, as shown to agents. */
export interface DecidedBy {
  readonly channel: string
  readonly id: string
  readonly name: string
}

/** Whether the reviewers of a channel are asked, as agents see it. */
export interface Delivery {
  readonly channel: string
  readonly status: 'queued' | 'delivered' | 'failed'
  /** Why nobody was asked, for `failed`. */
  readonly error?: string
}

/** Where a request stands. */
export interface State {
  readonly status: Status
  readonly outcome: Outcome | null
  readonly response: string | null
  readonly comment: string | null
  readonly decidedBy: DecidedBy | null
  readonly delivery: readonly Delivery[]
  readonly settledAt: Date | null
  /** The signed proof of how it was settled; null while it is pending. */
  readonly receipt: string | null
}

/** A question and where it stands, as of one event. */
export interface HitlRequest {
  readonly question: Question
  readonly state: State
  /** The id of the request's newest event. */
  readonly cursor: Cursor
}

/** What a person answers: one of the options, or text where there are none. */
export interface Answer {
  readonly option?: string | undefined
  readonly response?: string | undefined
  readonly comment?: string | undefined
  /** The text by which the person was asked, as far as the channel knows. */
  readonly shown?: string | undefined
}

/** What settles a request. */
export type Command =
  | { readonly type: 'decide'; readonly answer: Answer; readonly by: DecidedBy }
  | { readonly type: 'cancel' }
  | { readonly type: 'expire' }

/** The part of a State that a settling command writes. */
export interface Settlement {
  readonly status: Exclude<Status, 'pending'>
  readonly outcome: Outcome
  readonly response: string | null
  readonly comment: string | null
  readonly decidedBy: DecidedBy | null
  /** The text by which the person was asked; undefined for the one of the card. */
  readonly shown?: string | undefined
}

const OUTCOMES: Readonly<Record<Effect, Outcome>> = {
  approve: 'approved',
  reject: 'rejected',
  other: 'answered',
}

const unanswered = { response: null, comment: null, decidedBy: null } as const

/**
 * What a command makes of a request.
 * @throws {LoopgateError} REQUEST_ALREADY_SETTLED unless it is pending; INVALID_INPUT for an answer
 * that was not offered.
 */
export function settle(request: HitlRequest, command: Command): Settlement {
  if (request.state.status !== 'pending') {
    throw new LoopgateError('REQUEST_ALREADY_SETTLED', undefined, { request })
  }
  switch (command.type) {
    case 'decide':
      return {
        status: 'decided',
        ...read(request.question, command.answer),
        comment: command.answer.comment ?? null,
        decidedBy: command.by,
        shown: command.answer.shown,
      }
    case 'cancel':
      return { status: 'canceled', outcome: 'canceled', ...unanswered }
    case 'expire':
      return { status: 'expired', outcome: 'expired', ...unanswered }
    default:
      return command satisfies never
  }
}

function read(question: Question, answer: Answer): Pick<Settlement, 'outcome' | 'response'> {
  if (answer.option !== undefined) {
    const option = question.options.find(({ label }) => label === answer.option)
    if (!option)
      throw invalid('/option', 'must be the label of one of the options that were offered')
    return { outcome: OUTCOMES[option.effect], response: option.label }
  }
  if (question.options.length > 0) {
    throw invalid('/response', 'this request is answered by one of its options, not by text')
  }
  const response = answer.response ?? ''
  const effect = question.type === 'confirmation' ? readText(response) : 'other'
  return { outcome: OUTCOMES[effect], response }
}

/** Whether a settled request is what this command made of it, when the same principal gave both. */
export function isRepeat({ question, state }: HitlRequest, command: Command): boolean {
  switch (command.type) {
    case 'decide': {
      const { option, response, comment = null } = command.answer
      return (
        state.status === 'decided' &&
        state.response === (question.options.length > 0 ? option : response) &&
        state.comment === comment
      )
    }
    case 'cancel':
      return state.status === 'canceled'
    case 'expire':
      return state.status === 'expired'
    default:
      return command satisfies never
  }
}

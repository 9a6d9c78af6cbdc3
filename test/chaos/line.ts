import { PersonTokens } from '../../src/http/tokens.ts'
import { userOf } from '../support/users.ts'
import { JWT_SECRET, type Place } from './place.ts'

export interface Reviewer {
  readonly id: number
  readonly first_name: string
  readonly is_bot: false
}

/** A session, who is asked in it and where. */
export interface Line {
  readonly session: string
  readonly client: string
  readonly tenant: string
  readonly chat: number
  readonly reviewers: readonly Reviewer[]
  /** What agents and people send as their credential; the agents of `local` need none. */
  readonly token: string | undefined
  readonly personToken: string
  readonly isGroup: boolean
}

export const DECIDER = 'decider'

/** Every third line asks in a group, every second belongs to another tenant. */
export async function makeLine(place: Place, number: number): Promise<Line> {
  const tenant = number % 2 === 0 ? 'local' : await userOf({ url: place.url(0) }, 'acme')
  const isGroup = number % 3 === 0
  const reviewers = (isGroup ? [1, 2] : [1]).map((n): Reviewer => {
    return { id: 10_000 + number * 10 + n, first_name: `Reviewer ${number}-${n}`, is_bot: false }
  })
  for (const reviewer of reviewers) place.tg.privateChat(reviewer)
  const [first] = reviewers
  const chat = isGroup ? place.tg.group({ members: reviewers }).id : (first?.id ?? 0)
  const personToken = await new PersonTokens(JWT_SECRET).issue({
    ...{ type: 'person', tenant, channel: 'console', id: DECIDER, name: 'Decider' },
  })
  const token = tenant === 'local' ? undefined : personToken
  const names = { session: `s-${number}`, client: `c-${number}` }
  return { ...names, tenant, chat, reviewers, token, personToken, isGroup }
}

export const registration = ({ session, client, chat, reviewers, isGroup }: Line) => ({
  session_id: session,
  client_id: client,
  telegram_id: chat,
  ...(isGroup && { approvers: reviewers.map(({ id }) => id) }),
})

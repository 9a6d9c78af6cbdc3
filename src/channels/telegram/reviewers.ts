import type { Api } from 'grammy'
import { LoopgateError } from '../../core/errors.ts'
import type { Clock } from '../../core/ports.ts'
import type { Audience } from '../../core/request.ts'
import { retryAfterMs } from './bot-api.ts'

/** How long a group's list of administrators is taken to hold. */
const ADMINS_MS = 60_000
const MAX_GROUPS = 1_000

interface LookUp {
  readonly ids: Promise<readonly string[]>
  /** Milliseconds of the clock until which it holds. */
  until: number
}

/**
 * Who may answer in a chat. Only the numeric id counts: names can be changed and taken over.
 *
 * In a private chat it is the chat's user. In a group it is the named approvers, or, when none are
 * named, its administrators. Somebody who writes as the group itself (an anonymous administrator)
 * has the id of a bot that all of them share, and is nobody here.
 */
export class TelegramReviewers {
  readonly #api: Api
  readonly #clock: Clock
  readonly #admins = new Map<string, LookUp>()

  constructor(api: Api, clock: Clock) {
    this.#api = api
    this.#clock = clock
  }

  /** `audiences` are those of the request as it was asked and of its session now: all must agree. */
  async mayAnswer(
    userId: string,
    chat: string,
    audiences: readonly (Audience | undefined)[],
  ): Promise<boolean> {
    for (const audience of audiences) {
      if (!(await this.#isIn(userId, chat, audience))) return false
    }
    return audiences.length > 0
  }

  async #isIn(userId: string, chat: string, audience: Audience | undefined): Promise<boolean> {
    if (audience?.address !== chat) return false
    if (!isGroup(chat)) return userId === chat
    if (audience.approvers.length > 0) return audience.approvers.includes(userId)
    return (await this.#adminsOf(chat)).includes(userId)
  }

  /** One look-up at a time for a group; a failed one is not repeated before Telegram wants it. */
  #adminsOf(chat: string): Promise<readonly string[]> {
    const known = this.#admins.get(chat)
    if (known && this.#clock.now() < known.until) return known.ids
    if (this.#admins.size >= MAX_GROUPS) this.#admins.clear()
    const lookUp: LookUp = { ids: this.#lookUp(chat), until: this.#clock.now() + ADMINS_MS }
    this.#admins.set(chat, lookUp)
    lookUp.ids.catch((error: unknown) => {
      const cause = error instanceof Error ? error.cause : undefined
      lookUp.until = this.#clock.now() + retryAfterMs(cause)
    })
    return lookUp.ids
  }

  /** @throws {LoopgateError} FORBIDDEN when nobody can say who administers the group. */
  async #lookUp(chat: string): Promise<readonly string[]> {
    try {
      const members = await this.#api.getChatAdministrators(chat)
      return members.filter(({ user }) => !user.is_bot).map(({ user }) => String(user.id))
    } catch (cause) {
      throw new LoopgateError(
        'FORBIDDEN',
        'I can not see right now who administers this group. Nothing was changed; please try again.',
        { cause },
      )
    }
  }
}

/** Ids of groups and channels are negative. */
export const isGroup = (chat: string): boolean => chat.startsWith('-')

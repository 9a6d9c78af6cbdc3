import type { Api } from 'grammy'
import { LoopgateError } from '../../core/errors.ts'
import type { Clock } from '../../core/ports.ts'
import type { Audience } from '../../core/request.ts'
import { toDeliveryError } from './bot-api.ts'

/** How long a group's list of administrators is taken to hold. */
const ADMINS_MS = 60_000
const MAX_GROUPS = 1_000

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
  readonly #admins = new Map<string, { ids: readonly string[]; at: number }>()

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

  async #adminsOf(chat: string): Promise<readonly string[]> {
    const known = this.#admins.get(chat)
    if (known && this.#clock.now() - known.at < ADMINS_MS) return known.ids
    const members = await this.#lookUp(chat)
    const ids = members.filter(({ user }) => !user.is_bot).map(({ user }) => String(user.id))
    if (this.#admins.size >= MAX_GROUPS) this.#admins.clear()
    this.#admins.set(chat, { ids, at: this.#clock.now() })
    return ids
  }

  /** @throws {LoopgateError} UNAVAILABLE while Telegram can not say, FORBIDDEN when it will not. */
  async #lookUp(chat: string) {
    try {
      return await this.#api.getChatAdministrators(chat)
    } catch (error) {
      if (toDeliveryError(error).retryAfterMs !== undefined) {
        throw new LoopgateError('UNAVAILABLE', 'Telegram does not answer', { cause: error })
      }
      throw new LoopgateError('FORBIDDEN', 'I can not see who administers this group.', {
        cause: error,
      })
    }
  }
}

/** Ids of groups and channels are negative. */
export const isGroup = (chat: string): boolean => chat.startsWith('-')

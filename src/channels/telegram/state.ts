import type { Candidacy } from '../../core/ports.ts'
import type { ChannelStatus } from '../channel.ts'
import { BAD_TOKEN, isBadToken } from './bot-api.ts'

/**
 * Where the channel stands.
 *
 *   starting --getMe--> on
 *       |                |
 *       '---bad token----'--> failed, for good: somebody must mend the token
 */
export class TelegramState {
  #username: string | undefined
  #failure: string | undefined
  #trouble: string | undefined
  #candidacy: Candidacy | undefined
  readonly #mode: string

  constructor(mode: 'polling' | 'webhook') {
    this.#mode = mode
  }

  /** The bot's, once Telegram has told it. */
  get username(): string | undefined {
    return this.#failure === undefined ? this.#username : undefined
  }

  /** Why nothing can be sent, for good. */
  get failure(): string | undefined {
    return this.#failure
  }

  reached(username: string): void {
    this.#username = username
    this.#trouble = undefined
  }

  /** Who polls is decided among the processes. */
  competes(candidacy: Candidacy): void {
    this.#candidacy = candidacy
  }

  /** Telegram, or the network, said no. */
  heard(error: unknown): void {
    if (isBadToken(error)) this.#failure = BAD_TOKEN
    else this.#trouble = error instanceof Error ? error.message : String(error)
  }

  status(): ChannelStatus {
    if (this.#failure !== undefined) return { state: 'failed', text: `failed: ${this.#failure}` }
    if (this.#username !== undefined) {
      return { state: 'on', text: `@${this.#username} (${this.#mode}${this.#who()})` }
    }
    const why = this.#trouble === undefined ? '' : ` (${this.#trouble})`
    return { state: 'starting', text: `Telegram is not reached yet${why}; trying again` }
  }

  #who(): string {
    switch (this.#candidacy?.standing) {
      case 'following':
        return '; another process does it'
      case 'unknown':
        return '; which process does it is not known while the database is away'
      default:
        return ''
    }
  }
}

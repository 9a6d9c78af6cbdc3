import { type Bot, GrammyError } from 'grammy'
import type { AddressStore } from '../../core/card.ts'
import type { Hub } from '../../core/hub.ts'
import { toDeliveryError } from './bot-api.ts'

const CHANNEL = 'telegram'

export interface AddressParts {
  readonly addresses: AddressStore
  readonly hub: Hub
  deliver(): void
}

/** What becomes of chats: a group gets another id, a person blocks the bot. */
export class Addresses {
  readonly #parts: AddressParts

  constructor(parts: AddressParts) {
    this.#parts = parts
  }

  /** Told by updates. The old chat and the new one both tell that a group became a supergroup. */
  listen(bot: Bot): void {
    bot.on('message:migrate_to_chat_id', ({ message }) =>
      this.#move(message.chat.id, message.migrate_to_chat_id),
    )
    bot.on('message:migrate_from_chat_id', ({ message }) =>
      this.#move(message.migrate_from_chat_id, message.chat.id),
    )
    bot.on('my_chat_member', async ({ myChatMember: { chat, new_chat_member } }) => {
      const { status } = new_chat_member
      if (status !== 'kicked' && status !== 'left') return this.back(String(chat.id))
      const why = chat.type === 'private' ? 'was blocked by the user' : `was removed from the chat`
      await this.#lose(String(chat.id), `the bot ${why}`)
    })
  }

  /** Told by a refusal. True when the chat is another one now, where to ask again. */
  async heard(chat: string, error: unknown): Promise<boolean> {
    if (!(error instanceof GrammyError)) return false
    const { migrate_to_chat_id } = error.parameters
    if (migrate_to_chat_id !== undefined) {
      await this.#move(chat, migrate_to_chat_id)
      return true
    }
    if (error.error_code === 403) await this.#lose(chat, toDeliveryError(error).message)
    return false
  }

  /** Somebody is there who was not: a person who starts the bot, a group that has it again. */
  async back(chat: string): Promise<void> {
    const { addresses, deliver } = this.#parts
    if (await addresses.reachable(CHANNEL, chat)) deliver()
  }

  async #move(from: number | string, to: number): Promise<void> {
    await this.#parts.addresses.move(CHANNEL, String(from), String(to))
    this.#parts.deliver()
  }

  /** What waits for its turn there need not wait for its own refusal; what was sent is not read. */
  async #lose(chat: string, error: string): Promise<void> {
    const { addresses, hub } = this.#parts
    hub.publish(await addresses.unreachable(CHANNEL, chat, error))
  }
}

import type { CallbackQuery, Chat, Message, User } from '@grammyjs/types'
import {
  type ChatRecord,
  type ChatRef,
  GROUP_ANONYMOUS_BOT,
  idOf,
  type MemberStatus,
  type UserRef,
} from './chats.ts'
import { asChatMember } from './methods/chat-info.ts'
import { botUser, withoutReply } from './methods/sending.ts'
import type { Press } from './presses.ts'
import { foundEntities } from './text.ts'
import type { QueuedUpdate } from './updates.ts'
import { compact, type Fields } from './values.ts'
import type { World } from './world.ts'

export interface Writing {
  readonly user: UserRef
  /** The private chat with the user unless said. */
  readonly chat?: ChatRef
  readonly text?: string
  /** Any further fields of the message, such as forward_origin, sender_chat, via_bot or photo. */
  readonly [field: string]: unknown
}

export interface Pressing {
  readonly user: UserRef
  readonly chat?: ChatRef
  readonly messageId: number
  /** What `callback_query.message` is; a message the fake does not have is always `inaccessible`. */
  readonly message?: 'full' | 'inaccessible' | 'absent'
}

export interface Made<T> {
  readonly made: T
  /** Undefined when the bot did not subscribe to it or privacy mode keeps it away. */
  readonly update: QueuedUpdate | undefined
}

const OWN_WORDS = new Set(['user', 'chat', 'text', 'replyTo'])
const CALLBACK_ID_RANGE = 10n ** 17n

/** What people do in Telegram, turned into messages and updates. */
export class People {
  readonly #world: World
  #presses = 0n

  constructor(world: World) {
    this.#world = world
  }

  write(writing: Writing, repliesTo?: Message): Made<Message> {
    const record = this.#chatOf(writing)
    const { from, sender_chat } = this.#senderIn(record, writing.user)
    const entities = foundEntities(writing.text ?? '')
    const extra = Object.entries(writing).filter(([name]) => !OWN_WORDS.has(name))
    const message = compact<Omit<Message, 'message_id'>>({
      from,
      sender_chat,
      chat: record.chat,
      date: this.#world.clock.seconds(),
      reply_to_message: repliesTo && withoutReply(repliesTo),
      text: writing.text,
      entities: entities.length === 0 ? undefined : entities,
      ...Object.fromEntries(extra),
    } as Omit<Message, 'message_id'>)
    const made = this.#world.messages.add({ message, fromBot: false })
    return { made, update: this.#tell('message', record, made) }
  }

  edit(writing: Writing, messageId: number): Made<Message> {
    const record = this.#chatOf(writing)
    const current = this.#world.messages.current(record.chat.id, messageId)
    const { from } = this.#senderIn(record, writing.user)
    if (!current || current.from?.id !== from.id) {
      throw new Error(`message ${messageId} in chat ${record.chat.id} is not this person's`)
    }
    const { entities: _, ...rest } = current
    const found = foundEntities(writing.text ?? '')
    const made = this.#world.messages.replace(
      compact<Message>({
        ...rest,
        text: writing.text,
        entities: found.length === 0 ? undefined : found,
        edit_date: this.#world.clock.seconds(),
      } as Message),
    )
    return { made, update: this.#tell('edited_message', record, made) }
  }

  press(pressing: Pressing, data: string | undefined, extra: Fields = {}): Made<Press> {
    const user = this.#world.chats.know(pressing.user)
    const chatId = idOf(pressing.chat ?? user.id)
    const press = this.#world.presses.open(
      compact<CallbackQuery>({
        id: this.#newQueryId(user),
        from: user,
        message: this.#pressedMessage(pressing, chatId),
        chat_instance: chatInstance(chatId),
        data,
        ...extra,
      } as CallbackQuery),
    )
    return { made: press, update: this.#world.queue.push('callback_query', press.query) }
  }

  /** The callback data behind a button's label. */
  dataOf(pressing: Pressing, label: string): string {
    const chatId = idOf(pressing.chat ?? pressing.user)
    const message = this.#world.messages.current(chatId, pressing.messageId)
    if (!message) throw new Error(`no message ${pressing.messageId} in chat ${chatId}`)
    const buttons = message.reply_markup?.inline_keyboard.flat() ?? []
    const button = buttons.find(({ text }) => text === label)
    if (button && 'callback_data' in button) return button.callback_data
    const labels = buttons.map(({ text }) => `"${text}"`).join(', ') || 'no buttons'
    const problem = button ? 'sends no callback' : 'does not exist'
    throw new Error(`button "${label}" ${problem}; message ${pressing.messageId} has ${labels}`)
  }

  /** The person's side of the private chat changes; the bot is told by my_chat_member. */
  setBlocked(userId: number, blocked: boolean): void {
    const record = this.#world.chats.get(userId)
    if (record.blocked === blocked) return
    record.blocked = blocked
    const user = this.#world.chats.know(userId)
    if (blocked) this.#tellMembership(record, user, 'member', 'kicked')
    else this.#tellMembership(record, user, 'kicked', 'member')
  }

  /** Somebody changes the bot's own place in a group. */
  setBotStatus(chat: ChatRef, by: UserRef, status: MemberStatus): void {
    const { chats } = this.#world
    const record = chats.get(chat)
    const before = record.members.get(chats.bot.id)?.status
    chats.setMember(record, chats.bot.id, status)
    this.#tellMembership(record, chats.know(by), before, status)
  }

  migrate(chat: ChatRef): Chat {
    const old = this.#world.chats.get(chat)
    const next = this.#world.chats.migrate(old)
    this.#service(old, { migrate_to_chat_id: next.chat.id })
    this.#service(next, { migrate_from_chat_id: old.chat.id })
    return next.chat
  }

  #service(record: ChatRecord, fields: Fields): void {
    const message = {
      from: GROUP_ANONYMOUS_BOT,
      sender_chat: record.chat,
      chat: record.chat,
      date: this.#world.clock.seconds(),
      ...fields,
    } as Omit<Message, 'message_id'>
    const made = this.#world.messages.add({ message, fromBot: false })
    this.#world.queue.push('message', made)
  }

  #tellMembership(
    record: ChatRecord,
    from: User,
    before: MemberStatus | undefined,
    now: MemberStatus,
  ) {
    const bot = botUser(this.#world)
    const asMember = (status: MemberStatus | undefined) =>
      asChatMember(bot, status && { status, anonymous: false })
    this.#world.queue.push('my_chat_member', {
      chat: record.chat,
      from,
      date: this.#world.clock.seconds(),
      old_chat_member: asMember(before),
      new_chat_member: asMember(now),
    })
  }

  /** Writing to the bot is what allows the bot to write back. */
  #chatOf({ user, chat }: Writing): ChatRecord {
    const { chats } = this.#world
    const { id } = chats.know(user)
    const record =
      chat === undefined || idOf(chat) === id ? chats.privateChat(user) : chats.get(chat)
    if (record.blocked) throw new Error(`user ${id} blocked the bot: unblock() before they write`)
    if (record.migratedTo !== undefined) {
      throw new Error(`chat ${record.chat.id} is now ${record.migratedTo}: write there`)
    }
    return record
  }

  #senderIn(record: ChatRecord, ref: UserRef): { from: User; sender_chat?: Chat } {
    const user = this.#world.chats.know(ref)
    if (!record.members.get(user.id)?.anonymous) return { from: user }
    return { from: GROUP_ANONYMOUS_BOT, sender_chat: record.chat }
  }

  #tell(kind: string, record: ChatRecord, message: Message): QueuedUpdate | undefined {
    if (!this.#mayRead(record, message)) return undefined
    return this.#world.queue.push(kind, message)
  }

  /** Privacy mode: in groups a bot gets commands, replies to it, mentions of it and what it carried. */
  #mayRead(record: ChatRecord, message: Message): boolean {
    const { bot } = this.#world.chats
    const status = record.members.get(bot.id)?.status
    if (record.chat.type === 'private') return true
    if (status === 'left' || status === 'kicked' || status === undefined) return false
    if (!this.#world.privacyMode || status === 'administrator') return true
    if (message.reply_to_message?.from?.id === bot.id || message.via_bot?.id === bot.id) return true
    const name = `@${bot.username.toLowerCase()}`
    return (message.entities ?? []).some(({ type, offset, length }) => {
      const found = (message.text ?? '').slice(offset, offset + length).toLowerCase()
      if (type === 'mention') return found === name
      return type === 'bot_command' && (!found.includes('@') || found.endsWith(name))
    })
  }

  #pressedMessage(pressing: Pressing, chatId: number): CallbackQuery['message'] {
    if (pressing.message === 'absent') return undefined
    const message = this.#world.messages.current(chatId, pressing.messageId)
    if (message && pressing.message !== 'inaccessible') return message
    const chat = this.#world.chats.find(chatId)?.chat ?? this.#world.chats.privateChat(chatId).chat
    return { chat, message_id: pressing.messageId, date: 0 }
  }

  #newQueryId(user: User): string {
    this.#presses += 1n
    return String(BigInt(user.id) * CALLBACK_ID_RANGE + this.#presses)
  }
}

/** The same for every press in a chat, and not the chat's id. */
function chatInstance(chatId: number): string {
  return String(BigInt.asIntN(63, BigInt(chatId) * 6_364_136_223_846_793_005n + 1_442_695n))
}

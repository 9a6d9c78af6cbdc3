import type { Chat, User, UserFromGetMe } from '@grammyjs/types'
import { badRequest, forbidden } from './errors.ts'
import type { Params } from './params.ts'
import { compact } from './values.ts'

/** A person as a test names them; what is left out is filled in or remembered from before. */
export interface FakeUser {
  readonly id: number
  readonly first_name?: string
  readonly last_name?: string
  readonly username?: string
  readonly language_code?: string
  readonly is_bot?: boolean
}

export type UserRef = FakeUser | number
export type ChatRef = { readonly id: number } | number
export type MemberStatus = 'creator' | 'administrator' | 'member' | 'left' | 'kicked'

export interface Member {
  readonly status: MemberStatus
  readonly anonymous: boolean
}

export interface GroupOptions {
  readonly id?: number
  readonly type?: 'group' | 'supergroup'
  readonly title?: string
  readonly username?: string
  readonly owner?: UserRef
  readonly members?: readonly UserRef[]
  readonly administrators?: readonly UserRef[]
  /** They post as the group itself; supergroups only. */
  readonly anonymousAdministrators?: readonly UserRef[]
  /** The bot's own place in the group; `member` unless said. */
  readonly bot?: 'administrator' | 'member' | 'left' | 'kicked'
  /** Thread ids of a forum; naming any makes the supergroup a forum. */
  readonly topics?: readonly number[]
}

export interface ChatRecord {
  readonly chat: Chat
  readonly members: Map<number, Member>
  readonly topics: ReadonlySet<number>
  blocked: boolean
  migratedTo: number | undefined
}

/** Users Telegram puts in `from` when a chat speaks for itself. */
export const GROUP_ANONYMOUS_BOT: User = {
  id: 1_087_968_824,
  is_bot: true,
  first_name: 'Group',
  username: 'GroupAnonymousBot',
}

export function idOf(ref: ChatRef | UserRef): number {
  return typeof ref === 'number' ? ref : ref.id
}

/** Everyone the bot could know, and the chats between them. */
export class Chats {
  readonly bot: UserFromGetMe
  readonly #users = new Map<number, User>()
  readonly #deactivated = new Set<number>()
  readonly #chats = new Map<number, ChatRecord>()
  #nextGroup = 4_100_000_000 + Math.floor(Math.random() * 1_000_000)

  constructor(bot: UserFromGetMe) {
    this.bot = bot
    this.#users.set(bot.id, bot)
  }

  /** Makes a person known to the bot without opening a private chat with them. */
  know(ref: UserRef): User {
    const given: FakeUser = typeof ref === 'number' ? { id: ref } : ref
    const known = this.#users.get(given.id)
    const user = compact<User>({
      id: given.id,
      is_bot: given.is_bot ?? known?.is_bot ?? false,
      first_name: given.first_name ?? known?.first_name ?? `User ${given.id}`,
      last_name: given.last_name ?? known?.last_name,
      username: given.username ?? known?.username,
      language_code: given.language_code ?? known?.language_code,
    })
    if (given.id !== this.bot.id) this.#users.set(given.id, user)
    return user
  }

  user(id: number): User | undefined {
    return this.#users.get(id)
  }

  privateChat(ref: UserRef): ChatRecord {
    const user = this.know(ref)
    const chat = compact<Chat.PrivateChat>({
      id: user.id,
      type: 'private',
      first_name: user.first_name,
      last_name: user.last_name,
      username: user.username,
    })
    const before = this.#chats.get(user.id)
    return this.#put({
      chat,
      members: new Map(),
      topics: new Set(),
      blocked: before?.blocked ?? false,
      migratedTo: undefined,
    })
  }

  group(options: GroupOptions): ChatRecord {
    const type = options.type ?? 'supergroup'
    const chat = compact<Chat>({
      id: options.id ?? this.#newGroupId(type),
      type,
      title: options.title ?? 'Approvals',
      username: options.username,
      is_forum: options.topics ? true : undefined,
    } as Chat)
    const record = this.#put({
      chat,
      members: new Map(),
      topics: new Set(options.topics),
      blocked: false,
      migratedTo: undefined,
    })
    this.#join(record, [this.bot.id], options.bot ?? 'member')
    this.#join(record, options.members ?? [], 'member')
    this.#join(record, options.administrators ?? [], 'administrator')
    this.#join(record, options.anonymousAdministrators ?? [], 'administrator', true)
    if (options.owner !== undefined) this.#join(record, [options.owner], 'creator')
    return record
  }

  /** The group's people under a new id, as a supergroup; the old chat only points there. */
  migrate(old: ChatRecord): ChatRecord {
    const next = this.group({ title: old.chat.title ?? '', type: 'supergroup' })
    for (const [id, member] of old.members) next.members.set(id, member)
    old.migratedTo = next.chat.id
    return next
  }

  setMember(record: ChatRecord, ref: UserRef, status: MemberStatus, anonymous = false): void {
    this.#join(record, [ref], status, anonymous)
  }

  deactivate(id: number): void {
    this.#deactivated.add(id)
  }

  find(id: number): ChatRecord | undefined {
    return this.#chats.get(id)
  }

  get(ref: ChatRef): ChatRecord {
    const record = this.#chats.get(idOf(ref))
    if (!record) throw new Error(`no chat ${idOf(ref)}: declare it with privateChat() or group()`)
    return record
  }

  /** The chat a call names, when the bot may see it. */
  visible(params: Params): ChatRecord {
    const record = this.#named(params)
    if (record.migratedTo !== undefined) {
      throw badRequest('group chat was upgraded to a supergroup chat', {
        migrate_to_chat_id: record.migratedTo,
      })
    }
    const status = record.members.get(this.bot.id)?.status
    const kind = record.chat.type === 'group' ? 'group chat' : 'supergroup chat'
    if (status === 'kicked') throw forbidden(`bot was kicked from the ${kind}`)
    if (status === 'left') throw forbidden(`bot is not a member of the ${kind}`)
    return record
  }

  /** The chat a call names, when the bot may write there. */
  writable(params: Params): ChatRecord {
    const id = Number(params.text('chat_id'))
    if (!this.#chats.has(id) && this.#users.has(id)) {
      throw forbidden("bot can't initiate conversation with a user")
    }
    const record = this.visible(params)
    if (this.#deactivated.has(record.chat.id)) throw forbidden('user is deactivated')
    if (record.blocked) throw forbidden('bot was blocked by the user')
    return record
  }

  #named(params: Params): ChatRecord {
    const name = params.text('chat_id')
    if (name === '') throw badRequest('chat_id is empty')
    const record = name.startsWith('@') ? this.#byUsername(name.slice(1)) : this.find(Number(name))
    if (!record) throw badRequest('chat not found')
    return record
  }

  #byUsername(username: string): ChatRecord | undefined {
    const wanted = username.toLowerCase()
    return [...this.#chats.values()].find(
      ({ chat }) => chat.type !== 'private' && chat.username?.toLowerCase() === wanted,
    )
  }

  #join(record: ChatRecord, refs: readonly UserRef[], status: MemberStatus, anonymous = false) {
    for (const ref of refs) record.members.set(this.know(ref).id, { status, anonymous })
  }

  #put(record: ChatRecord): ChatRecord {
    this.#chats.set(record.chat.id, record)
    return record
  }

  #newGroupId(type: 'group' | 'supergroup'): number {
    this.#nextGroup += 1
    return type === 'group' ? -this.#nextGroup : -1_000_000_000_000 - (this.#nextGroup % 1e9)
  }
}

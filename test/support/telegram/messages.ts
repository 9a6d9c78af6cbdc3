import type { Message } from '@grammyjs/types'
import { badRequest } from './errors.ts'
import type { Upload } from './multipart.ts'
import type { Fields } from './values.ts'
import { Waiters } from './waiters.ts'

/** One message as it is now, with what only a test may see. */
export interface StoredMessage extends Message {
  /** The uploaded document's bytes. */
  readonly file?: Upload
  /** A reply keyboard, its removal or a forced reply, which Telegram never returns. */
  readonly otherMarkup?: Fields
  /** Earlier versions, oldest first. */
  readonly history: readonly Message[]
  readonly deleted: boolean
  readonly fromBot: boolean
}

interface Entry {
  readonly message: Message
  readonly file: Upload | undefined
  readonly otherMarkup: Fields | undefined
  readonly history: readonly Message[]
  readonly deleted: boolean
  readonly fromBot: boolean
}

export interface NewMessage {
  readonly message: Omit<Message, 'message_id'>
  readonly fromBot: boolean
  readonly file?: Upload | undefined
  readonly otherMarkup?: Fields | undefined
}

/** All messages of all chats. A stored version is never changed, so answers and updates may share it. */
export class Messages {
  readonly added = new Waiters<StoredMessage>()
  readonly edited = new Waiters<StoredMessage>()
  readonly #chats = new Map<number, Map<number, Entry>>()
  readonly #edits: StoredMessage[] = []
  readonly #nextIds = new Map<number, number>()

  /** Private chats and basic groups share one sequence of ids; every supergroup has its own. */
  add(draft: NewMessage): Message {
    const { chat } = draft.message
    const message: Message = { message_id: this.#newId(chat.id, chat.type), ...draft.message }
    const entry: Entry = {
      message,
      file: draft.file,
      otherMarkup: draft.otherMarkup,
      history: [],
      deleted: false,
      fromBot: draft.fromBot,
    }
    this.#of(chat.id).set(message.message_id, entry)
    this.added.notify(view(entry))
    return message
  }

  find(chatId: number, messageId: number): StoredMessage | undefined {
    const entry = this.#chats.get(chatId)?.get(messageId)
    return entry && !entry.deleted ? view(entry) : undefined
  }

  /** The version Telegram shows. */
  current(chatId: number, messageId: number): Message | undefined {
    const entry = this.#chats.get(chatId)?.get(messageId)
    return entry?.deleted === false ? entry.message : undefined
  }

  replace(next: Message): Message {
    const entries = this.#of(next.chat.id)
    const entry = entries.get(next.message_id)
    if (!entry) throw badRequest('message to edit not found')
    const changed = { ...entry, message: next, history: [...entry.history, entry.message] }
    entries.set(next.message_id, changed)
    this.#edits.push(view(changed))
    this.edited.notify(view(changed))
    return next
  }

  delete(chatId: number, messageId: number): void {
    const entries = this.#of(chatId)
    const entry = entries.get(messageId)
    if (entry) entries.set(messageId, { ...entry, deleted: true })
  }

  list(chatId: number): StoredMessage[] {
    return this.everything(chatId).filter((message) => !message.deleted)
  }

  /** Deleted ones too. */
  everything(chatId: number): StoredMessage[] {
    return [...(this.#chats.get(chatId)?.values() ?? [])].map(view)
  }

  edits(chatId: number): StoredMessage[] {
    return this.#edits.filter((edit) => edit.chat.id === chatId)
  }

  close(): void {
    this.added.close()
    this.edited.close()
  }

  #of(chatId: number): Map<number, Entry> {
    const entries = this.#chats.get(chatId) ?? new Map<number, Entry>()
    this.#chats.set(chatId, entries)
    return entries
  }

  #newId(chatId: number, type: string): number {
    const sequence = type === 'supergroup' ? chatId : 0
    const id = (this.#nextIds.get(sequence) ?? 0) + 1
    this.#nextIds.set(sequence, id)
    return id
  }
}

function view({ message, file, otherMarkup, history, deleted, fromBot }: Entry): StoredMessage {
  return {
    ...message,
    ...(file ? { file } : {}),
    ...(otherMarkup ? { otherMarkup } : {}),
    history,
    deleted,
    fromBot,
  }
}

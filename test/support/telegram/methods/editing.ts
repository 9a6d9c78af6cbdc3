import type { InlineKeyboardMarkup, Message, MessageEntity } from '@grammyjs/types'
import type { ChatRecord } from '../chats.ts'
import { badRequest, NOT_MODIFIED } from '../errors.ts'
import { checkCaption, checkText, readCaption, readText } from '../formatting/formatting.ts'
import { readInlineMarkup } from '../keyboard.ts'
import { DELETE_WINDOW } from '../limits.ts'
import type { StoredMessage } from '../messages.ts'
import type { Params } from '../params.ts'
import type { FormattedText } from '../text.ts'
import { compact, sameJson } from '../values.ts'
import type { World } from '../world.ts'

export function editMessageText(world: World, params: Params): Message {
  const content = readText(params)
  const markup = readInlineMarkup(params)
  const { current } = editable(world, params)
  if (current.text === undefined) throw badRequest('there is no text in the message to edit')
  // Telegram's servers, not the Bot API server, measure an edit; hence the other words.
  checkText(content, 'MESSAGE_TOO_LONG')
  world.rates.admit(current.chat.id, current.chat.type !== 'private')
  return replace(world, current, markup, {
    text: content.text,
    entities: optional(content),
  })
}

export function editMessageCaption(world: World, params: Params): Message {
  const caption = readCaption(params)
  const markup = readInlineMarkup(params)
  const { current } = editable(world, params)
  if (current.document === undefined) {
    throw badRequest('there is no caption in the message to edit')
  }
  checkCaption(caption, 'MEDIA_CAPTION_TOO_LONG')
  return replace(world, current, markup, {
    caption: caption.text === '' ? undefined : caption.text,
    caption_entities: optional(caption),
  })
}

export function editMessageReplyMarkup(world: World, params: Params): Message {
  const markup = readInlineMarkup(params)
  return replace(world, editable(world, params).current, markup, {})
}

export function deleteMessage(world: World, params: Params): true {
  const record = world.chats.writable(params)
  const message = find(world, record, params, 'message to delete not found')
  const tooOld = world.clock.now() - message.date * 1000 > DELETE_WINDOW
  if (tooOld || !(message.fromBot || mayDeleteOthers(world, record))) {
    throw badRequest("message can't be deleted")
  }
  world.messages.delete(record.chat.id, message.message_id)
  return true
}

function mayDeleteOthers(world: World, { chat, members }: ChatRecord): boolean {
  return chat.type === 'private' || members.get(world.chats.bot.id)?.status === 'administrator'
}

function find(world: World, record: ChatRecord, params: Params, missing: string): StoredMessage {
  const messageId = params.integer('message_id')
  if (messageId === 0) throw badRequest('message identifier is not specified')
  const message = world.messages.find(record.chat.id, messageId)
  if (!message) throw badRequest(missing)
  return message
}

/** Only the bot's own messages, and none that was sent with a reply keyboard or forced reply. */
function editable(world: World, params: Params): { current: Message } {
  const record = world.chats.writable(params)
  const stored = find(world, record, params, 'message to edit not found')
  const current = world.messages.current(record.chat.id, stored.message_id)
  if (!current || !stored.fromBot || stored.otherMarkup || stored.forward_origin) {
    throw badRequest("message can't be edited")
  }
  return { current }
}

type Change = { [K in keyof Message]?: Message[K] | undefined }

/** An edit without a keyboard takes the keyboard away. */
function replace(
  world: World,
  current: Message,
  markup: InlineKeyboardMarkup | undefined,
  change: Change,
): Message {
  const next = compact<Message>({ ...current, ...change, reply_markup: markup } as Message)
  if (sameJson(essence(next), essence(current))) throw badRequest(NOT_MODIFIED)
  return world.messages.replace({ ...next, edit_date: world.clock.seconds() })
}

function essence(message: Message): unknown[] {
  const { text, entities, caption, caption_entities, reply_markup } = message
  return [text, entities, caption, caption_entities, reply_markup]
}

function optional({ entities }: FormattedText): MessageEntity[] | undefined {
  return entities.length === 0 ? undefined : entities
}

import { randomBytes } from 'node:crypto'
import type { Document, LinkPreviewOptions, Message, MessageEntity } from '@grammyjs/types'
import type { ChatRecord } from '../chats.ts'
import { badRequest } from '../errors.ts'
import { checkCaption, checkText, readCaption, readText } from '../formatting/formatting.ts'
import { type Markup, readMarkup } from '../keyboard.ts'
import { FILE_MAX_BYTES } from '../limits.ts'
import type { Upload } from '../multipart.ts'
import type { Params } from '../params.ts'
import { compact } from '../values.ts'
import type { World } from '../world.ts'

const ACTIONS = new Set([
  ...['typing', 'upload_photo', 'record_video', 'upload_video', 'record_voice', 'upload_voice'],
  ...['upload_document', 'choose_sticker', 'find_location', 'record_video_note'],
  ...['upload_video_note'],
])

export function sendMessage(world: World, params: Params): Message {
  const content = readText(params)
  const markup = readMarkup(params)
  const target = readTarget(world, params)
  checkText(content, 'message is too long')
  return post(world, target, markup, {
    text: content.text,
    entities: optional(content.entities),
    link_preview_options: params.object('link_preview_options') as LinkPreviewOptions | undefined,
  })
}

export function sendDocument(world: World, params: Params): Message {
  const caption = readCaption(params)
  const markup = readMarkup(params)
  const target = readTarget(world, params)
  checkCaption(caption, 'message caption is too long')
  const [document, file] = readDocument(world, params, target.record.chat.id)
  const content = {
    document,
    caption: caption.text === '' ? undefined : caption.text,
    caption_entities: optional(caption.entities),
  }
  return post(world, target, markup, content, file)
}

export function sendChatAction(world: World, params: Params): true {
  world.chats.writable(params)
  if (!ACTIONS.has(params.text('action').toLowerCase())) {
    throw badRequest('wrong parameter action in request')
  }
  return true
}

interface Target {
  readonly record: ChatRecord
  readonly threadId: number | undefined
  readonly repliesTo: Message | undefined
}

type Content = { [K in keyof Message]?: Message[K] | undefined }

function readTarget(world: World, params: Params): Target {
  const record = world.chats.writable(params)
  const threadId = params.integer('message_thread_id') || undefined
  if (threadId !== undefined && !record.topics.has(threadId)) {
    throw badRequest('message thread not found')
  }
  return { record, threadId, repliesTo: readReply(world, params, record.chat.id) }
}

/** Replies to a message of another chat are not modelled. */
function readReply(world: World, params: Params, chatId: number): Message | undefined {
  const reply = params.object('reply_parameters')
  if (reply && reply['message_id'] === undefined) throw badRequest('can\'t find field "message_id"')
  const messageId = Number(reply?.['message_id'] ?? params.integer('reply_to_message_id'))
  if (messageId === 0) return undefined
  const message = world.messages.current(chatId, messageId)
  const mayMiss =
    reply?.['allow_sending_without_reply'] === true || params.flag('allow_sending_without_reply')
  if (!message && !mayMiss) throw badRequest('message to be replied not found')
  return message
}

function post(
  world: World,
  target: Target,
  markup: Markup,
  content: Content,
  file?: Upload,
): Message {
  const { chat } = target.record
  world.rates.admit(chat.id, chat.type !== 'private')
  const message = compact<Omit<Message, 'message_id'>>({
    from: botUser(world),
    chat,
    date: world.clock.seconds(),
    message_thread_id: target.threadId,
    is_topic_message: target.threadId === undefined ? undefined : true,
    reply_to_message: target.repliesTo && withoutReply(target.repliesTo),
    ...content,
    reply_markup: markup.inline,
  } as Omit<Message, 'message_id'>)
  return world.messages.add({ message, fromBot: true, file, otherMarkup: markup.other })
}

/** The bot as it stands in a message; only getMe tells its settings. */
export function botUser(world: World): NonNullable<Message['from']> {
  const { id, is_bot, first_name, username } = world.chats.bot
  return { id, is_bot, first_name, username }
}

/** A replied message never carries the message it replies to itself. */
export function withoutReply(message: Message): NonNullable<Message['reply_to_message']> {
  const { reply_to_message: _, ...rest } = message
  return rest as NonNullable<Message['reply_to_message']>
}

function optional(entities: MessageEntity[]): MessageEntity[] | undefined {
  return entities.length === 0 ? undefined : entities
}

/** An upload, or the file_id of a document sent to the same chat before. */
function readDocument(
  world: World,
  params: Params,
  chatId: number,
): [Document, Upload | undefined] {
  const value = params.text('document')
  const upload = params.files.get(value.replace(/^attach:\/\//, '') || 'document')
  if (upload) return [newDocument(upload), upload]
  if (value === '' || value.startsWith('attach://')) {
    throw badRequest('there is no document in the request')
  }
  const known = world.messages.everything(chatId).find((one) => one.document?.file_id === value)
  if (known?.document) return [known.document, known.file]
  if (value.includes('.')) throw badRequest('failed to get HTTP URL content')
  throw badRequest(
    "wrong remote file identifier specified: can't unserialize it. Wrong last symbol",
  )
}

function newDocument(upload: Upload): Document {
  if (upload.bytes.length === 0) throw badRequest('file must be non-empty')
  if (upload.bytes.length > FILE_MAX_BYTES) throw badRequest('file is too big')
  return {
    file_id: `BQAC${randomBytes(24).toString('base64url')}`,
    file_unique_id: `AgAD${randomBytes(8).toString('base64url')}`,
    file_name: upload.name,
    mime_type: upload.type,
    file_size: upload.bytes.length,
  }
}

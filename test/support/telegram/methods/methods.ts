import type { Method } from '../world.ts'
import { answerCallbackQuery, getMe, getMyCommands, setMyCommands } from './bot.ts'
import { getChat, getChatAdministrators, getChatMember } from './chat-info.ts'
import { deleteWebhook, getUpdates, getWebhookInfo, setWebhook } from './delivery.ts'
import {
  deleteMessage,
  editMessageCaption,
  editMessageReplyMarkup,
  editMessageText,
} from './editing.ts'
import { sendChatAction, sendDocument, sendMessage } from './sending.ts'

const METHODS: Record<string, Method> = {
  answerCallbackQuery,
  deleteMessage,
  deleteWebhook,
  editMessageCaption,
  editMessageReplyMarkup,
  editMessageText,
  getChat,
  getChatAdministrators,
  getChatMember,
  getMe,
  getMyCommands,
  getUpdates,
  getWebhookInfo,
  sendChatAction,
  sendDocument,
  sendMessage,
  setMyCommands,
  setWebhook,
}

const BY_LOWER_NAME = new Map(Object.keys(METHODS).map((name) => [name.toLowerCase(), name]))

/** The name as documented; Telegram takes any letter case. */
export function methodName(name: string): string {
  return BY_LOWER_NAME.get(name.toLowerCase()) ?? name
}

export function findMethod(name: string): Method | undefined {
  return Object.hasOwn(METHODS, name) ? METHODS[name] : undefined
}

/** Calls that a webhook's own answer may not make. */
export function isRefusedInReply(name: string): boolean {
  const lower = name.toLowerCase()
  return (
    lower.startsWith('get') || ['setwebhook', 'deletewebhook', 'close', 'logout'].includes(lower)
  )
}

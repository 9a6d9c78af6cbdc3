import type { BotCommand, UserFromGetMe } from '@grammyjs/types'
import { badRequest } from '../errors.ts'
import type { Params } from '../params.ts'
import { isFields } from '../values.ts'
import type { World } from '../world.ts'

const COMMANDS_MAX = 100
const COMMAND_MAX = 32
const DESCRIPTION_MAX = 256
const SCOPES = new Set([
  ...['default', 'all_private_chats', 'all_group_chats', 'all_chat_administrators'],
  ...['chat', 'chat_administrators', 'chat_member'],
])

export function getMe(world: World): UserFromGetMe {
  return world.chats.bot
}

export function answerCallbackQuery(world: World, params: Params): true {
  world.presses.answer(params)
  return true
}

export function setMyCommands(world: World, params: Params): true {
  const key = scopeKey(params)
  const commands = (params.list('commands') ?? []).map(readCommand)
  if (commands.length > COMMANDS_MAX) throw badRequest('too many commands specified')
  world.commands.set(key, commands)
  return true
}

export function getMyCommands(world: World, params: Params): BotCommand[] {
  return world.commands.get(scopeKey(params)) ?? []
}

function scopeKey(params: Params): string {
  const scope = params.object('scope') ?? { type: 'default' }
  const language = params.text('language_code')
  if (!SCOPES.has(String(scope['type']))) {
    throw badRequest("can't parse BotCommandScope: Unsupported type specified")
  }
  if (!/^([a-z]{2})?$/.test(language)) throw badRequest('invalid language code specified')
  return JSON.stringify([scope['type'], scope['chat_id'], scope['user_id'], language])
}

function readCommand(item: unknown): BotCommand {
  if (!isFields(item)) throw badRequest("can't parse BotCommand: expected an Object")
  const command = String(item['command'] ?? '')
    .trim()
    .replace(/^\//, '')
  const description = String(item['description'] ?? '').trim()
  if (command === '') throw badRequest('command must be non-empty')
  if (command.length > COMMAND_MAX) throw badRequest('command length must not exceed 32')
  if (!/^[a-z0-9_]+$/.test(command)) throw badRequest('BOT_COMMAND_INVALID')
  if (description === '') throw badRequest('command description must be non-empty')
  if (description.length > DESCRIPTION_MAX) {
    throw badRequest('command description length must not exceed 256')
  }
  return { command, description }
}

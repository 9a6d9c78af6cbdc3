import type { Bot, Context } from 'grammy'
import type { Message } from 'grammy/types'
import type { CardStore, InvitationStore } from '../../core/card.ts'
import { visibleLine } from '../../core/visible.ts'
import { duration, head } from '../render.ts'
import type { Addresses } from './addresses.ts'
import { isGroup } from './reviewers.ts'
import type { Says } from './says.ts'

const CHANNEL = 'telegram'
const MAX_LINES = 20

const HELP = `I bring you questions of AI agents that wait for a person.

A card has a button for each answer, or you reply to it in text. What you decide reaches the agent at once.

/pending – the questions that are open here
/status – the sessions that ask here
/start – your numeric id, for registering a session
/help – this text`

export interface CommandParts {
  readonly cards: CardStore
  readonly invitations: InvitationStore
  readonly says: Says
  readonly addresses: Addresses
  deliver(requestId?: string): void
}

export function addCommands(bot: Bot, parts: CommandParts): void {
  const { says } = parts
  const on = (name: string, answer: (message: Message, match: string) => Promise<string>) => {
    bot.command(name, async (context) => {
      const { message } = context
      if (message && isPersonal(context)) says.reply(message, await answer(message, context.match))
    })
  }
  on('start', (message, code) => start(parts, message, code.trim()))
  on('status', (message) => status(parts, message))
  on('pending', (message) => pending(parts, message))
  on('help', async () => HELP)
  // In a group people talk to each other; alone with the bot they expect an answer.
  bot.chatType('private').on('message', async ({ message }) => {
    says.reply(
      message,
      'To answer a question, press a button of its card or reply to the card.\n\n/help',
    )
  })
}

const isPersonal = ({ message }: Context): boolean =>
  message !== undefined && !message.from.is_bot && !message.forward_origin && !message.via_bot

async function start(parts: CommandParts, message: Message, code: string): Promise<string> {
  const { chat, from } = message
  if (from === undefined) return HELP
  if (code === '') {
    await parts.addresses.back(String(chat.id))
    const group = isGroup(String(chat.id)) ? `\nThe id of this group is ${chat.id}.` : ''
    return `Your numeric id is ${from.id}. Register a session with it as telegram_id, and its questions come here.${group}\n\n/help`
  }
  if (chat.type !== 'private') return 'Please open the link in a private chat with me.'
  const session = await parts.invitations.accept(code, CHANNEL, String(chat.id), String(from.id))
  if (!session) {
    return 'This link does not work: it is spent, more than 10 minutes old, or not for you. Ask for a new one.'
  }
  parts.deliver()
  return `You answer for ${visibleLine(session.clientId)} (session ${visibleLine(session.id)}) from now on. Open questions follow.`
}

async function status({ cards }: CommandParts, { chat }: Message): Promise<string> {
  const sessions = await cards.sessions(CHANNEL, String(chat.id), MAX_LINES + 1)
  if (sessions.length === 0) {
    return `No session asks here yet. Register one with telegram_id ${chat.id}.`
  }
  const lines = sessions
    .slice(0, MAX_LINES)
    .map(({ clientId, id, active }) =>
      head(`${active ? '🟢' : '⚪'} ${visibleLine(clientId)} · session ${visibleLine(id)}`, 180),
    )
  const more = sessions.length > MAX_LINES ? '\n… and more.' : ''
  return `Sessions that ask here:\n${lines.join('\n')}${more}`
}

async function pending({ cards }: CommandParts, { chat }: Message): Promise<string> {
  const open = await cards.open(CHANNEL, String(chat.id), MAX_LINES + 1)
  if (open.length === 0) return 'No open questions here.'
  const lines = open.slice(0, MAX_LINES).map(({ question }) => {
    const left = question.expiresAt.getTime() - Date.now()
    const text = head(visibleLine(question.message), 80)
    return `• ${head(visibleLine(question.clientId), 40)}: ${text} (${duration(left)} left)`
  })
  const more = open.length > MAX_LINES ? '\n… and more.' : ''
  return `Open questions, oldest first:\n${lines.join('\n')}${more}\n\nAnswer on their cards.`
}

import type { UserFromGetMe } from '@grammyjs/types'
import { Chats } from './chats.ts'
import { Clock } from './clock.ts'
import { Messages } from './messages.ts'
import { Poller } from './polling.ts'
import { Presses } from './presses.ts'
import { Rates } from './rates.ts'
import { UpdateQueue } from './updates.ts'
import { Webhook } from './webhook.ts'
import type { World } from './world.ts'

export interface WorldOptions {
  readonly botUsername?: string
  /** Telegram's time in milliseconds, `Date.now` unless given; `advance` comes on top. */
  readonly now?: () => number
  /** What one second of a webhook retry or conflict pause takes in real seconds; 1 unless given. */
  readonly timeScale?: number
  /** Refuse sending that is too fast with 429. */
  readonly enforceRates?: boolean
  /** BotFather's default is on: in groups the bot sees only what is meant for it. */
  readonly privacyMode?: boolean
  /** How long a webhook may take to answer; 60 s unless given. */
  readonly webhookTimeoutMs?: number
}

export function createWorld(
  token: string,
  options: WorldOptions,
  runReply: (body: Buffer, contentType: string) => void,
): World {
  const clock = new Clock(options.now ?? Date.now, options.timeScale ?? 1)
  const queue = new UpdateQueue(clock)
  return {
    clock,
    chats: new Chats(createBot(token, options)),
    messages: new Messages(),
    queue,
    poller: new Poller(queue, clock),
    webhook: new Webhook(queue, clock, {
      runReply,
      answerWithinMs: options.webhookTimeoutMs ?? 60_000,
    }),
    rates: new Rates(clock, options.enforceRates ?? false),
    presses: new Presses(clock),
    commands: new Map(),
    privacyMode: options.privacyMode ?? true,
  }
}

function createBot(token: string, options: WorldOptions): UserFromGetMe {
  return {
    id: Number.parseInt(token, 10),
    is_bot: true,
    first_name: 'Fake',
    username: options.botUsername ?? 'fake_approval_bot',
    can_join_groups: true,
    can_read_all_group_messages: options.privacyMode === false,
    supports_inline_queries: false,
    can_connect_to_business: false,
    has_main_web_app: false,
    has_topics_enabled: false,
    allows_users_to_create_topics: false,
    can_manage_bots: false,
    supports_join_request_queries: false,
  }
}

import type { BotCommand } from '@grammyjs/types'
import type { Chats } from './chats.ts'
import type { Clock } from './clock.ts'
import type { Messages } from './messages.ts'
import type { Params } from './params.ts'
import type { Poller } from './polling.ts'
import type { Presses } from './presses.ts'
import type { Rates } from './rates.ts'
import type { UpdateQueue } from './updates.ts'
import type { Webhook } from './webhook.ts'

/** All of Telegram as one bot sees it. */
export interface World {
  readonly clock: Clock
  readonly chats: Chats
  readonly messages: Messages
  readonly queue: UpdateQueue
  readonly poller: Poller
  readonly webhook: Webhook
  readonly rates: Rates
  readonly presses: Presses
  /** One list for each scope and language. */
  readonly commands: Map<string, BotCommand[]>
  /** In groups the bot gets only what is meant for it, unless it is an administrator. */
  readonly privacyMode: boolean
}

export interface CallContext {
  /** Ends when the client hangs up. */
  readonly signal: AbortSignal
}

/** Returns the `result`, or throws an ApiFailure. */
export type Method = (world: World, params: Params, context: CallContext) => unknown

import type { ChannelBuilder } from '../../src/channels/channel.ts'
import { channels } from '../../src/channels/index.ts'
import { telegram, telegramWithin } from '../../src/channels/telegram/telegram.ts'
import type { Environment } from '../../src/config.ts'

const NO_LIMIT = { burst: 1, everyMs: 0 }
const unpaced = telegramWithin({ overall: NO_LIMIT, chat: NO_LIMIT, group: NO_LIMIT })

/** The channels of these variables, for a Telegram that has no limits. */
export function unpacedChannels(env: Environment): ChannelBuilder[] {
  return channels
    .map((channel) => (channel === telegram ? unpaced : channel))
    .flatMap(({ builder }) => builder.parse(env) ?? [])
}

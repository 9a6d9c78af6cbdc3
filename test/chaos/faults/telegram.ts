import type { FaultOptions } from '../../support/telegram/telegram.ts'
import type { Random } from '../random.ts'
import type { Fault } from './fault.ts'

const METHODS = ['sendMessage', 'editMessageText', 'answerCallbackQuery', 'getUpdates', '*']

const calls = (name: string, options: (random: Random) => FaultOptions): Fault => ({
  name: `Telegram ${name}`,
  every: [6, 14],
  fits: () => true,
  async inject({ place: { tg } }, random) {
    const method = random.pick(METHODS)
    const times = random.whole(1, 6)
    tg.failNext(method, { ...options(random), times })
    return `${times} times ${method}`
  },
})

const conflict: Fault = {
  name: 'Telegram 409',
  every: [15, 30],
  fits: ({ place }) => place.tg.calls('getUpdates').length > 0,
  async inject({ place: { tg } }, random) {
    const ms = random.whole(500, 4_000)
    tg.conflict(ms)
    return `${ms} ms`
  },
}

/** Between chats Telegram keeps no order, and a first delivery that failed comes after what followed. */
const reversed: Fault = {
  name: 'Telegram reversed',
  every: [2, 6],
  fits: ({ place }) => place.tg.webhookAttempts.length > 0,
  async inject({ place: { tg } }, random) {
    const ms = random.whole(1_000, 5_000)
    tg.reverse(ms)
    return `what came within ${ms} ms of Telegram's time`
  },
}

export const telegramFaults = [
  calls('429', (random) => ({ mode: 'too-many-requests', retryAfter: random.whole(1, 3) })),
  calls('5xx', (random) => ({ mode: 'error', status: random.pick([500, 502, 504]) })),
  calls('reset', () => ({ mode: 'reset' })),
  calls('lost answer', () => ({ mode: 'drop-after-execute' })),
  conflict,
  reversed,
]

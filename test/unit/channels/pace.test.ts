import { describe, expect, test } from 'vitest'
import { Pace, TELEGRAM_LIMITS } from '../../../src/channels/telegram/pace.ts'
import { FakeClock } from '../../support/clock.ts'

const ANN = '41'
const BOB = '42'
const GROUP = '-1001'

/** Cards that come again when they were told to, until all went; when each of them went. */
class Senders {
  readonly clock = new FakeClock()
  readonly pace = new Pace(this.clock, TELEGRAM_LIMITS)
  readonly sent: { chat: string; key: string; at: number }[] = []
  asked = 0

  send(chat: string, key: string, count = 1, owner = 'agent'): void {
    this.asked += 1
    const ms = this.pace.turn(chat, { key, owner, count })
    if (ms > 0) this.clock.after(ms, () => this.send(chat, key, count, owner))
    else this.place(chat, key, count)
  }

  place(chat: string, key: string, count: number): void {
    const ms = this.pace.place(count, 60_000) ?? expect.fail('no place within a minute')
    this.clock.after(ms, () => {
      for (let i = 0; i < count; i++) this.sent.push({ chat, key, at: this.clock.now() })
    })
  }

  times(chat?: string): number[] {
    return this.sent.filter((one) => chat === undefined || one.chat === chat).map(({ at }) => at)
  }
}

/** The most that went within any such time. */
function most(times: readonly number[], withinMs: number): number {
  const inOrder = [...times].sort((a, b) => a - b)
  const counts = inOrder.map((at, i) => i + 1 - inOrder.findIndex((one) => one > at - withinMs))
  return Math.max(0, ...counts)
}

const fill = (senders: Senders, chat: string, count: number, each = 1) => {
  for (let i = 0; i < count; i++) senders.send(chat, `card ${i}`, each)
}

describe('what is sent', () => {
  test('to one chat is a short burst, and then about one a second', () => {
    const senders = new Senders()
    fill(senders, ANN, 100)
    senders.clock.advance(0)
    expect(senders.sent).toHaveLength(TELEGRAM_LIMITS.chat.burst)
    senders.clock.advance(60_000)
    expect(most(senders.times(), 10_000)).toBeLessThanOrEqual(15)
    expect(senders.sent.length).toBeGreaterThan(55)
    senders.clock.advance(60_000)
    expect(senders.sent).toHaveLength(100)
  })

  test('to a group is never more than 20 in a minute', () => {
    const senders = new Senders()
    fill(senders, GROUP, 70)
    senders.clock.advance(600_000)
    expect(senders.sent).toHaveLength(70)
    expect(most(senders.times(), 60_000)).toBeLessThanOrEqual(20)
    expect(Math.max(...senders.times())).toBeLessThan(300_000)
  })

  test('is never more than 30 in a second over all, and takes no longer than it must', () => {
    const senders = new Senders()
    for (let i = 0; i < 600; i++) senders.send(String(1_000 + i), 'card')
    senders.clock.advance(60_000)
    expect(senders.sent).toHaveLength(600)
    expect(most(senders.times(), 1_000)).toBeLessThanOrEqual(30)
    expect(Math.max(...senders.times())).toBeLessThan(30_000)
  })

  test('in two messages takes two places', () => {
    const senders = new Senders()
    fill(senders, GROUP, 30, 2)
    senders.clock.advance(600_000)
    expect(senders.sent).toHaveLength(60)
    expect(most(senders.times(), 60_000)).toBeLessThanOrEqual(20)
  })

  test('after a long silence is no larger burst, also when all were due meanwhile', () => {
    const senders = new Senders()
    const keys = Array.from({ length: 12 }, (_, i) => `card ${i}`)
    for (const key of keys) senders.pace.turn(ANN, { key, owner: 'agent', count: 1 })
    senders.clock.advance(3_600_000)
    for (const key of keys) senders.send(ANN, key)
    senders.clock.advance(0)
    expect(senders.sent).toHaveLength(TELEGRAM_LIMITS.chat.burst)
  })
})

describe('a chat with a thousand cards', () => {
  test('holds up no other one', () => {
    const senders = new Senders()
    fill(senders, ANN, 1_000)
    senders.clock.advance(5_000)
    senders.send(BOB, 'card')
    senders.clock.advance(50)
    expect(senders.times(BOB)).toHaveLength(1)
  })

  test('gets them in order as far as there is one, and nobody asks too often', () => {
    const senders = new Senders()
    fill(senders, ANN, 1_000)
    senders.clock.advance(1_200_000)
    expect(senders.sent).toHaveLength(1_000)
    expect(new Set(senders.sent.map(({ key }) => key)).size).toBe(1_000)
    expect(senders.sent.slice(0, 10).map(({ key }) => key)).toEqual(
      Array.from({ length: 10 }, (_, i) => `card ${i}`),
    )
    // Each asks every 15 s at the most: 1,000 cards for 500 s on average.
    expect(senders.asked).toBeLessThan(50_000)
  })

  test('keeps a new card waiting no longer than 20 s once they are gone', () => {
    const senders = new Senders()
    for (let i = 0; i < 1_000; i++) {
      senders.pace.turn(ANN, { key: `canceled ${i}`, owner: 'agent', count: 1 })
    }
    senders.send(ANN, 'card')
    senders.clock.advance(20_000)
    expect(senders.times(ANN)).toHaveLength(1)
  })
})

describe('in a chat that one agent floods', () => {
  test.each([
    [ANN, 1, 4_000],
    [GROUP, 1, 15_000],
    [GROUP, 2, 25_000],
  ])(
    'the card of another goes after one more at the most: %s, %i messages each',
    (chat, each, ms) => {
      const senders = new Senders()
      fill(senders, chat, 500, each)
      for (let at = 0; at < 5; at++) {
        senders.clock.advance(10_000)
        const start = senders.clock.now()
        senders.send(chat, `other ${at}`, 1, 'another agent')
        senders.clock.advance(30_000)
        const sent = senders.sent.find(({ key }) => key === `other ${at}`)
        expect((sent?.at ?? Number.POSITIVE_INFINITY) - start).toBeLessThan(ms)
      }
    },
  )

  test('V6: each of several others gets its share, and what is sent stays inside the limits', () => {
    const senders = new Senders()
    fill(senders, GROUP, 300)
    for (let i = 0; i < 10; i++) {
      for (const owner of ['b', 'c', 'd']) senders.send(GROUP, `${owner} ${i}`, 1 + (i % 2), owner)
    }
    senders.clock.advance(600_000)
    const last = (owner: string) =>
      Math.max(...senders.sent.filter(({ key }) => key.startsWith(`${owner} `)).map(({ at }) => at))
    // 45 messages of theirs and as many turns of the flood, at 3.8 s each.
    for (const owner of ['b', 'c', 'd']) expect(last(owner)).toBeLessThan(260_000)
    expect(most(senders.times(), 60_000)).toBeLessThanOrEqual(20)
    senders.clock.advance(1_200_000)
    expect(new Set(senders.sent.map(({ key }) => key)).size).toBe(330)
  })

  test('no number of agents makes the line longer than it may be', () => {
    const senders = new Senders()
    for (let i = 0; i < 300; i++) senders.send(ANN, `card ${i}`, 1, `agent ${i}`)
    const late = senders.pace.turn(ANN, { key: 'late', owner: 'late', count: 1 })
    expect(late).toBeLessThanOrEqual(15_000)
    senders.clock.advance(600_000)
    expect(senders.sent).toHaveLength(300)
    expect(senders.asked).toBeLessThan(10_000)
  })
})

describe('when Telegram asks for quiet', () => {
  test('the chat gets nothing until then, and the others go on', () => {
    const senders = new Senders()
    senders.pace.quiet(ANN, 30_000)
    senders.send(ANN, 'card')
    senders.send(BOB, 'card')
    senders.clock.advance(29_999)
    expect(senders.times(ANN)).toEqual([])
    expect(senders.times(BOB)).toEqual([0])
    senders.clock.advance(1)
    expect(senders.times(ANN)).toEqual([30_000])
  })

  test('of a second chat meanwhile it means the bot, and nobody gets anything', () => {
    const senders = new Senders()
    senders.pace.quiet(ANN, 5_000)
    senders.pace.quiet(BOB, 3_000)
    senders.send('43', 'card')
    senders.clock.advance(4_999)
    expect(senders.sent).toEqual([])
    senders.clock.advance(1)
    expect(senders.times('43')).toEqual([5_000])
  })

  test('of a second chat later it means that chat', () => {
    const senders = new Senders()
    senders.pace.quiet(ANN, 5_000)
    senders.clock.advance(5_000)
    senders.pace.quiet(BOB, 3_000)
    senders.send(ANN, 'card')
    senders.clock.advance(0)
    expect(senders.times(ANN)).toEqual([5_000])
  })
})

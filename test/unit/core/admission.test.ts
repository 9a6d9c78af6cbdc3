import { expect, test } from 'vitest'
import { paced } from '../../../src/core/admission.ts'
import type { EventLog, Page, Position, Target } from '../../../src/core/ports.ts'

const target = (sessionId: string): Target => ({ tenant: 'local', sessionId })

/** A log whose readings end when the test says so. */
class HeldLog implements EventLog {
  readonly running: { readonly name: string; end(): void; fail(): void }[] = []
  most = 0

  locate({ sessionId }: Target): Promise<Position> {
    const cursor = { epoch: 'e', seq: 0 }
    return this.#hold(`locate ${sessionId}`, { cursor, recovered: true, isAtEnd: true })
  }

  read({ sessionId }: Target): Promise<Page> {
    return this.#hold(`read ${sessionId}`, { events: [], seq: 0, complete: true })
  }

  ahead(): ReturnType<EventLog['ahead']> {
    return this.#hold('ahead', [])
  }

  get names(): string[] {
    return this.running.map(({ name }) => name)
  }

  #hold<Answer>(name: string, answer: Answer): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const leave = () => void this.running.splice(this.running.indexOf(entry), 1)
    const entry = {
      name,
      end: () => {
        leave()
        resolve(answer)
      },
      fail: () => {
        leave()
        reject(new Error('away'))
      },
    }
    this.running.push(entry)
    this.most = Math.max(this.most, this.running.length)
    return promise
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve))

test('S6: so many readings run at once, the others in the order of asking', async () => {
  const held = new HeldLog()
  const log = paced(held, { atOnce: 2, maxWaiting: 10 })
  const done: string[] = []
  for (const name of ['a', 'b', 'c', 'd']) {
    void log.locate(target(name), undefined).then(() => done.push(name))
  }
  void log.read(target('e'), 0, 1).then(() => done.push('e'))
  await settle()
  expect(held.names).toEqual(['locate a', 'locate b'])
  for (let i = 0; i < 5; i++) {
    held.running[0]?.end()
    await settle()
  }
  expect(done).toEqual(['a', 'b', 'c', 'd', 'e'])
  expect(held.most).toBe(2)
})

test('a reading that fails gives its turn to the next', async () => {
  const held = new HeldLog()
  const log = paced(held, { atOnce: 1, maxWaiting: 10 })
  const failed = expect(log.locate(target('a'), undefined)).rejects.toThrow('away')
  const next = log.locate(target('b'), undefined)
  await settle()
  held.running[0]?.fail()
  await failed
  await settle()
  expect(held.names).toEqual(['locate b'])
  held.running[0]?.end()
  expect(await next).toMatchObject({ recovered: true })
})

test('S6: who begins beyond the limit is told when to come back, not all at the same time', async () => {
  const held = new HeldLog()
  const log = paced(held, { atOnce: 1, maxWaiting: 2 })
  const first = log.locate(target('a'), undefined)
  const second = log.locate(target('b'), undefined)
  const waits = new Set<number | undefined>()
  for (let i = 0; i < 4; i++) {
    const refusal = await log.locate(target('c'), undefined).catch((error: unknown) => error)
    expect(refusal).toMatchObject({ code: 'UNAVAILABLE' })
    waits.add((refusal as { details: { retryAfterSeconds?: number } }).details.retryAfterSeconds)
  }
  expect(waits.size).toBe(4)
  // Who has begun is not turned away.
  const reading = log.read(target('a'), 0, 1)
  while (held.running.length > 0) {
    held.running[0]?.end()
    await settle()
  }
  await Promise.all([first, second, reading])
  const again = log.locate(target('c'), undefined)
  await settle()
  held.running[0]?.end()
  expect(await again).toMatchObject({ recovered: true })
})

test('S6: what the hub asks for all readers waits for nobody', async () => {
  const held = new HeldLog()
  const log = paced(held, { atOnce: 1, maxWaiting: 1 })
  void log.locate(target('a'), undefined)
  void log.ahead([])
  await settle()
  expect(held.names).toEqual(['locate a', 'ahead'])
})

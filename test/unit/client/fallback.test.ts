import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Connection } from '../../../client/connections/connection.ts'
import { Fallback, REST_MS } from '../../../client/fallback.ts'

const connection = (name: string): Connection => ({ name, read: () => Promise.resolve() })
const first = connection('first')
const second = connection('second')

let fallback: Fallback

beforeEach(() => {
  vi.useFakeTimers()
  fallback = new Fallback([first, second])
})

afterEach(() => {
  vi.useRealTimers()
})

/** Fails as often as it takes to be left alone. */
function wearOut(worn: Connection): void {
  fallback.failed(worn, new Error('1'))
  fallback.failed(worn, new Error('2'))
}

test('the first of the list is used until it failed twice in a row', () => {
  fallback.failed(first, new Error('1'))
  expect(fallback.pick()).toBe(first)
  fallback.succeeded(first)
  fallback.failed(first, new Error('2'))
  expect(fallback.pick()).toBe(first)
  fallback.failed(first, new Error('3'))
  expect(fallback.pick()).toBe(second)
})

test('one failure that many readers tell of counts once', () => {
  const error = new Error('the shared socket is gone')
  for (let readers = 0; readers < 10; readers++) fallback.failed(first, error)
  expect(fallback.pick()).toBe(first)
})

test('what was left alone is tried again after a while', () => {
  wearOut(first)
  vi.advanceTimersByTime(REST_MS - 1)
  expect(fallback.pick()).toBe(second)
  vi.advanceTimersByTime(1)
  expect(fallback.pick()).toBe(first)
})

test('when nothing gets through, it begins anew', () => {
  wearOut(first)
  wearOut(second)
  expect(fallback.pick()).toBe(first)
  fallback.failed(first, new Error('3'))
  expect(fallback.pick()).toBe(first)
  fallback.failed(first, new Error('4'))
  expect(fallback.pick()).toBe(second)
})

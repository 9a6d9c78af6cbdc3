import { setTimeout } from 'node:timers/promises'
import type { Place } from './place.ts'
import type { Random } from './random.ts'

export interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

const LIMIT_MS = 15_000
const PAUSE_MS = 100

export interface Asked {
  readonly body?: object
  readonly token?: string | undefined
}

/** One HTTP call to one server. @throws when there is no whole answer. */
export async function call(url: string, path: string, { body, token }: Asked): Promise<Answer> {
  const response = await fetch(url + path, {
    headers: {
      ...(body && { 'content-type': 'application/json' }),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      connection: 'close',
    },
    ...(body && { method: 'POST', body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(LIMIT_MS),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

/** Asks until some server answers for good: cut off, unavailable and too fast is asked again. */
export async function callUntilAnswered(
  place: Place,
  random: Random,
  path: string,
  asked: Asked,
  withinMs: number,
): Promise<Answer | undefined> {
  const until = Date.now() + withinMs
  while (Date.now() < until) {
    const server = random.pick(place.servers)
    const answer = await call(place.url(server.number), path, asked).catch(() => undefined)
    if (answer && answer.status !== 429 && answer.status < 500) return answer
    await setTimeout(PAUSE_MS)
  }
  return undefined
}

import type { Message, Update } from '@grammyjs/types'
import type { FakeTelegram } from '../../support/telegram/telegram.ts'

export interface BotAnswer<T> {
  readonly status: number
  readonly ok: boolean
  readonly result: T
  readonly error_code?: number
  readonly description?: string
  readonly parameters?: { retry_after?: number; migrate_to_chat_id?: number }
}

/** One Bot API call as any client makes it. */
export async function call<T = Message>(
  fake: FakeTelegram,
  method: string,
  params: object = {},
  signal?: AbortSignal,
): Promise<BotAnswer<T>> {
  const response = await fetch(`${fake.apiRoot}/bot${fake.token}/${method}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(params),
    ...(signal ? { signal } : {}),
  })
  return { status: response.status, ...((await response.json()) as Omit<BotAnswer<T>, 'status'>) }
}

/** The description of a refused call, with its status in front. */
export async function refusal(
  fake: FakeTelegram,
  method: string,
  params: object = {},
): Promise<string> {
  const answer = await call(fake, method, params)
  return answer.ok ? 'not refused' : `${answer.status} ${answer.description}`
}

export async function updates(fake: FakeTelegram, params: object = {}): Promise<Update[]> {
  return (await call<Update[]>(fake, 'getUpdates', params)).result
}

export function keyboard(...labels: string[]): object {
  return { inline_keyboard: labels.map((text) => [{ text, callback_data: `data of ${text}` }]) }
}

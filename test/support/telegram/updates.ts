import type { Clock } from './clock.ts'
import { CALLBACK_QUERY_LIFE, INLINE_QUERY_LIFE, UPDATE_LIFE } from './limits.ts'
import { type Fields, isFields } from './values.ts'
import { Waiters } from './waiters.ts'

export type Fate = 'pending' | 'confirmed' | 'expired' | 'dropped'

/** One update on its way to the bot. */
export interface QueuedUpdate {
  /** Its place in the queue; the `update_id` in the body may differ when a test wrote its own. */
  readonly key: number
  readonly body: Fields
  readonly kind: string
  readonly expiresAt: number
  /** Webhook deliveries of one lane go one after another. */
  readonly lane: string
  delivered: boolean
  fate: Fate
}

const LIVES: Record<string, number> = {
  callback_query: CALLBACK_QUERY_LIFE,
  inline_query: INLINE_QUERY_LIFE,
}
const OFF_BY_DEFAULT = new Set(['chat_member', 'message_reaction', 'message_reaction_count'])
/** An offset further ahead than this is taken for a mistake and confirms nothing. */
const FUTURE_OFFSET_SLACK = 10

export class UpdateQueue {
  readonly settled = new Waiters<QueuedUpdate>()
  /** Updates the bot never got: their life ended, or a webhook's Retry-After outlived them. */
  readonly vanished: QueuedUpdate[] = []
  readonly #clock: Clock
  readonly #entries = new Map<number, QueuedUpdate>()
  readonly #listeners = new Set<() => void>()
  #nextKey = 100_000_000 + Math.floor(Math.random() * 800_000_000)
  #allowed: ReadonlySet<string> | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  onQueued(listener: () => void): void {
    this.#listeners.add(listener)
  }

  /** Queues what the bot subscribed to; `undefined` when it did not. */
  push(kind: string, payload: object): QueuedUpdate | undefined {
    const wanted = this.#allowed ? this.#allowed.has(kind) : !OFF_BY_DEFAULT.has(kind)
    return wanted ? this.#append(kind, { [kind]: payload }) : undefined
  }

  /** Queues any object as it is, subscribed or not. */
  pushRaw(body: Fields): QueuedUpdate {
    const kind = Object.keys(body).find((key) => key !== 'update_id') ?? 'unknown'
    const id = body['update_id']
    if (Number.isSafeInteger(id) && Number(id) > this.#nextKey) this.#nextKey = Number(id)
    return this.#append(kind, body)
  }

  /** An empty list means the default; an absent one keeps the setting. Unknown names are skipped. */
  subscribe(names: unknown[] | undefined): void {
    if (names === undefined) return
    const known = names.map((name) => String(name).toLowerCase()).filter((name) => name !== '')
    this.#allowed = known.length === 0 ? undefined : new Set(known)
  }

  get subscription(): string[] | undefined {
    return this.#allowed ? [...this.#allowed] : undefined
  }

  pending(): QueuedUpdate[] {
    this.#expire()
    return [...this.#entries.values()]
  }

  /** The getUpdates rule: everything below a positive offset is confirmed, a negative one forgets all but the last. */
  read(offset: number, limit: number): QueuedUpdate[] {
    this.#expire()
    if (offset < 0) {
      const forgotten = [...this.#entries.values()].slice(0, offset)
      for (const entry of forgotten) this.settle(entry, 'confirmed')
    }
    if (offset > 0 && offset <= this.#nextKey + FUTURE_OFFSET_SLACK) this.#confirmBelow(offset)
    const batch = [...this.#entries.values()].slice(0, limit)
    for (const entry of batch) entry.delivered = true
    return batch
  }

  settle(entry: QueuedUpdate, fate: Exclude<Fate, 'pending'>): void {
    if (!this.#entries.delete(entry.key)) return
    entry.fate = fate
    if (fate === 'expired') this.vanished.push(entry)
    this.settled.notify(entry)
  }

  /** What `drop_pending_updates` does. */
  drop(): void {
    for (const entry of [...this.#entries.values()]) this.settle(entry, 'dropped')
  }

  close(): void {
    this.settled.close()
  }

  #append(kind: string, body: Fields): QueuedUpdate {
    const key = this.#nextKey
    this.#nextKey += 1
    const entry: QueuedUpdate = {
      key,
      body: { update_id: key, ...body },
      kind,
      expiresAt: this.#clock.now() + (LIVES[kind] ?? UPDATE_LIFE),
      lane: laneOf(kind, body, key),
      delivered: false,
      fate: 'pending',
    }
    this.#entries.set(key, entry)
    for (const listener of this.#listeners) listener()
    return entry
  }

  /** A test's own low `update_id` counts too, once the bot has seen it; else it would come for ever. */
  #confirmBelow(offset: number): void {
    for (const entry of [...this.#entries.values()]) {
      const own = entry.body['update_id']
      const seen = entry.delivered && (typeof own !== 'number' || own < offset)
      if (entry.key < offset || seen) this.settle(entry, 'confirmed')
    }
  }

  #expire(): void {
    const now = this.#clock.now()
    for (const entry of [...this.#entries.values()]) {
      if (entry.expiresAt <= now) this.settle(entry, 'expired')
    }
  }
}

/** Telegram's queues: a chat's messages, its membership changes, a person's presses. */
function laneOf(kind: string, body: Fields, key: number): string {
  const payload = isFields(body[kind]) ? body[kind] : {}
  const chat = isFields(payload['chat']) ? payload['chat']['id'] : undefined
  const from = isFields(payload['from']) ? payload['from']['id'] : undefined
  if (kind === 'callback_query') return `presses of ${from ?? key}`
  if (kind === 'my_chat_member') return `membership in ${chat ?? key}`
  if (chat !== undefined) return `messages of ${chat}`
  return `update ${key}`
}

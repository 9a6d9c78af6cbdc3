import type { CallbackQuery, Message } from '@grammyjs/types'
import type { Press, PressAnswer, Presses } from './presses.ts'
import type { QueuedUpdate, UpdateQueue } from './updates.ts'

interface Watch {
  readonly queue: UpdateQueue
  readonly presses: Presses
  readonly waitMs: number
}

/** Something a person did, and the update it made. */
class Act {
  /** Undefined when the bot did not subscribe to it or privacy mode keeps it away. */
  readonly update: QueuedUpdate | undefined
  protected readonly watch: Watch

  constructor(update: QueuedUpdate | undefined, watch: Watch) {
    this.update = update
    this.watch = watch
  }

  get updateId(): number | undefined {
    return this.update?.key
  }

  /** Resolves when the bot confirmed the update, rejects when it never can any more. */
  get confirmed(): Promise<void> {
    return this.confirmedWithin(this.watch.waitMs)
  }

  async confirmedWithin(timeoutMs: number): Promise<void> {
    const { update } = this
    if (!update) throw new Error('no update was queued: not subscribed, or privacy mode')
    if (update.fate === 'pending') {
      await this.watch.queue.settled.wait(
        (settled) => settled === update,
        timeoutMs,
        () => `update ${update.key} (${update.kind}) was not confirmed within ${timeoutMs} ms`,
      )
    }
    if (update.fate !== 'confirmed') throw new Error(`update ${update.key} was ${update.fate}`)
  }
}

/** A message a person wrote or edited. */
export class FakeAct extends Act {
  readonly message: Message

  constructor(message: Message, update: QueuedUpdate | undefined, watch: Watch) {
    super(update, watch)
    this.message = message
  }
}

/** A press of an inline button. */
export class FakePress extends Act {
  readonly #press: Press

  constructor(press: Press, update: QueuedUpdate | undefined, watch: Watch) {
    super(update, watch)
    this.#press = press
  }

  /** The query as the bot gets it. */
  get query(): CallbackQuery {
    return this.#press.query
  }

  /** What the person was shown so far. */
  get answered(): PressAnswer | undefined {
    return this.#press.answer
  }

  /** Resolves when the bot answers the query. */
  get answer(): Promise<PressAnswer> {
    return this.answerWithin(this.watch.waitMs)
  }

  async answerWithin(timeoutMs: number): Promise<PressAnswer> {
    const press = this.#press
    if (press.answer) return press.answer
    const { answer } = await this.watch.presses.answered.wait(
      (answered) => answered === press,
      timeoutMs,
      () => `press ${press.query.id} (${press.query.data}) had no answer within ${timeoutMs} ms`,
    )
    return answer ?? { text: '', show_alert: false }
  }
}

import type { CallbackQuery } from '@grammyjs/types'
import type { Clock } from './clock.ts'
import { badRequest, QUERY_TOO_OLD } from './errors.ts'
import { ANSWER_TEXT_MAX, ANSWER_WINDOW } from './limits.ts'
import type { Params } from './params.ts'
import { Waiters } from './waiters.ts'

/** What the person who pressed is shown. */
export interface PressAnswer {
  readonly text: string
  readonly show_alert: boolean
}

export interface Press {
  readonly query: CallbackQuery
  readonly at: number
  answer: PressAnswer | undefined
}

/** The presses that were made and their answers. */
export class Presses {
  readonly answered = new Waiters<Press>()
  readonly #clock: Clock
  readonly #presses = new Map<string, Press>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  open(query: CallbackQuery): Press {
    const press: Press = { query, at: this.#clock.now(), answer: undefined }
    this.#presses.set(query.id, press)
    return press
  }

  find(id: string): Press | undefined {
    return this.#presses.get(id)
  }

  /** A text that is too long leaves the query open; a query is answered once. */
  answer(params: Params): void {
    const press = this.#presses.get(params.text('callback_query_id'))
    const text = params.text('text')
    const tooOld = press && this.#clock.now() - press.at > ANSWER_WINDOW
    if (!press || press.answer || tooOld) throw badRequest(QUERY_TOO_OLD)
    if (text.length > ANSWER_TEXT_MAX) throw badRequest('MESSAGE_TOO_LONG')
    press.answer = { text, show_alert: params.flag('show_alert') }
    this.answered.notify(press)
  }

  close(): void {
    this.answered.close()
  }
}

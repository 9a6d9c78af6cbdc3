import type { Card, FoundCard } from '../../core/card.ts'
import type { HitlRequest } from '../../core/request.ts'

const MAX_CARDS = 5_000

/**
 * The cards that this process sent last, so that a press on one need not look for its request first.
 *
 * It is a guess, not the truth: what is remembered holds only while the session's reviewers are those
 * of the question, and the statement that settles the request makes sure of that.
 */
export class SentCards {
  readonly #cards = new Map<string, FoundCard>()

  remember(card: Card, request: HitlRequest): void {
    const [oldest] = this.#cards.keys()
    if (this.#cards.size >= MAX_CARDS && oldest !== undefined) this.#cards.delete(oldest)
    this.#cards.set(keyOf(card), {
      request,
      settledBy: null,
      reviewers: request.question.reviewers,
      belongsTo: 'this',
    })
  }

  find(card: Card): FoundCard | undefined {
    const found = this.#cards.get(keyOf(card))
    return found?.request.question.id === card.requestId ? found : undefined
  }

  /** It was pressed, and what is remembered holds no more. */
  forget(card: Card): void {
    this.#cards.delete(keyOf(card))
  }
}

const keyOf = ({ address, message }: Card): string => `${address} ${message}`

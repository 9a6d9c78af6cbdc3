import type { MessageEntity } from '@grammyjs/types'
import type { FormattedText } from '../text.ts'
import type { Fields } from '../values.ts'

/** Collects plain text and the entities over it while markup is read. */
export class TextBuilder {
  text = ''
  readonly #entities: MessageEntity[] = []

  add(type: string, from: number, extra: Fields = {}): void {
    const length = this.text.length - from
    if (length === 0) return
    this.#entities.push({ type, offset: from, length, ...extra } as unknown as MessageEntity)
  }

  result(): FormattedText {
    return { text: this.text, entities: this.#entities }
  }
}

import { createHmac, timingSafeEqual } from 'node:crypto'

/**
 * What a card carries so that an answer on it can be traced to its request.
 *
 * `callback_data` and the text of a replied-to message are what the presser's client says they are:
 * a custom client sends any bytes. So both carry a MAC, over the chat too, which makes a reference
 * that was seen in one chat useless in another.
 */
export class References {
  readonly #key: string

  constructor(key: string) {
    this.#key = key
  }

  /** For a button: at most 64 bytes (Bot API, InlineKeyboardButton). This takes 44 at the most. */
  button(requestId: string, option: number, chat: string): string {
    const id = Buffer.from(requestId.replaceAll('-', ''), 'hex').toString('base64url')
    return `1.${id}.${option}.${this.#mac(`button ${requestId} ${option} ${chat}`)}`
  }

  /** Undefined unless it was made by us for this chat. */
  readButton(data: string, chat: string): { requestId: string; option: number } | undefined {
    const [, id = '', digits = '', mac = ''] =
      /^1\.([\w-]{22})\.(0|[1-9]\d?)\.([\w-]{16})$/.exec(data) ?? []
    const bytes = Buffer.from(id, 'base64url')
    // The last character has bits to spare: other ones would decode to the same id.
    if (bytes.toString('base64url') !== id) return undefined
    const requestId = toUuid(bytes)
    const option = Number(digits)
    const expected = this.#mac(`button ${requestId} ${option} ${chat}`)
    return isEqual(mac, expected) ? { requestId, option } : undefined
  }

  /** For the last line of a card: people read the request's id, we read the rest. */
  line(requestId: string, chat: string): string {
    return `${requestId}.${this.#mac(`line ${requestId} ${chat}`)}`
  }

  /** The request whose line ends a text of ours. Agent text never ends one. */
  readLine(text: string, chat: string): string | undefined {
    const [, requestId = '', mac = ''] = /([0-9a-f-]{36})\.([\w-]{16})$/.exec(text) ?? []
    return isEqual(mac, this.#mac(`line ${requestId} ${chat}`)) ? requestId : undefined
  }

  /** 96 bits in 16 characters. */
  #mac(text: string): string {
    return createHmac('sha256', this.#key)
      .update(text)
      .digest()
      .subarray(0, 12)
      .toString('base64url')
  }
}

const isEqual = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))

const toUuid = (bytes: Buffer): string =>
  bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

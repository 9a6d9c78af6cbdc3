import { type Api, InputFile } from 'grammy'
import {
  type Card,
  type Clock,
  type Courier,
  DeliveryError,
  type InvitationStore,
  type OwedAsk,
  type OwedSettle,
  type Session,
} from '../../core/ports.ts'
import type { Audience } from '../../core/request.ts'
import { isBadToken, isDoneAnyway, retryAfterMs, toDeliveryError } from './bot-api.ts'
import { keyboard, openCard, settledCard } from './card.ts'
import type { References } from './references.ts'
import type { SentCards } from './sent-cards.ts'
import type { TelegramState } from './state.ts'

const CHANNEL = 'telegram'
/** How long an invitation waits for its reviewer. */
const INVITATION_SECONDS = 600

const MAX_FILES = 1_000
/** How soon a card is tried again that could not be edited because the token is bad. */
const MENDED_MS = 30_000

const PLAIN = { link_preview_options: { is_disabled: true } } as const

export interface CourierParts {
  readonly api: Api
  readonly state: TelegramState
  readonly references: () => References
  readonly invitations: InvitationStore
  readonly sent: SentCards
  readonly clock: Clock
}

/** Sends cards, and edits them when their request is settled. */
export class TelegramCourier implements Courier {
  readonly channel = CHANNEL
  readonly #parts: CourierParts
  /** Files whose card is not sent yet, by request. */
  readonly #files = new Map<string, number>()
  /** Milliseconds of the clock, by chat. */
  readonly #quietUntil = new Map<string, number>()

  constructor(parts: CourierParts) {
    this.#parts = parts
  }

  unreachable(audience: Audience | undefined): string | undefined {
    const { failure } = this.#parts.state
    if (failure !== undefined) return failure
    if ((audience?.address ?? null) !== null) return undefined
    return 'no reviewer yet: register the session with telegram_id, or open its link_url in Telegram'
  }

  async ask({ request, audience }: OwedAsk): Promise<Card> {
    const chat = this.#chat(audience)
    const { api, references } = this.#parts
    const { question } = request
    const card = openCard(request, references(), chat)
    try {
      // The file first: a card with buttons is never there without the whole text.
      const file =
        card.attachment === undefined
          ? undefined
          : await this.#attach(chat, question.id, card.attachment)
      const { message_id } = await api.sendMessage(chat, card.text, {
        ...PLAIN,
        entities: card.entities,
        ...(question.options.length > 0 && {
          reply_markup: keyboard(question, references(), chat),
        }),
        ...(file !== undefined && {
          reply_parameters: { message_id: file, allow_sending_without_reply: true },
        }),
      })
      const message = String(message_id)
      const sent = { requestId: question.id, channel: CHANNEL, address: chat, message }
      this.#parts.sent.remember(sent, request)
      this.#files.delete(question.id)
      return sent
    } catch (error) {
      throw this.#translate(error, chat)
    }
  }

  async settle({ card, request }: OwedSettle): Promise<void> {
    const { api, references } = this.#parts
    this.#requireCalm(card.address)
    const { text, entities } = settledCard(request, references(), card.address)
    try {
      // Without reply_markup the buttons go (Bot API, editMessageText).
      await api.editMessageText(card.address, Number(card.message), text, { ...PLAIN, entities })
    } catch (error) {
      if (isDoneAnyway(error)) return
      const translated = this.#translate(error, card.address)
      // A token can be mended, and the card must not keep its buttons for ever.
      throw isBadToken(error) ? new DeliveryError(translated.message, MENDED_MS, error) : translated
    }
  }

  async invite({ tenant, id }: Session): Promise<string | undefined> {
    const { state, invitations } = this.#parts
    if (state.username === undefined) return undefined
    const code = await invitations.create(tenant, id, CHANNEL, INVITATION_SECONDS)
    return `https://t.me/${state.username}?start=${code}`
  }

  /** Once: when the card is refused after its file was sent, the next attempt answers to that file. */
  async #attach(chat: string, requestId: string, text: string): Promise<number> {
    const known = this.#files.get(requestId)
    if (known !== undefined) return known
    const file = new InputFile(Buffer.from(text), `request-${requestId}.txt`)
    const { message_id } = await this.#parts.api.sendDocument(chat, file, {
      caption: 'The whole text of the question below.',
    })
    const [oldest] = this.#files.keys()
    if (this.#files.size >= MAX_FILES && oldest !== undefined) this.#files.delete(oldest)
    this.#files.set(requestId, message_id)
    return message_id
  }

  #chat(audience: Audience): string {
    const { failure } = this.#parts.state
    if (failure !== undefined) throw new DeliveryError(failure)
    if (audience.address === null) throw new DeliveryError('no reviewer yet')
    this.#requireCalm(audience.address)
    return audience.address
  }

  /** Telegram asked for quiet in this chat, and counts what is sent before its time. */
  #requireCalm(chat: string): void {
    const left = (this.#quietUntil.get(chat) ?? 0) - this.#parts.clock.now()
    if (left > 0) throw new DeliveryError('Telegram asked to wait', left)
    this.#quietUntil.delete(chat)
  }

  #translate(error: unknown, chat: string): DeliveryError {
    this.#parts.state.heard(error)
    const quietMs = retryAfterMs(error)
    if (quietMs > 0) this.#quietUntil.set(chat, this.#parts.clock.now() + quietMs)
    return toDeliveryError(error)
  }
}

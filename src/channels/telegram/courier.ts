import { type Api, InputFile } from 'grammy'
import {
  type Card,
  type Courier,
  DeliveryError,
  type InvitationStore,
  NotYet,
  type OwedAsk,
  type OwedRearm,
  type OwedSettle,
} from '../../core/card.ts'
import type { Session } from '../../core/ports.ts'
import type { Audience, HitlRequest } from '../../core/request.ts'
import type { Addresses } from './addresses.ts'
import { isBadToken, isDoneAnyway, toDeliveryError } from './bot-api.ts'
import { keyboard, openCard, settledCard } from './card.ts'
import type { References } from './references.ts'
import { isGroup } from './reviewers.ts'
import type { Sender, Sending } from './sender.ts'
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
  readonly sender: Sender
  readonly addresses: Addresses
}

/** Sends cards, and edits them when their request is settled. */
export class TelegramCourier implements Courier {
  readonly channel = CHANNEL
  readonly #parts: CourierParts
  /** Files whose card is not sent yet, by request. */
  readonly #files = new Map<string, number>()

  constructor(parts: CourierParts) {
    this.#parts = parts
  }

  unreachable(audience: Audience | undefined): string | undefined {
    const { failure } = this.#parts.state
    if (failure !== undefined) return failure
    if ((audience?.address ?? null) !== null) return undefined
    return 'no reviewer yet: register the session with telegram_id, or open its link_url in Telegram'
  }

  problem({ address, approvers }: Audience): string | undefined {
    if (address === null || isGroup(address)) return undefined
    const others = approvers.some((approver) => approver !== address)
    return others ? `in the private chat ${address} only that user can be an approver` : undefined
  }

  async ask({ request, audience }: OwedAsk): Promise<Card> {
    const chat = this.#chat(audience)
    const { api, references } = this.#parts
    const { question } = request
    const card = openCard(request, references(), chat)
    const isFileOwed = card.attachment !== undefined && !this.#files.has(question.id)
    const count = isFileOwed ? 2 : 1
    const key = `ask ${question.id}`
    const sending = { chat, key, owner: ownerOf(request), requestId: question.id, count }
    return this.#send(sending, async () => {
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
      const place = { requestId: question.id, channel: CHANNEL, address: chat, message }
      const sent = { ...place, shown: card.text }
      this.#parts.sent.remember(sent, request)
      this.#files.delete(question.id)
      return sent
    })
  }

  async settle({ card, request }: OwedSettle): Promise<void> {
    const { api, references } = this.#parts
    const { address: chat, message, requestId } = card
    const { text, entities } = settledCard(request, references(), chat)
    const key = `edit ${message}`
    const sending = { chat, key, owner: ownerOf(request), requestId, count: 1 }
    await this.#send(sending, () =>
      // Without reply_markup the buttons go (Bot API, editMessageText).
      this.#edit(() => api.editMessageText(chat, Number(message), text, { ...PLAIN, entities })),
    ).catch((error: unknown) => {
      const { cause, message: text } = error as Error
      // A token can be mended, and the card must not keep its buttons for ever.
      throw isBadToken(cause) ? new DeliveryError(text, MENDED_MS, cause) : error
    })
  }

  async rearm({ card, request, away }: OwedRearm): Promise<void> {
    const { api, references } = this.#parts
    const { address: chat, message, requestId } = card
    const { text, entities } = openCard(request, references(), chat, away)
    const reply_markup = keyboard(request.question, references(), chat)
    const key = `rearm ${message}`
    const sending = { chat, key, owner: ownerOf(request), requestId, count: 1 }
    await this.#send(sending, () =>
      this.#edit(() =>
        api.editMessageText(chat, Number(message), text, { ...PLAIN, entities, reply_markup }),
      ),
    )
  }

  async invite({ tenant, id }: Session): Promise<string | undefined> {
    const { state, invitations } = this.#parts
    if (state.username === undefined) return undefined
    const code = await invitations.create(tenant, id, CHANNEL, INVITATION_SECONDS)
    return `https://t.me/${state.username}?start=${code}`
  }

  async #edit(call: () => Promise<unknown>): Promise<void> {
    try {
      await call()
    } catch (error) {
      if (!isDoneAnyway(error)) throw error
    }
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
    return audience.address
  }

  async #send<Result>(sending: Sending, call: () => Promise<Result>): Promise<Result> {
    try {
      return await this.#parts.sender.send(sending, call)
    } catch (error) {
      if (error instanceof NotYet) throw error
      this.#parts.state.heard(error)
      // At the new address it has another audience.
      if (await this.#parts.addresses.heard(sending.chat, error)) throw new NotYet(0)
      throw toDeliveryError(error)
    }
  }
}

/** On whose behalf a chat is written to: one agent holds up no other one there. */
const ownerOf = ({ question: { tenant, clientId } }: HitlRequest): string =>
  JSON.stringify([tenant, clientId])

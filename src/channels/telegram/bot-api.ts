import { Api, GrammyError, HttpError } from 'grammy'
import { DeliveryError } from '../../core/card.ts'

/** A call that takes longer is stuck. A card takes two, within its lease (core/delivery.ts). */
const CALL_SECONDS = 10
/** getUpdates holds the line (below) and needs time beyond that. */
export const POLL_SECONDS = 30
const POLL_CALL_SECONDS = POLL_SECONDS + 15
/** After an answer that did not come, or a fault of Telegram's own. */
const RETRY_MS = 1_000

/** The Bot API for sending, and for polling, whose calls take long on purpose. */
export function createApis(token: string, apiRoot: string | undefined): { api: Api; pollApi: Api } {
  const root = apiRoot === undefined ? {} : { apiRoot }
  return {
    api: new Api(token, { ...root, timeoutSeconds: CALL_SECONDS }),
    pollApi: new Api(token, { ...root, timeoutSeconds: POLL_CALL_SECONDS }),
  }
}

/** grammY's types name the AbortSignal of a package; at run time it takes Node's. */
export const toSignal = (signal: AbortSignal) => signal as unknown as Parameters<Api['getMe']>[0]

/** Telegram answers 401 to a token that was revoked and 404 to one that is none. */
export const isBadToken = (error: unknown): boolean =>
  error instanceof GrammyError && (error.error_code === 401 || error.error_code === 404)

export const isConflict = (error: unknown): error is GrammyError =>
  error instanceof GrammyError && error.error_code === 409

const isTooMany = (error: GrammyError): boolean => error.error_code === 429

/** How long Telegram asks us to wait, in milliseconds; 0 when it asks for nothing. */
export const retryAfterMs = (error: unknown): number =>
  error instanceof GrammyError && isTooMany(error) ? (error.parameters.retry_after ?? 1) * 1_000 : 0

export const BAD_TOKEN =
  'Telegram refused the bot token. Get one from @BotFather, set TELEGRAM_BOT_TOKEN, and start again'

/** What Telegram's refusal means for a card. */
export function toDeliveryError(error: unknown): DeliveryError {
  if (error instanceof DeliveryError) return error
  if (error instanceof HttpError) {
    return new DeliveryError('Telegram could not be reached', RETRY_MS, error)
  }
  if (!(error instanceof GrammyError)) throw error
  if (isTooMany(error)) return new DeliveryError(said(error), retryAfterMs(error), error)
  if (error.error_code >= 500) return new DeliveryError(said(error), RETRY_MS, error)
  if (isBadToken(error)) return new DeliveryError(BAD_TOKEN, undefined, error)
  return new DeliveryError(explain(error.description), undefined, error)
}

function explain(description: string): string {
  if (/chat not found|can't initiate conversation/.test(description)) {
    return `${description}. The reviewer must open the bot in Telegram and press Start first`
  }
  return description
}

/** An edit that changes nothing has done what it should; one of a message that is gone never will. */
export const isDoneAnyway = (error: unknown): boolean =>
  error instanceof GrammyError &&
  error.error_code === 400 &&
  /message is not modified|message to edit not found|MESSAGE_ID_INVALID|message can't be edited/.test(
    error.description,
  )

const said = ({ error_code, description }: GrammyError) =>
  `Telegram said ${error_code} ${description}`

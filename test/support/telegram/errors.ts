import type { ResponseParameters } from '@grammyjs/types'

/** A refusal in Telegram's own words; it becomes `{ok: false, error_code, description, parameters?}`. */
export class ApiFailure extends Error {
  readonly code: number
  readonly parameters: ResponseParameters | undefined

  constructor(code: number, description: string, parameters?: ResponseParameters) {
    super(description)
    this.name = 'ApiFailure'
    this.code = code
    this.parameters = parameters
  }
}

export function badRequest(text: string, parameters?: ResponseParameters): ApiFailure {
  return new ApiFailure(400, `Bad Request: ${text}`, parameters)
}

export function forbidden(text: string): ApiFailure {
  return new ApiFailure(403, `Forbidden: ${text}`)
}

export function conflict(text: string): ApiFailure {
  return new ApiFailure(409, `Conflict: ${text}`)
}

export function tooManyRequests(seconds: number): ApiFailure {
  return new ApiFailure(429, `Too Many Requests: retry after ${seconds}`, { retry_after: seconds })
}

export const OTHER_POLLER =
  'terminated by other getUpdates request; make sure that only one bot instance is running'
export const WEBHOOK_ACTIVE =
  "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
export const NOT_MODIFIED =
  'message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message'
export const QUERY_TOO_OLD = 'query is too old and response timeout expired or query ID is invalid'
export const NOT_UTF8 = 'strings must be encoded in UTF-8'

/** A result that comes with a `description`, as setWebhook and deleteWebhook answer. */
export class Described {
  readonly result: unknown
  readonly description: string

  constructor(result: unknown, description: string) {
    this.result = result
    this.description = description
  }
}

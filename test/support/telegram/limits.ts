/** Telegram's numbers in one place. Times are milliseconds unless the name says seconds. */

/** How long an update waits for the bot (tdlib/telegram-bot-api Client.cpp, version 10.0). */
export const CALLBACK_QUERY_LIFE = 150_000
export const INLINE_QUERY_LIFE = 30_000
export const UPDATE_LIFE = 24 * 3_600_000

/** How long a press can be answered. Telegram does not document it; reports say 10 to 60 s. */
export const ANSWER_WINDOW = 60_000

export const TEXT_MAX = 4096
/** Bytes of text as sent, before any parsing. */
export const RAW_TEXT_MAX_BYTES = 32_768
export const CAPTION_MAX = 1024
/** Telegram keeps the first hundred entities of a message and drops the rest. */
export const ENTITIES_MAX = 100
export const ANSWER_TEXT_MAX = 200

export const CALLBACK_DATA_MAX_BYTES = 64
export const COPY_TEXT_MAX = 256
export const BUTTONS_MAX = 100
export const BUTTONS_PER_ROW_MAX = 8
/** About ten kilobytes by users' reports (tginfo/Telegram-Limits#187); the exact measure is not public. */
export const KEYBOARD_MAX_BYTES = 10_000

export const FILE_MAX_BYTES = 50 * 1024 * 1024
export const DELETE_WINDOW = 48 * 3_600_000

export const POLL_LIMIT_MAX = 100
export const POLL_TIMEOUT_MAX_SECONDS = 50
/** A second conflict within this time is answered only after this time. */
export const CONFLICT_PAUSE = 3_000

export const WEBHOOK_RESEND_MAX_SECONDS = 60
export const WEBHOOK_RETRY_AFTER_MAX_SECONDS = 3600
export const WEBHOOK_GONE_LIMIT = 23 * 3_600_000
export const SECRET_TOKEN_MAX = 256

/**
 * Sending rates of the bot FAQ: one message a second to a chat, 20 a minute to a group, 30 a second
 * over all. The FAQ tolerates "short bursts" without a number; the fake tolerates five messages.
 */
export const CHAT_BURST = 5
export const GROUP_PER_MINUTE = 20
export const OVERALL_PER_SECOND = 30

import { type Logger, pino, stdTimeFunctions } from 'pino'
import pretty from 'pino-pretty'

/** Where secrets travel. They should not be logged at all; this is the second line. */
const SECRETS = [
  'authorization',
  'cookie',
  'set-cookie',
  'x-api-key',
  'x-telegram-bot-api-secret-token',
].flatMap((header) => [`headers["${header}"]`, `*.headers["${header}"]`])

/** A bot token is part of the Bot API's URLs, and so of what network errors say. */
const BOT_TOKEN = /\d{5,}(?::|%3A)[\w-]{20,}/gi

/** JSON lines on standard error; for a person at a terminal, lines to read. */
export function createLogger(level: string): Logger {
  const options = {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    redact: { paths: SECRETS, censor: '[redacted]' },
    hooks: { streamWrite: (line: string) => line.replace(BOT_TOKEN, '[redacted]') },
  }
  return process.stderr.isTTY
    ? pino(options, pretty({ destination: 2, sync: true, ignore: 'pid,hostname' }))
    : pino(options, pino.destination({ dest: 2, sync: true }))
}

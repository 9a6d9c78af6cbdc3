import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino'
import pretty from 'pino-pretty'

/** Where secrets travel. They should not be logged at all; this is the second line. */
const SECRETS = [
  'authorization',
  'cookie',
  'set-cookie',
  'x-api-key',
  'x-telegram-bot-api-secret-token',
].flatMap((header) => [`headers["${header}"]`, `*.headers["${header}"]`])

/** How a checkpoint of the audit log begins. It is for everybody, and logged so that somebody keeps it. */
const CHECKPOINT = Buffer.from('{"alg":"EdDSA","typ":"loopgate-checkpoi').toString('base64url')

/** What secrets look like, wherever they stand: in an address, or in what an error says. */
const SECRET = new RegExp(
  [
    // A bot token is part of the Bot API's URLs, and so of what network errors say.
    /\d{5,}(?::|%3A)[\w-]{20,}/,
    // A JWT, and an API key with whichever prefix.
    new RegExp(`(?!${CHECKPOINT})eyJ[\\w-]{8,}\\.[\\w-]+\\.[\\w-]*`),
    /[\w-]{1,32}[0-9a-f]{64}/,
    /whsec_[\w+/=-]+/,
    /(?<=[?&](?:ticket|code|token)=)[^&\s"\\]+/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'gi',
)

/** Without a destination: JSON lines on standard error; for a person at a terminal, lines to read. */
export function createLogger(level: string, destination = standardError()): Logger {
  const options = {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    redact: { paths: SECRETS, censor: '[redacted]' },
    hooks: { streamWrite: (line: string) => line.replace(SECRET, '[redacted]') },
  }
  return pino(options, destination)
}

const standardError = (): DestinationStream =>
  process.stderr.isTTY
    ? pretty({ destination: 2, sync: true, ignore: 'pid,hostname' })
    : pino.destination({ dest: 2, sync: true })

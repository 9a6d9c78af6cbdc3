import { startApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { createLogger } from '../../src/log.ts'
import { VERSION } from '../../src/version.ts'
import { unpacedChannels } from '../support/unpaced.ts'

/** The server for a Telegram without limits: more cards in a second than the real one lets through. */
const read = readConfig(process.env)
const config = { ...read, channels: unpacedChannels(process.env) }
const app = await startApp(config, createLogger(config.logLevel), VERSION)
process.once('SIGTERM', () => void app.stop().then(() => process.exit(0)))

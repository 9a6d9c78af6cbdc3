import { startApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { createLogger } from '../../src/log.ts'
import { VERSION } from '../../src/version.ts'
import { unpacedChannels } from '../support/unpaced.ts'

/** The server beside a Telegram without limits: at one card a second nothing else could be measured. */
const config = { ...readConfig(process.env), channels: unpacedChannels(process.env) }
const app = await startApp(config, createLogger(config.logLevel), VERSION)
for (const fact of app.facts()) console.log(fact)
process.once('SIGTERM', async () => {
  await app.stop()
  process.exit(0)
})

import { startApp } from './app.ts'
import { ConfigError, readConfig } from './config.ts'
import { createLogger } from './log.ts'
import { DataInUseError } from './storage/data-lock.ts'
import { VERSION } from './version.ts'

/** The process: read the configuration, start, wait for a signal, stop. Exits 2 for what its user must mend. */
export async function main(): Promise<void> {
  const asked = Promise.withResolvers<NodeJS.Signals>()
  process.once('SIGTERM', asked.resolve)
  process.once('SIGINT', asked.resolve)
  try {
    const config = readConfig(process.env)
    const logger = createLogger(config.logLevel)
    const app = await startApp(config, logger, VERSION)
    for (const fact of app.facts()) console.log(fact)
    logger.info({ signal: await asked.promise }, 'stopping')
    await app.stop()
  } catch (error) {
    fail(error)
  }
}

function fail(error: unknown): never {
  const isTheirs = error instanceof ConfigError || error instanceof DataInUseError
  console.error(isTheirs ? error.message : error)
  process.exit(isTheirs ? 2 : 1)
}

if (import.meta.main) await main()

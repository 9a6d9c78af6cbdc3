import { startApp } from './app.ts'
import { ConfigError, readConfig } from './config.ts'
import { createLogger } from './log.ts'
import { DataInUseError } from './storage/data-lock.ts'
import { isUnavailable } from './storage/unavailable.ts'
import { VERSION } from './version.ts'

/** The process: read the configuration, start, wait for a signal, stop. Exits 2 for what its user must mend. */
export async function main(): Promise<void> {
  const asked = Promise.withResolvers<NodeJS.Signals>()
  process.on('SIGTERM', asked.resolve)
  process.on('SIGINT', asked.resolve)
  try {
    const config = readConfig(process.env)
    const logger = createLogger(config.logLevel)
    const app = await startApp(config, logger, VERSION)
    for (const fact of app.facts()) console.log(fact)
    logger.info({ signal: await asked.promise }, 'stopping')
    await app.stop()
    // Whatever an outside library still waits for: we are done.
    process.exit(0)
  } catch (error) {
    fail(error)
  }
}

function fail(error: unknown): never {
  if (error instanceof ConfigError || error instanceof DataInUseError) {
    console.error(error.message)
    process.exit(2)
  }
  const advice = adviceFor(error)
  // The stack alone: the properties of an error may hold the address with the password.
  console.error(advice ?? (error instanceof Error ? error.stack : error))
  process.exit(1)
}

/** What to do about what the machine around us refused; undefined for what is a fault of ours. */
function adviceFor(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const code = 'code' in error ? String(error.code) : ''
  const syscall = 'syscall' in error ? error.syscall : undefined
  if (code === 'EADDRINUSE') {
    return `${error.message}\nStop what listens there, or set another SERVER_PORT (0 takes a free one).`
  }
  if (syscall === 'listen' || code === 'EADDRNOTAVAIL') {
    return `${error.message}\nHOST and SERVER_PORT must be an address of this machine and a port you may use.`
  }
  if (syscall === 'getaddrinfo') {
    return `${error.message}\nNo such name: see the host in DATABASE_URL, and HOST.`
  }
  if (syscall === 'connect' || /^(28|3D)/.test(code) || isUnavailable(error)) {
    return `The database can not be used: ${error.message}\nSee DATABASE_URL, or leave it out for the embedded database.`
  }
  return undefined
}

if (import.meta.main) await main()

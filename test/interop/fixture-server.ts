import { startApp } from '../../src/app.ts'
import { systemClock } from '../../src/clock.ts'
import { readConfig } from '../../src/config.ts'
import { createLogger } from '../../src/log.ts'
import { transports } from '../../src/transports/index.ts'
import { mcp, mcpWith } from '../../src/transports/mcp/mcp.ts'
import { tools } from '../../src/transports/mcp/tools.ts'
import { VERSION } from '../../src/version.ts'
import { fixtures } from './fixtures.ts'

/** The server as it is shipped, with the fixtures of the conformance suites beside its tools. */
const config = readConfig(process.env)
const offered = transports.map((one) => (one === mcp ? mcpWith([...tools, ...fixtures]) : one))
const logger = createLogger(config.logLevel)
const app = await startApp(config, logger, VERSION, systemClock, offered)
for (const fact of app.facts()) console.log(fact)

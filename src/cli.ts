#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { Command } from 'commander'
import type { AuditCommand } from './commands/audit.ts'
import type { McpOptions } from './commands/mcp.ts'
import type { Verdict, VerifyOptions } from './commands/verify.ts'
import { VERSION } from './version.ts'

// Each command loads what it needs when it is called: a client of MCP starts `loopgate mcp` and waits
// for it, which has nothing to do with the database and the server.

const program = new Command('loopgate')
  .description(
    'Puts a person in the loop of AI agents: an agent asks, a person answers, the agent has it at once.',
  )
  .version(VERSION)
  .showHelpAfterError()

program
  .command('start')
  .description('run the server; its configuration is the environment (see .env.example)')
  .action(async () => {
    const { main } = await import('./main.ts')
    await main()
  })

program
  .command('mcp')
  .description(
    'MCP on standard input and output, for clients that start a program: hands everything on to the ' +
      'server, which runs elsewhere (loopgate start)',
  )
  .option('--url <url>', 'the server; else LOOPGATE_URL, else http://127.0.0.1:8080')
  .option('--session <id>', 'the session that questions go to; else the one that there is')
  .addHelpText(
    'after',
    `
Environment:
  LOOPGATE_URL      the server, such as https://gate.example.com
  LOOPGATE_API_KEY  the key of the agent; a server on this machine needs none unless it says so

In the configuration of the client:
  {"mcpServers": {"loopgate": {"command": "loopgate", "args": ["mcp"],
    "env": {"LOOPGATE_URL": "http://127.0.0.1:8080", "LOOPGATE_API_KEY": "..."}}}}`,
  )
  .action(async (options: McpOptions) => {
    const { runMcp } = await import('./commands/mcp.ts')
    process.exit(await runMcp(options, process.env, process))
  })

program
  .command('demo')
  .description('one approval, from an example agent to you and back, on a server of its own')
  .option('--auto', 'a scripted reviewer decides; exits 1 if anything in the loop failed')
  .action(async ({ auto = false }: { auto?: boolean }) => {
    const { runDemo } = await import('./demo.ts')
    process.exitCode = await runDemo({ environment: process.env, isAutomatic: auto })
  })

program
  .command('verify')
  .description(
    'says whether a receipt is authentic, approves, is not expired and is about the digest; exits 0 ' +
      'only then, 1 when it is authentic but does not, 2 when that can not be told, 3 when it is not',
  )
  .argument('<receipt>', 'the receipt, a file that holds it, or - for standard input')
  .option('--jwks <place>', 'the keys, a URL or a file; else those of the server on this machine')
  .option('--digest <digest>', 'the digest of what is about to be done')
  .option('--any', 'any authentic receipt will do')
  .action(async (receipt: string, { jwks = jwksHere(), ...options }: Partial<VerifyOptions>) => {
    const { verifyReceipt } = await import('./commands/verify.ts')
    answer(await verifyReceipt(receipt, { jwks, ...options }))
  })

const keys = program.command('keys').description('the keys that sign receipts')
keys
  .command('list')
  .description('which there are')
  .action(() =>
    task(async () => {
      const { listKeys } = await import('./commands/keys.ts')
      console.log(await listKeys(environment()))
    }),
  )
keys
  .command('rotate')
  .description('the next key signs from now on, the current one retires, and a new one is next')
  .action(() =>
    task(async () => {
      const { rotateKeys } = await import('./commands/keys.ts')
      console.log(await rotateKeys(environment()))
    }),
  )

program
  .command('audit')
  .description('the log, as it was written')
  .command('verify')
  .description(
    'names the rows that were changed, lost or swapped; exits 1 then. The embedded database must ' +
      'not be in use',
  )
  .option('--jwks <place>', 'the keys to trust, a URL or a file; else those in the database')
  .option('--receipts <file>', 'receipts that were kept elsewhere, to be found in the database')
  .option('--checkpoints <file>', 'checkpoints that were kept elsewhere: lines of the log will do')
  .action((options: AuditCommand) =>
    task(async () => {
      const { verifyAudit } = await import('./commands/audit.ts')
      answer(await verifyAudit(environment(), options))
    }),
  )

/** As `npm start` reads it. */
function environment(): NodeJS.ProcessEnv {
  if (existsSync('.env')) process.loadEnvFile('.env')
  return process.env
}

function jwksHere(): string {
  const { SERVER_PORT: port = '8080', PUBLIC_URL: url } = environment()
  return `${url || `http://127.0.0.1:${port}`}/.well-known/jwks.json`
}

function answer({ exitCode, text }: Verdict): void {
  console.log(text)
  process.exitCode = exitCode
}

/** What its user must mend is told in a line. */
async function task(act: () => Promise<void>): Promise<void> {
  try {
    await act()
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 2
  }
}

await program.parseAsync()

#!/usr/bin/env node
import { Command } from 'commander'
import { runDemo } from './demo.ts'
import { main } from './main.ts'
import { VERSION } from './version.ts'

const program = new Command('loopgate')
  .description(
    'Puts a person in the loop of AI agents: an agent asks, a person answers, the agent has it at once.',
  )
  .version(VERSION)
  .showHelpAfterError()

program
  .command('start')
  .description('run the server; its configuration is the environment (see .env.example)')
  .action(main)

program
  .command('demo')
  .description('one approval, from an example agent to you and back, on a server of its own')
  .option('--auto', 'a scripted reviewer decides; exits 1 if anything in the loop failed')
  .action(async ({ auto = false }: { auto?: boolean }) => {
    process.exitCode = await runDemo({ environment: process.env, isAutomatic: auto })
  })

await program.parseAsync()

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import { INVARIANTS } from './checker.ts'
import { runExpiryRace } from './expiry-race.ts'
import type { DatabaseName } from './place.ts'
import { type ChaosReport, runChaos } from './run.ts'

const positive = (text: string): number => {
  const number = Number(text)
  if (!(number > 0)) throw new InvalidArgumentError('It must be a number above 0.')
  return number
}
const whole = (text: string): number => {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 0)
    throw new InvalidArgumentError('It must be a whole number.')
  return number
}

interface Values {
  readonly minutes: number
  readonly seed: number
  readonly processes?: number
  readonly database: DatabaseName
  readonly telegram?: 'polling' | 'webhook'
  readonly lines: number
  readonly only: readonly string[]
  readonly keep: string
}

const FIRST = 20

const DIRECTORY = join(tmpdir(), 'loopgate-chaos')
const seedOf = () => Date.now() % 1_000_000
const begun = Date.now()
const tell = (line: string) => console.log(`${Math.round((Date.now() - begun) / 1000)} s  ${line}`)
// Leaving by the front door takes the servers along.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

const program = new Command()
  .name('npm run chaos --')
  .description(
    'Breaks everything around Loopgate for a while, and checks that no promise broke with it.',
  )
  .option('--minutes <n>', 'how long things go wrong', positive, 2)
  .option('--seed <n>', 'the same seed plans the same faults', whole, seedOf())
  .option('--processes <n>', 'how many servers; 2 on PostgreSQL, 1 on PGlite', whole)
  .addOption(
    new Option('--database <name>', 'what is below')
      .choices(['postgres', 'pglite'])
      .default('postgres'),
  )
  .addOption(
    new Option('--telegram <mode>', 'webhook for several processes, else polling').choices([
      'polling',
      'webhook',
    ]),
  )
  .option('--lines <n>', 'sessions, each with an agent that asks and two that read', whole, 30)
  .option('--only <part...>', 'only faults whose name has this', [])
  .option('--keep <directory>', 'where the history and the logs go', DIRECTORY)
  .action(breakEverything)

program
  .command('expiry-race')
  .description('Presses at the very end of requests, at two processes, again and again.')
  .option('--rounds <n>', 'how many requests', whole, 2_000)
  .action(raceExpiry)

await program.parseAsync()

async function breakEverything(values: Values): Promise<void> {
  const processes = values.processes ?? (values.database === 'postgres' ? 2 : 1)
  if (values.database === 'pglite' && processes > 1) {
    console.error('Only one process can use an embedded database.')
    process.exit(2)
  }
  tell(`seed ${values.seed}, ${values.minutes} min, ${processes} × ${values.database}`)
  const report = await runChaos({
    ...{ database: values.database, processes, seed: values.seed, lines: values.lines },
    telegram: values.telegram ?? (processes > 1 ? 'webhook' : 'polling'),
    seconds: values.minutes * 60,
    directory: mkdtempSync(`${values.keep}-`),
    only: values.only,
    tell,
  })
  for (const line of summary(report)) console.log(line)
  process.exit(report.violations.length === 0 ? 0 : 1)
}

async function raceExpiry({ rounds }: { rounds: number }): Promise<void> {
  const { seed, keep } = program.opts<Values>()
  tell(`seed ${seed}, ${rounds} rounds`)
  const report = await runExpiryRace({ rounds, seed, directory: mkdtempSync(`${keep}-`), tell })
  const { decided, expired, nearestMs, wrong } = report
  tell(`${decided} decided, the last ${nearestMs.decided} ms before its end`)
  tell(`${expired} expired, the first ${nearestMs.expired} ms after its end`)
  for (const what of wrong.slice(0, FIRST)) console.log(what)
  tell(`${wrong.length} times somebody was told something else`)
  process.exit(wrong.length === 0 ? 0 : 1)
}

function summary(made: ChaosReport): string[] {
  const { harms, faults, violations } = made
  return [
    '',
    `operations              ${made.operations}`,
    `acknowledged            ${made.acknowledged}`,
    `events received         ${made.heard}`,
    `callbacks taken         ${made.calledBack}`,
    ...Object.entries(harms).map(([harm, count]) => `${harm.padEnd(24)}${count}`),
    `worst process recovery  ${made.worstProcessRecoveryMs} ms`,
    `worst reader recovery   ${made.worstReaderRecoveryMs} ms`,
    ...[...faults].map(([name, count]) => `  ${String(count).padStart(5)} × ${name}`),
    `seed                    ${made.seed}`,
    `history and logs        ${made.history}`,
    ...violations.slice(0, FIRST).map(({ invariant, what }) => {
      return `\n${invariant} is broken (${INVARIANTS[invariant]}): ${what}`
    }),
  ]
}

import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runScript } from './command.ts'
import { EXCEPTIONS, type Exception, GENERIC, RUNS, type Run } from './conformance-baseline.ts'
import { Place } from './place.ts'
import { must, type Report } from './report.ts'

/** Every message that we sent is valid by the schema of the revision. Never excused in passing. */
const WIRE_CHECK = 'wire-schema-valid'

/** Characters of what a suite says about a check: the first of many messages is enough. */
const LONGEST = 300

interface Check {
  readonly scenario: string
  readonly id: string
  readonly status: 'SUCCESS' | 'FAILURE' | 'WARNING' | 'SKIPPED' | 'INFO'
  readonly errorMessage?: string
  readonly description: string
  readonly details?: unknown
}

/**
 * The suites of the protocol's own makers: all of what they check with the fixtures that they ask
 * for, and what any server can pass with the server as it is shipped.
 */
export async function proveConformance(report: Report): Promise<void> {
  report.heading('Conformance, the server as it is shipped')
  await prove(report, {}, (run, checks) => {
    const generic = GENERIC.filter(({ runs }) => runs.includes(run.name)).map((it) => it.scenario)
    const unseen = generic.filter((name) => !checks.some(({ scenario }) => scenario === name))
    must(unseen.length === 0, `not run: ${unseen.join(', ')}`)
    const wanted = checks.filter(({ scenario, id }) => generic.includes(scenario) || isWire(id))
    const excused = EXCEPTIONS.filter(
      ({ runs, scenarios }) =>
        runs.includes(run.name) && scenarios.every((scenario) => generic.includes(scenario)),
    )
    mustHold(wanted, excused)
    const seen = `${generic.length} scenarios, ${passed(wanted)} checks`
    must(passed(wanted) >= run.known.withoutFixtures, `${seen}; there were more`)
    return seen
  })
  report.heading('Conformance, with fixtures')
  await prove(report, { script: 'test/interop/fixture-server.ts' }, (run, checks) => {
    const excused = EXCEPTIONS.filter(({ runs }) => runs.includes(run.name))
    mustHold(checks, excused)
    const scenarios = new Set(checks.map(({ scenario }) => scenario)).size
    const seen = `${scenarios} scenarios, ${passed(checks)} checks passed`
    const { known } = run
    must(
      scenarios >= known.scenarios && passed(checks) >= known.checks,
      `${seen}; there were ${known.scenarios} and ${known.checks}`,
    )
    const exceptions = excused.flatMap(({ scenarios }) => scenarios).length
    return `${seen}, ${exceptions} scenarios with an exception`
  })
}

async function prove(
  report: Report,
  options: { readonly script?: string },
  judge: (run: Run, checks: readonly Check[]) => string,
): Promise<void> {
  await using place = await Place.open(options)
  // One open question is a resource to list and to read.
  const names = { session_id: 'mcp', client_id: 'mcp' }
  await place.post('/hitl/register', names)
  await place.post('/hitl/request', { ...names, message: 'Is this a resource?' })
  for (const run of RUNS) {
    await report.prove(run.name, async () => judge(run, await look(run, place.mcp)))
  }
}

/** Runs a suite, and reads what it wrote down; what it prints is for people. */
async function look(run: Run, url: string): Promise<readonly Check[]> {
  const folder = await mkdtemp(join(tmpdir(), 'loopgate-conformance-'))
  try {
    const args = ['server', '--url', url, '--output-dir', folder, ...run.args]
    const { stdout, stderr } = await runScript(`${run.package}/dist/index.js`, args)
    must(/^=== SUMMARY ===$/m.test(stdout), `the suite did not end:\n${stderr}`)
    const checks = await Promise.all((await readdir(folder)).map((name) => read(folder, name)))
    return checks.flat()
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function read(folder: string, name: string): Promise<readonly Check[]> {
  const scenario = name.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT[\d-]+Z$/, '')
  const path = join(folder, name, 'checks.json')
  // A scenario that broke off wrote nothing down.
  if (!existsSync(path)) return [{ scenario, id: 'broke-off', status: 'FAILURE', description: '' }]
  const checks: Check[] = JSON.parse(await readFile(path, 'utf8'))
  return checks.map((check) => ({ ...check, scenario }))
}

const isWire = (id: string): boolean => id === WIRE_CHECK

const passed = (checks: readonly Check[]): number =>
  checks.filter(({ status }) => status === 'SUCCESS').length

const isBad = ({ status }: Check): boolean => status === 'FAILURE' || status === 'WARNING'

/** Whether a check is among those that may fail. */
const isExcused = ({ scenario, id }: Check, { scenarios, checks }: Exception): boolean =>
  scenarios.includes(scenario) && (checks?.includes(id) ?? !isWire(id))

/** @throws {Disproof} for a check that failed or warned without an exception, and for one too many. */
function mustHold(checks: readonly Check[], exceptions: readonly Exception[]): void {
  const bad = checks.filter(isBad)
  const unexpected = bad
    .filter((check) => !exceptions.some((exception) => isExcused(check, exception)))
    .map(
      ({ scenario, id, status, errorMessage, description }) =>
        `${status} ${scenario}:${id} ${(errorMessage ?? description).slice(0, LONGEST)}`,
    )
  const stale = exceptions
    .flatMap(({ scenarios, ...rest }) => scenarios.map((one) => ({ ...rest, scenarios: [one] })))
    .flatMap((one) =>
      (one.checks ?? [undefined]).map((id) => (id ? { ...one, checks: [id] } : one)),
    )
    .filter((exception) => !bad.some((check) => isExcused(check, exception)))
    .map(
      ({ scenarios, checks: ids }) => `holds, take it off the baseline: ${scenarios} ${ids ?? ''}`,
    )
  must(unexpected.length + stale.length === 0, [...unexpected, ...stale].join('\n'))
}

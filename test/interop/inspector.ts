import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toldIn } from './agents/agent.ts'
import { NODE, runScript } from './command.ts'
import { Place } from './place.ts'
import { must, type Report } from './report.ts'

/**
 * The Inspector's command line, as strict as it can be: what it warns of counts as an error, and
 * every method that it can send to us is sent.
 */

const SCRIPT = '@modelcontextprotocol/inspector/clients/launcher/build/index.js'
const BRIDGE = join(import.meta.dirname, '../../src/cli.ts')

/** Of what it warns of. */
const MOST_LINES = 12

/** A way to a server: what is added to every command. */
interface Way {
  readonly name: string
  readonly options?: readonly string[]
  /** The command of a server on standard input and output. */
  readonly target?: readonly string[]
}

export async function proveInspector(report: Report): Promise<void> {
  report.heading("The Inspector's command line, strict")
  await using place = await Place.open()
  await using home = await openHome()
  const ways: readonly Way[] = [
    { name: 'HTTP, 2025-11-25', options: overHttp(place, 'legacy') },
    { name: 'HTTP, 2026-07-28', options: overHttp(place, 'modern') },
    { name: 'stdio', target: ['--', NODE, BRIDGE, 'mcp', '--url', place.url] },
  ]
  for (const { name, options = [], target = [] } of ways) {
    const inspect = (method: string, ...args: string[]) =>
      run([...options, '--method', method, ...args, '--format', 'json', ...target], home.path)
    await report.prove(`${name}: lists, calls, reads`, async () => {
      const { tools } = await inspect('tools/list', '--strict')
      must(Array.isArray(tools) && tools.length > 0, 'there is no tool')
      await inspect('resources/list')
      await inspect('resources/templates/list')
      const input = JSON.stringify({ message: `Asked over ${name}?`, wait_seconds: 0 })
      const args = ['--tool-name', 'request_human_input', '--tool-args-json', input]
      const { request_id } = toldIn(await inspect('tools/call', ...args))
      const uri = `loopgate://requests/${request_id}`
      const { contents } = await inspect('resources/read', '--uri', uri)
      const [{ text = '{}' } = {}] = contents as readonly { readonly text?: string }[]
      must(JSON.parse(text).request_id === request_id, `${uri} is another: ${text}`)
      return `${tools.length} tools`
    })
  }
}

const overHttp = ({ mcp }: Place, era: string): readonly string[] => [
  ...['--server-url', mcp, '--transport', 'http', '--protocol-era', era],
]

/** It keeps a state in its user's home. */
async function openHome() {
  const path = await mkdtemp(join(tmpdir(), 'loopgate-inspector-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

async function run(args: readonly string[], home: string): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runScript(SCRIPT, ['--cli', ...args], { HOME: home })
  const said = stderr.split('\n').slice(0, MOST_LINES).join('\n')
  must(code === 0 && said === '', `${args.join(' ')}\nexits ${code}, and says:\n${said}`)
  return JSON.parse(stdout).result
}

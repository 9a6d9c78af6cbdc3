import { join } from 'node:path'
import { Command, type Exit } from '../support/process.ts'

export const NODE = join(import.meta.dirname, '../../node_modules/.bin/node')

/** Every command here ends by itself long before. */
const LIMIT_MS = 60_000

/** A script of a package that is installed here, run to its end. */
export async function runScript(
  script: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Exit> {
  const path = join(import.meta.dirname, 'node_modules', script)
  await using command = new Command(NODE, [path, ...args], env)
  const late = setTimeout(() => command.signal('SIGKILL'), LIMIT_MS)
  try {
    return await command.exit()
  } finally {
    clearTimeout(late)
  }
}

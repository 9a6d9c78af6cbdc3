import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { tools } from '../../src/transports/mcp/tools.ts'

const read = (name: string) =>
  JSON.parse(readFileSync(join(import.meta.dirname, '../..', name), 'utf8'))

test.each(['server.json', 'src/mcpb/manifest.json'])(
  '%s is of the version of the package',
  (name) => {
    expect(read(name).version).toBe(read('package.json').version)
  },
)

test('the manifest of the extension lists the tools that there are', () => {
  expect(read('src/mcpb/manifest.json').tools).toEqual(
    tools.map(({ name, title }) => ({ name, description: title })),
  )
})

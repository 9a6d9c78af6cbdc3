import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'

/**
 * Who may import whom. A file or folder that is not listed may not exist.
 * `node:` is Node itself, `npm:x` is package x, `npm:*` is any package.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'src/core': ['src/core'],
  'src/protocol': [
    ...['src/protocol', 'src/core', 'node:crypto'],
    ...['npm:zod', 'npm:canonicalize', 'npm:unhomoglyph'],
  ],
  'src/protocol/types.ts': [],
  'src/proof': [
    ...['src/proof', 'src/core', 'src/protocol/types.ts', 'node:crypto'],
    ...['npm:jose', 'npm:canonicalize'],
  ],
  'src/storage': [
    ...['src/storage', 'src/core', 'node:'],
    ...['src/proof/digest.ts', 'src/proof/receipt.ts'],
    ...['npm:kysely', 'npm:pg', 'npm:pg-boss', 'npm:@electric-sql/pglite'],
  ],
  'src/channels': ['src/channels', 'src/protocol', 'src/core', 'node:', 'npm:*'],
  'src/transports': ['src/transports', 'src/protocol', 'src/core', 'node:', 'npm:*'],
  'src/http': ['src/http', 'src/protocol', 'src/core', 'node:', 'npm:*'],
  'src/clock.ts': ['src/core'],
  'src/log.ts': ['npm:pino', 'npm:pino-pretty'],
  'src/metrics.ts': ['src/core', 'npm:prom-client'],
  'src/version.ts': ['node:', 'npm:zod'],
  'src/config.ts': ['src/core', 'src/channels', 'src/storage', 'node:net', 'npm:zod'],
  'src/stopping.ts': ['src/core', 'src/clock.ts', 'node:'],
  'src/app.ts': [
    ...['src/core', 'src/proof', 'src/storage', 'src/channels', 'src/transports', 'src/http'],
    ...['src/config.ts', 'src/clock.ts', 'src/metrics.ts', 'src/stopping.ts', 'node:', 'npm:*'],
  ],
  'src/main.ts': ['src/app.ts', 'src/config.ts', 'src/log.ts', 'src/storage', 'src/version.ts'],
  'src/bridge': [
    ...['src/bridge', 'src/version.ts', 'src/protocol/requests.ts', 'node:'],
    ...['codes', 'discovery', 'question-tools', 'tool', 'tools'].map(
      (name) => `src/transports/mcp/${name}.ts`,
    ),
    ...['npm:zod', 'npm:eventsource-parser', 'npm:@modelcontextprotocol/sdk'],
  ],
  'src/commands': [
    ...['src/commands', 'src/bridge', 'src/config.ts', 'src/core', 'src/proof', 'src/storage'],
    ...['client/receipt.ts', 'node:', 'npm:jose'],
  ],
  'src/cli.ts': [
    ...['src/main.ts', 'src/demo.ts', 'src/commands', 'src/version.ts'],
    ...['node:', 'npm:commander'],
  ],
  'src/mcpb': ['src/commands', 'node:', 'npm:rolldown'],
  'src/demo.ts': [
    ...['src/app.ts', 'src/config.ts', 'src/log.ts', 'src/version.ts'],
    ...['src/protocol/types.ts', 'client', 'node:'],
  ],
  client: [
    ...['client', 'src/protocol/types.ts', 'npm:socket.io-client', 'npm:eventsource-parser'],
    ...['npm:jose', 'npm:canonicalize'],
  ],
  migrations: ['npm:kysely'],
}

/** Folders of plug-ins, which never import each other; their index.ts knows them all. */
const SHARED: Readonly<Record<string, readonly string[]>> = {
  'src/channels': ['channel.ts', 'render.ts'],
  'src/transports': [
    ...['transport.ts', 'heartbeat.ts', 'backlog.ts', 'waiting.ts', 'closing.ts'],
    ...['subscription-set.ts', 'dead-peers.ts'],
  ],
  'client/connections': ['connection.ts'],
}

const ROOT = join(import.meta.dirname, '../..')
const IMPORT = /\b(?:from\s+|import\s*\(?\s*)['"]([^'"\n]+)['"]/g

const layerOf = (path: string): string =>
  path.startsWith('src/') ? path.split('/', 2).join('/') : (path.split('/')[0] ?? '')

const pluginFolderOf = (path: string): string | undefined =>
  Object.keys(SHARED).find((folder) => path.startsWith(`${folder}/`))

/** The plug-in that a file belongs to: a file of its own, or a folder. */
const pluginOf = (path: string, folder: string): string =>
  path.slice(folder.length + 1).split('/')[0] ?? ''

function importsOf(file: string, source: string): string[] {
  return [...source.matchAll(IMPORT)].map(([, specifier = '']) => {
    if (specifier.startsWith('node:')) return specifier
    if (specifier.startsWith('.')) return relative(ROOT, join(ROOT, dirname(file), specifier))
    return `npm:${specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')}`
  })
}

function mayImport(file: string, target: string): boolean {
  const allowed = MAY_IMPORT[file] ?? MAY_IMPORT[layerOf(file)] ?? []
  if (target.startsWith('node:')) return allowed.includes('node:') || allowed.includes(target)
  if (target.startsWith('npm:')) return allowed.includes('npm:*') || allowed.includes(target)
  if (!allowed.includes(layerOf(target)) && !allowed.includes(target)) return false
  return isNoSibling(file, target)
}

function isNoSibling(file: string, target: string): boolean {
  const folder = pluginFolderOf(file)
  if (folder === undefined || pluginFolderOf(target) !== folder) return true
  const [from, to] = [pluginOf(file, folder), pluginOf(target, folder)]
  return from === 'index.ts' || from === to || (SHARED[folder]?.includes(to) ?? false)
}

const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

const broken = (file: string, source: string) =>
  importsOf(file, source).filter((target) => !mayImport(file, target))

const files = ['src', 'client', 'migrations'].flatMap((root) =>
  readdirSync(join(ROOT, root), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.startsWith('dist/'))
    .map((name) => `${root}/${name}`),
)

describe('the check', () => {
  test.each([
    ['src/core/x.ts', "import { y } from '../storage/y.ts'"],
    ['src/core/x.ts', "import * as z from 'zod'"],
    ['src/core/x.ts', "import { join } from 'node:path'"],
    ['src/core/x.ts', "const { y } = await import('../app.ts')"],
    ['src/protocol/x.ts', "import fs from 'node:fs'"],
    ['src/protocol/types.ts', "import type { Event } from '../core/event.ts'"],
    ['src/storage/x.ts', "import { y } from '../protocol/view.ts'"],
    ['src/channels/x.ts', "export { y } from '../transports/y.ts'"],
    ['src/channels/x.ts', "import type { Y } from './y.ts'"],
    ['src/channels/a/x.ts', "import type {\n  Y,\n} from '../b/y.ts'"],
    ['src/channels/channel.ts', "import { y } from './a/y.ts'"],
    ['src/transports/x.ts', "import './index.ts'"],
    ['src/transports/x.ts', "import { y } from '../http/auth.ts'"],
    ['src/http/x.ts', "import { y } from '../config.ts'"],
    ['src/utils/x.ts', "import '../core/hub.ts'"],
    ['client/x.ts', "import { toView } from '../src/protocol/view.ts'"],
    ['client/x.ts', "import { EventEmitter } from 'node:events'"],
    ['client/connections/x.ts', "import { y } from './y.ts'"],
  ])('bites: %s with %s', (file, source) => {
    expect(broken(file, source)).toHaveLength(1)
  })

  test.each([
    ['src/channels/a/x.ts', "import { y } from './y.ts'"],
    ['src/channels/a/x.ts', "import { y } from '../render.ts'"],
    ['src/channels/index.ts', "import { a } from './a/a.ts'"],
    ['src/transports/x.ts', "import { y } from './heartbeat.ts'"],
    ['client/connections/x.ts', "import type { Y } from '../wire.ts'"],
    ['client/x.ts', "import type { Y } from '../src/protocol/types.ts'"],
    ['src/storage/x.ts', "db.updateTable('requests').from('place')"],
  ])('lets through: %s with %s', (file, source) => {
    expect(broken(file, source)).toEqual([])
  })

  test('sees the code', () => {
    const some = ['src/main.ts', 'src/core/hub.ts', 'client/index.ts', 'src/channels/index.ts']
    expect(files).toEqual(expect.arrayContaining(some))
    expect(importsOf('src/core/hub.ts', read('src/core/hub.ts')).length).toBeGreaterThan(5)
  })

  test('knows every file and folder, and each that it knows is there', () => {
    expect(files.filter((file) => !MAY_IMPORT[layerOf(file)])).toEqual([])
    const there = new Set(files.flatMap((file) => [file, layerOf(file)]))
    expect(Object.keys(MAY_IMPORT).filter((name) => !there.has(name))).toEqual([])
  })
})

test.each(files)('%s imports only what its place may', (file) => {
  expect(broken(file, read(file))).toEqual([])
})

describe.each(Object.entries(SHARED))('a file in %s', (folder, shared) => {
  test('is a plug-in of the registry, or shared by them', () => {
    const index = `${folder}/index.ts`
    const registered = importsOf(index, read(index)).map((target) => pluginOf(target, folder))
    const known = new Set(['index.ts', ...registered, ...shared])
    const there = new Set(
      files.filter((file) => pluginFolderOf(file) === folder).map((file) => pluginOf(file, folder)),
    )
    expect([...there].filter((name) => !known.has(name))).toEqual([])
    expect(shared.filter((name) => !there.has(basename(name)))).toEqual([])
  })
})

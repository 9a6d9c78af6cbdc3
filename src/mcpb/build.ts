import { globSync } from 'node:fs'
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { rolldown } from 'rolldown'

/**
 * Builds what an .mcpb holds, in dist: the bridge with everything it imports as plain JavaScript, because
 * clients bring a Node of their own and no packages.
 */

const HERE = import.meta.dirname
const ROOT = join(HERE, '../..')
const OUT = join(HERE, 'dist')
/** The oldest that has what the bridge uses. */
const NODE = 'node22'

await rm(OUT, { recursive: true, force: true })
await mkdir(OUT)
const bundle = await rolldown({
  input: join(HERE, 'main.ts'),
  platform: 'node',
  transform: { target: NODE },
})
const { output } = await bundle.write({ dir: join(OUT, 'server'), minify: false })
await copyFile(join(HERE, 'manifest.json'), join(OUT, 'manifest.json'))
await copyFile(join(ROOT, 'LICENSE'), join(OUT, 'LICENSE'))
const { name, version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
// The bridge reads its version there.
await writeFile(join(OUT, 'package.json'), JSON.stringify({ name, version, type: 'module' }))
const modules = output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []))
await writeFile(join(OUT, 'THIRD-PARTY-LICENSES'), await licensesOf(modules))

/** The licences of the packages that are in there, which they want to be with them. */
async function licensesOf(files: readonly string[]): Promise<string> {
  const found = files.map((file) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0])
  const folders = [...new Set(found)].filter((folder) => folder !== undefined).sort()
  const texts = folders.map(async (folder) => {
    const { name, version, license } = JSON.parse(
      await readFile(join(folder, 'package.json'), 'utf8'),
    )
    const [file] = globSync('LICEN[SC]E*', { cwd: folder })
    if (file === undefined) throw new Error(`${name} has no licence to pack with it`)
    const text = await readFile(join(folder, file), 'utf8')
    return `${name} ${version} (${license})\n\n${text.trim()}\n`
  })
  return (await Promise.all(texts)).join(`\n${'-'.repeat(80)}\n\n`)
}

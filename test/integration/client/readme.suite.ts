import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { Loopgate } from '../../../client/index.ts'
import type { TestApp } from '../../support/app.ts'

const CLIENT = join(import.meta.dirname, '../../../client')

/** The examples of the README, whole programs each. */
const EXAMPLES = [
  ...readFileSync(join(CLIENT, 'README.md'), 'utf8').matchAll(/```js\n([\s\S]*?)```/g),
].map(([, code = '']) => code)

let server: TestApp

/** What the README says, done. */
export function readmeTests(get: () => TestApp): void {
  beforeAll(() => {
    server = get()
  })

  test('there are as many as are expected below', () => {
    expect(EXAMPLES).toHaveLength(6)
  })

  test.each([
    [0, 'option', '🚀 Deploy', ['deploying, says local reviewer']],
    [1, 'nothing', '', ['TimeoutError']],
    [2, 'response', 'yes', ['paying']],
    [3, 'response', 'yes', ['true']],
    [4, 'response', 'no', ['Rotate the keys? rejected']],
    [5, 'option', 'Yes', ['true Yes']],
  ])('example %i, answered by %s %s, does what it says', async (index, kind, answer, expected) => {
    const code = (EXAMPLES[index] ?? '')
      .replace('loopgate-client', `file://${CLIENT}/index.ts`)
      .replace('http://localhost:8080', server.url)
    const child = spawn(process.execPath, ['--input-type=module', '-e', code])
    let [said, errors] = ['', '']
    child.stdout.on('data', (data) => {
      said += data
    })
    child.stderr.on('data', (data) => {
      errors += data
    })
    const exited = once(child, 'exit')

    await using gate = new Loopgate({ url: server.url })
    // Other tests leave questions open.
    const asked = async () =>
      (await gate.pending()).filter(({ message }) => code.includes(`'${message}'`))
    if (kind !== 'nothing') {
      await expect.poll(asked, { timeout: 10_000 }).toHaveLength(1)
      const [view] = await asked()
      await server.decide(view?.request_id ?? '', { [kind]: answer })
    }

    await exited
    expect({ errors, code: child.exitCode }).toEqual({ errors: '', code: 0 })
    expect(said.trim().split('\n')).toEqual(expected)
  })
}

import { expect, test } from 'vitest'
import { openAccount } from '../../support/accounts.ts'
import { ask } from '../../support/readers/http.ts'
import { openServer } from '../../support/readers/server.ts'

const bodyOf = async (url: string): Promise<string | undefined> =>
  /<body.*>/.exec((await ask(`${url}/console`)).text)?.[0]

test('the page knows how people sign in, and whether an account may be made now', async () => {
  await using first = await openServer('pglite', { AUTH: 'required', REGISTRATION: 'first' })
  const { url } = first.app
  expect(await bodyOf(url)).toBe('<body data-auth="required" data-registration="open">')
  await openAccount(first.app)
  expect(await bodyOf(url)).toBe('<body data-auth="required" data-registration="closed">')

  await using local = await openServer('pglite', { REGISTRATION: 'open' })
  expect(await bodyOf(local.app.url)).toBe('<body data-auth="local" data-registration="open">')
  await using closed = await openServer('pglite', { REGISTRATION: 'closed' })
  expect(await bodyOf(closed.app.url)).toBe('<body data-auth="local" data-registration="closed">')
})

test('everything that the page loads is there, and is what it says', async () => {
  await using server = await openServer('pglite')
  const wanted = new Set<string>(['/console'])
  // A set is walked to its end, also that which is added on the way.
  for (const path of wanted) {
    const { status, headers, text } = await ask(server.app.url + path)
    const type = { css: 'css', js: 'javascript' }[path.split('.')[1] ?? ''] ?? 'html'
    expect([path, status, headers['content-type']]).toEqual([
      ...[path, 200, `text/${type}; charset=utf-8`],
    ])
    for (const [, loaded = ''] of text.matchAll(/ (?:href|src)="([^"]+)"/g)) wanted.add(loaded)
    for (const [, name] of text.matchAll(/ from '\.\/(\w+\.js)'/g)) wanted.add(`/console/${name}`)
  }
  expect(wanted.size).toBeGreaterThan(8)
})

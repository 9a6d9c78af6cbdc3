import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { aName, type MadeKey, makeKey, openAccount, PASSWORD } from '../support/accounts.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { Browser, missingBrowser, type Page } from '../support/browser.ts'

/** People with an account on the console's page. */

const title = 'signing in with an account in a browser'
const isMissing = missingBrowser !== undefined
if (isMissing) console.warn(`skipped: ${title} (${missingBrowser})`)

const SIGN_IN = 'document.querySelector("#sign-in")'
const REGISTER = 'document.querySelector("#register")'
const IS_IN = '!document.querySelector("#who").hidden && !document.querySelector("#empty").hidden'

describe.skipIf(isMissing)(isMissing ? `${title} (skipped: ${missingBrowser})` : title, () => {
  let browser: Browser
  let page: Page

  beforeAll(async () => {
    browser = await Browser.start()
  }, 60_000)

  afterEach(() => page.close())

  afterAll(() => browser?.stop(), 60_000)

  test('a wrong password is told, the right one shows what is open, and a decision is of the user', async () => {
    await using app = await startTestApp({ AUTH: 'required', REGISTRATION: 'open' })
    const [ann, bob] = [await openAccount(app), await openAccount(app)]
    const requestId = await ask(app, await makeKey(app, ann))
    page = await browser.open(`${app.url}/console`)
    expect(await page.value('document.activeElement.autocomplete')).toBe('username')
    expect(await page.text('main')).not.toContain('npm start')

    await page.fill(SIGN_IN, ann.username, 'not her password')
    await page.key('Enter')
    await page.until(`${SIGN_IN}.querySelector("[role=alert]").textContent.includes("wrong")`)
    expect(await page.text('#sign-in [role=alert]')).toBe('The username or the password is wrong.')
    expect(await page.value('document.activeElement.autocomplete')).toBe('current-password')
    expect(await page.value('document.activeElement.getAttribute("aria-invalid")')).toBe('true')

    await page.fill(SIGN_IN, ann.username, PASSWORD)
    await page.key('Enter')
    const card = await page.card(requestId)
    expect(await page.text('#name')).toBe(ann.username)
    expect(await page.value(`document.body.innerHTML.includes("${PASSWORD}")`)).toBe(false)
    await page.press(`${card}.querySelector("button.approve")`)
    await page.until('document.querySelector("#here li.approved")')
    const { body } = await app.get(`/hitl/poll?request_id=${requestId}`, ann.headers)
    expect(body).toMatchObject({
      outcome: 'approved',
      decided_by: { channel: 'console', id: ann.id, name: ann.username },
    })

    await page.press('document.querySelector("#sign-out")')
    await page.until('!document.querySelector("#signed-out").hidden')
    expect(await page.value('Object.keys(sessionStorage)')).toEqual([])
    expect(await page.value('document.querySelectorAll(".card, .settled li").length')).toBe(0)
    expect(await page.text('main')).toMatch(/^You are signed out\.\s+Signing in holds for 12 hours/)
    expect(await page.value('document.activeElement.id')).toBe('signed-out')

    await page.fill(SIGN_IN, bob.username, PASSWORD)
    await page.key('Enter')
    await page.until(IS_IN)
    expect(await page.text('#name')).toBe(bob.username)
    expect(await page.value('document.body.textContent.includes("Deploy v2.1.0")')).toBe(false)
  })

  test('an account is made and signed in, and the question of its agent arrives', async () => {
    await using app = await startTestApp({ AUTH: 'required' })
    page = await browser.open(`${app.url}/console`)
    const username = aName()
    await page.type(`${SIGN_IN}.elements.username`, username)
    await page.press('document.querySelector("#to-register")')
    expect(await page.value(`${REGISTER}.elements.username.value`)).toBe(username)
    expect(await page.value(`${REGISTER}.elements.password.autocomplete`)).toBe('new-password')

    await page.fill(REGISTER, username, 'short')
    await page.key('Enter')
    await page.until(`${REGISTER}.querySelector("[role=alert]").textContent.includes("must")`)
    expect(await page.text('#register [role=alert]')).toBe(
      'Password: must be at least 8 characters.',
    )

    await page.fill(REGISTER, username, PASSWORD)
    await page.press(`${REGISTER}.querySelector("[type=submit]")`)
    await page.until(IS_IN)
    expect(await page.text('#name')).toBe(username)
    expect(await page.text('#example')).toContain('-H "authorization: Bearer $KEY"')
    const token = await page.token()
    const headers = { authorization: `Bearer ${token}` }
    await page.card(await ask(app, await makeKey(app, { id: '', username, token, headers })))
  })

  test('who may not make an account is told, and is not offered one the next time', async () => {
    await using app = await startTestApp({ AUTH: 'required' })
    page = await browser.open(`${app.url}/console`)
    await openAccount(app)
    await page.press('document.querySelector("#to-register")')
    await page.fill(REGISTER, aName(), PASSWORD)
    await page.key('Enter')
    await page.until(`${REGISTER}.querySelector("[role=alert]").textContent.includes("closed")`)
    expect(await page.text('#register [role=alert]')).toBe(
      'No account can be made here: registration is closed; see REGISTRATION.',
    )
    await page.navigate(`${app.url}/console`)
    expect(await page.value('document.querySelector("#to-register").hidden')).toBe(true)
  })

  test('who tried too often is told when to try again', async () => {
    await using app = await startTestApp({ AUTH: 'required', REGISTRATION: 'open' })
    const { username } = await openAccount(app)
    const wrong = { username, password: 'not her password' }
    await Promise.all(Array.from({ length: 10 }, () => app.post('/api/auth/login', wrong)))
    page = await browser.open(`${app.url}/console`)
    await page.fill(SIGN_IN, username, PASSWORD)
    await page.key('Enter')
    await page.until(`${SIGN_IN}.querySelector("[role=alert]").textContent.includes("Too many")`)
    expect(await page.text('#sign-in [role=alert]')).toMatch(
      /^Too many attempts\. Try again in \d\d s, at \d\d:\d\d:\d\d\.$/,
    )
  })

  test('a link of local mode is told that it does not work where accounts are needed', async () => {
    await using app = await startTestApp({ AUTH: 'required' })
    page = await browser.open(`${app.url}/console?code=of-another-server`)
    await page.until('!document.querySelector("#spent").hidden')
    expect(await page.text('#spent')).toMatch(/^This link doesn't work here\.\s+On this server/)
    expect(await page.value(`${SIGN_IN}.checkVisibility()`)).toBe(true)
  })

  test('in local mode the form is below the link, and an account has its own questions', async () => {
    await using app = await startTestApp()
    await app.register()
    await app.ask({ message: 'Of the tenant local?' })
    const ann = await openAccount(app)
    page = await browser.open(`${app.url}/console`)
    await page.until('!document.querySelector("#no-link").hidden')
    expect(await page.text('main')).toMatch(/^Open the link .*\n\s*Sign in with an account$/s)
    expect(await page.value(`${SIGN_IN}.checkVisibility()`)).toBe(false)

    await page.press('document.querySelector("#account summary")')
    await page.fill(SIGN_IN, ann.username, PASSWORD)
    await page.key('Enter')
    await page.until(IS_IN)
    expect(await page.value('document.querySelectorAll(".card").length')).toBe(0)
    await page.card(await ask(app, await makeKey(app, ann)))

    await page.value('sessionStorage.setItem("loopgate.token", "of.another.server")')
    await page.until('!document.querySelector("#signed-out").hidden')
    expect(await page.text('main')).toMatch(/^You are signed out\.\s+Stop and start the server/)
    expect(await page.value(`${SIGN_IN}.checkVisibility()`)).toBe(true)
  })
})

/** Asks with the key of a user's agent. */
async function ask(app: TestApp, { headers }: MadeKey) {
  await app.post('/hitl/register', { session_id: 's1', client_id: 'c1' }, headers)
  const { body } = await app.post(
    '/hitl/request',
    { session_id: 's1', client_id: 'c1', message: 'Deploy v2.1.0?', options: ['Deploy', 'Hold'] },
    headers,
  )
  return body.request_id
}

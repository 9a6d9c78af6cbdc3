import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RequestView } from '../../src/protocol/types.ts'
import { Browser, end, firstMatch, missingBrowser, type Page } from '../support/browser.ts'

const title = "the console's page in a browser"
const isMissing = missingBrowser !== undefined
if (isMissing) console.warn(`skipped: ${title} (${missingBrowser})`)

const MARKUP = '<img src=x onerror="window.isHurt = true"><b>Deploy</b> v2?\n  as text &amp; blanks'

describe.skipIf(isMissing)(isMissing ? `${title} (skipped: ${missingBrowser})` : title, () => {
  let server: Server
  let browser: Browser
  let page: Page

  beforeAll(async () => {
    ;[server, browser] = await Promise.all([Server.start(), Browser.start()])
    await server.post('/hitl/register', { session_id: 's', client_id: 'deploy-bot' })
    page = await browser.open(server.link)
    await page.until('!document.querySelector("#empty").hidden')
  }, 60_000)

  afterAll(async () => {
    await Promise.all([browser?.stop(), server?.stop()])
  }, 60_000)

  test('the link opens the page once, and its code does not stay in the address bar', async () => {
    expect(await page.value('location.href')).toBe(`${server.origin}/console`)
    expect(await page.value('document.querySelector("#example").textContent')).toContain(
      `curl -sS ${server.origin}/hitl/request`,
    )

    const second = await browser.open(server.link)
    await second.until('!document.querySelector("#spent").hidden')
    expect(await second.value('document.querySelector("main").innerText')).toMatch(
      /^This link works once\.\s+Stop and start the server \(npm start\) to get a new one\.\s+Sign in/,
    )
    expect(await second.value('location.href')).toBe(`${server.origin}/console`)
    await second.close()
  })

  test('a question is text, its button approves, and the waiting agent has the decision', async () => {
    const { request_id } = await server.ask({
      message: MARKUP,
      options: ['🚀 Deploy', '⏸️ Hold', '🔍 Review First'],
      metadata: { environment: 'production' },
    })
    const decided = server.wait(request_id)

    const card = await page.card(request_id)
    expect(await page.value(`${card}.querySelector(".message").textContent`)).toBe(MARKUP)
    expect(await page.value(`${card}.querySelectorAll(".message *, img, b").length`)).toBe(0)
    expect(await page.value('window.isHurt')).toBeUndefined()
    expect(await page.value('document.title')).toBe('(1) Loopgate')
    expect(
      await page.value(
        `[...${card}.querySelectorAll(".options button")].map((b) => b.getAttribute("aria-label"))`,
      ),
    ).toEqual(['Approve: 🚀 Deploy', 'Refuse: ⏸️ Hold', 'Answer: 🔍 Review First'])
    await page.press(`${card}.querySelector("button.approve")`)

    expect(await decided).toMatchObject({
      outcome: 'approved',
      response: '🚀 Deploy',
      decided_by: { channel: 'console' },
    })
    await page.until('document.querySelector("#here li")')
    expect(await page.value('document.querySelector("#here li strong").textContent')).toMatch(
      /^✅ Approved — 🚀 Deploy — by you, \d\d:\d\d:\d\d$/,
    )
    expect(await page.value('document.title')).toBe('Loopgate')
  })

  test('what is not seen is named, and emoji stay whole', async () => {
    const { request_id } = await server.ask({
      message: 'Pay \u202Emoc.elpmaxe\u202C\u200B for 👨‍👩‍👧',
      options: ['No', 'Yes\u2066'],
    })
    const card = await page.card(request_id)
    expect(await page.value(`${card}.querySelector(".message").textContent`)).toBe(
      'Pay ⟨U+202E⟩moc.elpmaxe⟨U+202C⟩⟨U+200B⟩ for 👨‍👩‍👧',
    )
    expect(await page.value(`${card}.querySelectorAll(".message .mark").length`)).toBe(3)
    expect(
      await page.value(`${card}.querySelectorAll("button")[1].getAttribute("aria-label")`),
    ).toBe('Approve: Yes⟨U+2066⟩')

    const decided = server.wait(request_id)
    await page.press(`${card}.querySelector("button.approve")`)
    expect(await decided).toMatchObject({ outcome: 'approved', response: 'Yes\u2066' })
  })

  test('text and a comment survive the refreshing of the list, and are sent', async () => {
    const { request_id } = await server.ask({ message: 'May I delete the staging database?' })
    const card = await page.card(request_id)
    await page.type(`${card}.querySelector(".response")`, 'no')
    await page.value(`${card}.querySelector("details").open = true`)
    await page.type(`${card}.querySelector(".comment")`, 'ask Ada first')

    const { request_id: later } = await server.ask({ message: 'And the test one?' })
    await page.card(later)
    expect(await page.value('document.activeElement.value')).toBe('ask Ada first')
    const decided = server.wait(request_id)
    await page.press(`${card}.querySelector(".send")`)
    expect(await decided).toMatchObject({
      outcome: 'rejected',
      response: 'no',
      comment: 'ask Ada first',
    })

    await server.post('/hitl/cancel', { request_id: later })
    await page.until('document.querySelector("#elsewhere li.canceled")')
  })

  test('who is too late is told who won', async () => {
    const { request_id } = await server.ask({ message: 'Merge?', options: ['Merge', 'Cancel'] })
    const card = await page.card(request_id)
    const release = await page.hold('*/decision', () =>
      page.press(`${card}.querySelector("button.reject")`),
    )
    await server.decide(request_id, { option: 'Merge', comment: 'go' }, await page.token())
    await release()
    await page.until('document.querySelector("#elsewhere li.approved")')
    expect(await page.value('document.querySelector("#elsewhere li.approved").innerText')).toMatch(
      /^✅ Approved — Merge — by local reviewer \(console\), \d\d:\d\d:\d\d\n/,
    )
    expect(await page.value('document.querySelector("#elsewhere li .note").textContent')).toBe(
      'Your answer came too late and did not count.',
    )
  })

  test('a server that is away is told, and a decision is not repeated by itself', async () => {
    const { request_id } = await server.ask({ message: 'Restart?', options: ['Restart', 'Cancel'] })
    const card = await page.card(request_id)
    await page.offline(true)
    await page.until(
      `document.querySelector("#banner").textContent ===
        "The server can't be reached. Nothing was sent; trying again."`,
    )
    await page.press(`${card}.querySelector("button.approve")`)
    await page.until(`${card}.querySelector(".note").textContent.startsWith("The server didn't")`)
    expect(await page.value(`${card}.querySelector("fieldset").disabled`)).toBe(true)

    await page.offline(false)
    await page.until(`!${card}.querySelector("fieldset").disabled`)
    expect(await page.value('document.querySelector("#banner").textContent')).toBe('')
    expect(await server.get(`/hitl/poll?request_id=${request_id}`)).toMatchObject({
      status: 'pending',
    })
  })
})

/** `npm start` on a free port, without a key and keeping nothing. */
class Server {
  readonly link: string
  readonly origin: string
  readonly #process: ChildProcess

  private constructor(process: ChildProcess, link: string) {
    this.#process = process
    this.link = link
    this.origin = new URL(link).origin
  }

  static async start(): Promise<Server> {
    const child = spawn(process.execPath, ['src/main.ts'], {
      cwd: join(import.meta.dirname, '../..'),
      env: { PATH: process.env['PATH'], LOOPGATE_DATA_DIR: 'memory://', SERVER_PORT: '0' },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return new Server(child, await firstMatch(child.stdout, /http:\S+\/console\?code=\S+/))
  }

  async get(path: string): Promise<RequestView> {
    return (await fetch(this.origin + path)).json() as Promise<RequestView>
  }

  async post(path: string, body: object, headers?: Record<string, string>): Promise<RequestView> {
    const answer = await fetch(this.origin + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    })
    expect(answer.status).toBe(200)
    return answer.json() as Promise<RequestView>
  }

  decide(requestId: string, decision: object, token: string): Promise<RequestView> {
    const headers = { authorization: `Bearer ${token}` }
    return this.post(`/api/requests/${requestId}/decision`, decision, headers)
  }

  ask(question: object): Promise<RequestView> {
    return this.post('/hitl/request', { session_id: 's', client_id: 'deploy-bot', ...question })
  }

  /** The agent's long poll. */
  wait(requestId: string): Promise<RequestView> {
    return this.get(`/hitl/poll?request_id=${requestId}&wait=30`)
  }

  stop(): Promise<void> {
    return end(this.#process)
  }
}

import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { RequestView } from '../../src/protocol/types.ts'

/** The console's page in a real browser, which is driven over its DevTools protocol. */

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
const isMissing = !existsSync(CHROMIUM)
const title = "the console's page in a browser"
const reason = `no Chromium at ${CHROMIUM}: install it, or name one in the variable CHROMIUM`
if (isMissing) console.warn(`skipped: ${title} (${reason})`)

const MARKUP = '<img src=x onerror="window.isHurt = true"><b>Deploy</b> v2?\n  as text &amp; blanks'

describe.skipIf(isMissing)(isMissing ? `${title} (skipped: ${reason})` : title, () => {
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
      /^This link works once\.\s+Stop and start the server \(npm start\) to get a new one\.$/,
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

/** The answer to a command, or an event. */
interface Incoming {
  readonly id?: number
  readonly sessionId?: string
  readonly method?: string
  readonly params?: unknown
  readonly error?: { readonly message: string }
  readonly result?: unknown
}

type Send = <Result>(method: string, params?: object, sessionId?: string) => Promise<Result>

class Browser {
  readonly #process: ChildProcess
  readonly #socket: WebSocket
  readonly #directory: string
  readonly #events = new EventEmitter()
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>()

  private constructor(process: ChildProcess, socket: WebSocket, directory: string) {
    this.#process = process
    this.#socket = socket
    this.#directory = directory
    socket.on('message', (data: Buffer) => this.#receive(JSON.parse(data.toString()) as Incoming))
  }

  static async start(): Promise<Browser> {
    const directory = await mkdtemp(join(tmpdir(), 'loopgate-chromium-'))
    const flags = [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
    ]
    const child = spawn(
      CHROMIUM,
      [
        ...flags,
        ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
        ...['--disable-dev-shm-usage', `--user-data-dir=${directory}`],
        ...['--remote-debugging-port=0', 'about:blank'],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    const socket = new WebSocket(await firstMatch(child.stderr, /ws:\/\/\S+/))
    await once(socket, 'open')
    return new Browser(child, socket, directory)
  }

  async open(url: string): Promise<Page> {
    const { targetId } = await this.#send<{ targetId: string }>('Target.createTarget', {
      url: 'about:blank',
    })
    const { sessionId } = await this.#send<{ sessionId: string }>('Target.attachToTarget', {
      targetId,
      flatten: true,
    })
    const page = new Page({
      send: (method, params) => this.#send(method, params, sessionId),
      next: async (event) => (await once(this.#events, `${sessionId} ${event}`))[0] as unknown,
      close: () => this.#send('Target.closeTarget', { targetId }),
    })
    await page.navigate(url)
    return page
  }

  async stop(): Promise<void> {
    this.#socket.terminate()
    await end(this.#process)
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 10 })
  }

  readonly #send: Send = async <Result>(method: string, params = {}, sessionId?: string) => {
    const id = this.#waiting.size + 1
    const reply = Promise.withResolvers<unknown>()
    this.#waiting.set(id, reply)
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }))
    return (await reply.promise) as Result
  }

  #receive({ id, error, result, sessionId, method, params }: Incoming): void {
    if (method !== undefined) this.#events.emit(`${sessionId} ${method}`, params)
    const reply = this.#waiting.get(id ?? 0)
    if (error) reply?.reject(new Error(error.message))
    else reply?.resolve(result)
  }
}

interface Target {
  readonly send: Send
  /** The next event of this name. */
  readonly next: (event: string) => Promise<unknown>
  readonly close: () => Promise<unknown>
}

class Page {
  readonly #target: Target
  readonly #send: Send

  constructor(target: Target) {
    this.#target = target
    this.#send = target.send
  }

  async close(): Promise<void> {
    await this.#target.close()
  }

  async navigate(url: string): Promise<void> {
    await this.#send('Page.navigate', { url })
    await this.until('document.readyState === "complete" && document.querySelector("#board")')
  }

  async value(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.#send<{
      result: { value?: unknown }
      exceptionDetails?: { exception?: { description?: string } }
    }>('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? expression)
    return result.value
  }

  /** Looks again after every change of the document. */
  async until(expression: string): Promise<void> {
    await this.value(`new Promise((resolve) => {
      const look = () => (${expression}) && resolve()
      const all = { subtree: true, childList: true, attributes: true, characterData: true }
      new MutationObserver(look).observe(document, all)
      document.addEventListener('readystatechange', look)
      look()
    })`)
  }

  /** The expression for the card of a request, once it is there. */
  async card(requestId: string): Promise<string> {
    const all = 'Array.from(document.querySelectorAll(".card"))'
    const card = `${all}.find((c) => c.querySelector(".id").textContent === "${requestId}")`
    await this.until(card)
    return card
  }

  /** With the mouse, where a person would press. */
  async press(element: string): Promise<void> {
    // Presses don't count for a moment after cards moved.
    await this.until('!("moving" in document.querySelector("#open").dataset)')
    const place = await this.value(`(() => {
      ${element}.scrollIntoView({ block: 'center' })
      const { x, y, width, height } = ${element}.getBoundingClientRect()
      return { x: x + width / 2, y: y + height / 2 }
    })()`)
    const mouse = { ...(place as { x: number; y: number }), button: 'left', clickCount: 1 }
    await this.#send('Input.dispatchMouseEvent', { type: 'mousePressed', ...mouse })
    await this.#send('Input.dispatchMouseEvent', { type: 'mouseReleased', ...mouse })
  }

  async type(element: string, text: string): Promise<void> {
    await this.value(`${element}.focus()`)
    await this.#send('Input.insertText', { text })
  }

  async offline(offline: boolean): Promise<void> {
    const network = { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 }
    await this.#send('Network.enable')
    await this.#send('Network.emulateNetworkConditions', network)
  }

  async token(): Promise<string> {
    return String(await this.value('sessionStorage.getItem("loopgate.token")'))
  }

  /** Holds back the call that the action makes. Resolves to what lets it go. */
  async hold(urlPattern: string, act: () => Promise<void>): Promise<() => Promise<void>> {
    await this.#send('Fetch.enable', { patterns: [{ urlPattern }] })
    const paused = this.#target.next('Fetch.requestPaused')
    await act()
    const { requestId } = (await paused) as { requestId: string }
    return async () => {
      await this.#send('Fetch.continueRequest', { requestId })
      await this.#send('Fetch.disable')
    }
  }
}

/** What a process prints first that looks so. */
async function firstMatch(output: Readable, pattern: RegExp): Promise<string> {
  for await (const line of createInterface({ input: output })) {
    const match = pattern.exec(line)?.[0]
    if (match === undefined) continue
    output.resume()
    return match
  }
  throw new Error(`the process ended before it printed ${pattern}`)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}

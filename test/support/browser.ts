import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { WebSocket } from 'ws'

/** A real browser, driven over its DevTools protocol. */

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium'

/** Why there is none. */
export const missingBrowser = existsSync(CHROMIUM)
  ? undefined
  : `no Chromium at ${CHROMIUM}: install it, or name one in the variable CHROMIUM`

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

export class Browser {
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

const LOADED = 'document.readyState === "complete" && document.querySelector("#board")'

export class Page {
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
    await this.until(LOADED)
  }

  async value(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.#send<{
      result: { value?: unknown }
      exceptionDetails?: { exception?: { description?: string } }
    }>('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? expression)
    return result.value
  }

  /** Looks again after every change of the document, and in the one that takes its place. */
  async until(expression: string): Promise<void> {
    const isSame = await this.value(`new Promise((resolve) => {
      const look = () => (${expression}) && resolve(true)
      const all = { subtree: true, childList: true, attributes: true, characterData: true }
      new MutationObserver(look).observe(document, all)
      document.addEventListener('readystatechange', look)
      look()
    })`).catch((error: Error) => {
      if (error.message !== 'Inspected target navigated or closed') throw error
      return false
    })
    if (isSame) return
    await this.until(LOADED)
    await this.until(expression)
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

  /** The fields of a form with a username and a password, over whatever is in them. */
  async fill(form: string, username: string, password: string): Promise<void> {
    for (const [name, text] of Object.entries({ username, password })) {
      await this.value(`${form}.elements.${name}.select()`)
      await this.type(`${form}.elements.${name}`, text)
    }
  }

  /** Where the focus is. */
  async key(key: 'Enter'): Promise<void> {
    const event = { key, code: key, text: '\r', windowsVirtualKeyCode: 13 }
    await this.#send('Input.dispatchKeyEvent', { type: 'keyDown', ...event })
    await this.#send('Input.dispatchKeyEvent', { type: 'keyUp', ...event })
  }

  /** As a person sees it. */
  async text(selector: string): Promise<string> {
    return String(await this.value(`document.querySelector('${selector}').innerText.trim()`))
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
export async function firstMatch(output: Readable, pattern: RegExp): Promise<string> {
  for await (const line of createInterface({ input: output })) {
    const match = pattern.exec(line)?.[0]
    if (match === undefined) continue
    output.resume()
    return match
  }
  throw new Error(`the process ended before it printed ${pattern}`)
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}

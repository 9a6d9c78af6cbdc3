import { Loopgate, type TransportName } from '../../../client/index.ts'

/**
 * An agent of its own process. It says what it has come to on standard output, a line each, and is
 * over when nothing keeps it alive: it never calls process.exit.
 */

const [url = '', transport = '', act = '', sessionId = ''] = process.argv.slice(2)
const gate = new Loopgate({ url, transports: [transport as TransportName] })
await gate.register({ sessionId, clientId: 'agent' })

/** Asks, and says so when the question is stored. */
const ask = (message: string, signal?: AbortSignal) =>
  gate.request({
    message,
    signal,
    onAsked: ({ request_id }) => {
      isAsked = true
      console.log('asked', request_id)
    },
  })
let isAsked = false

const ACTS: Readonly<Record<string, () => Promise<unknown>>> = {
  /** Thirty at once: more than what Node warns of. */
  async request() {
    const decisions = await Promise.all(Array.from({ length: 30 }, (_, i) => ask(`Question ${i}`)))
    console.log('approved', decisions.filter(({ approved }) => approved).length)
  },
  async on() {
    const off = gate.on('request.decided', ({ data }) => {
      console.log('heard', data.outcome)
      off()
    })
    await off.ready
    console.log('ready')
  },
  async close() {
    const waiting = ask('Anybody?')
    const off = gate.on('*', () => undefined)
    await off.ready
    console.log('ready')
    process.stdin.once('data', () => {
      process.stdin.destroy()
      void gate.close()
    })
    await waiting.catch((error: { code: string }) => console.log('over', error.code))
  },
  /** Closed while it is still connecting. */
  async early() {
    const waiting = ask('Anybody?')
    const timer = setInterval(() => {
      if (!isAsked) return
      clearInterval(timer)
      void gate.close()
    }, 50)
    await waiting.catch((error: { code: string }) => console.log('over', error.code))
  },
  async abort() {
    const controller = new AbortController()
    const waiting = ask('Anybody?', controller.signal)
    const off = gate.on('*', () => undefined)
    await off.ready
    off()
    controller.abort(new Error('enough'))
    await waiting.catch((error: Error) => console.log('over', error.message))
  },
}

await ACTS[act]?.()
console.log('done')

import { randomUUID } from 'node:crypto'
import { Agent, get } from 'node:http'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { createParser } from 'eventsource-parser'
import { io } from 'socket.io-client'
import { WebSocket } from 'ws'

export interface Bench {
  readonly address: string
  /** Another process on the same database. */
  readonly otherAddress: string
  readonly controlAddress: string
  readonly apiRoot: string
  readonly secret: string
  post(url: string, body: object, headers?: Record<string, string>): Promise<string>
}

/** One way by which a press reaches an agent. */
export interface Way {
  readonly name: string
  /** Makes the round's question the one that is waited for. Resolves to when its frame came. */
  prepare(round: number): Promise<number>
  press(round: number): Promise<unknown>
  close(): void
}

interface Card {
  readonly message_id: number
  readonly text: string
  readonly reply_markup: {
    readonly inline_keyboard: readonly (readonly { callback_data: string }[])[]
  }
}

/** Resolves the round that is waited for when something arrives. */
class Arrival {
  #resolve: (at: number) => void = () => undefined

  next(): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>()
    this.#resolve = resolve
    return promise
  }

  now(): void {
    this.#resolve(performance.now())
  }
}

export async function openWays(bench: Bench, rounds: number): Promise<Way[]> {
  const ways = [await controlWay(bench, rounds)]
  const openers = [...[webSocketWay, sseWay, socketIoWay, longPollWay, mcpWay], otherProcessWay]
  for (const [i, open] of openers.entries()) {
    ways.push(await open(await askAll(bench, 900_001 + i, rounds)))
  }
  return ways
}

/** The control and one way of ours. */
export async function openTwo(bench: Bench, rounds: number): Promise<Way[]> {
  return [await controlWay(bench, rounds), await webSocketWay(await askAll(bench, 900_001, rounds))]
}

async function controlWay({ controlAddress, post }: Bench, rounds: number): Promise<Way> {
  const ids = Array.from({ length: rounds }, () => randomUUID())
  for (const id of ids) await post(`${controlAddress}/requests`, { id })
  const arrival = new Arrival()
  const socket = new WebSocket(`${controlAddress.replace('http', 'ws')}/ws`)
  await new Promise((resolve) => socket.once('open', resolve))
  socket.on('message', (data) => {
    JSON.parse(data.toString())
    arrival.now()
  })
  return {
    name: 'control',
    prepare: () => arrival.next(),
    press: (round) => post(`${controlAddress}/press`, { id: ids[round], answer: 'Deploy' }),
    close: () => socket.close(),
  }
}

interface Asked {
  readonly bench: Bench
  readonly sessionId: string
  readonly ids: readonly string[]
  press(round: number): Promise<unknown>
}

/** A session of a reviewer of its own, whose cards are all there. */
async function askAll(bench: Bench, reviewer: number, rounds: number): Promise<Asked> {
  const { address, apiRoot, post, secret } = bench
  const sessionId = `bench-${reviewer}`
  const names = { session_id: sessionId, client_id: 'bench' }
  await post(`${apiRoot}/sim/privateChat`, { user: reviewer })
  await post(`${address}/hitl/register`, { ...names, telegram_id: reviewer })
  const ids: string[] = []
  for (let round = 0; round < rounds; round++) {
    const answer = await post(`${address}/hitl/request`, {
      ...names,
      message: 'Deploy v2.1.0 to production?',
      options: ['🚀 Deploy', '⏸️ Hold'],
      timeout_seconds: 86_400,
    })
    ids.push((JSON.parse(answer) as { request_id: string }).request_id)
  }
  const cards = await waitForCards(bench, reviewer, ids)
  return {
    bench,
    sessionId,
    ids,
    press: (round) => {
      const card = cards.get(ids[round] ?? '')
      const update = {
        update_id: reviewer * 10_000 + round,
        callback_query: {
          id: String(reviewer * 10_000 + round),
          from: { id: reviewer, is_bot: false, first_name: 'Bench' },
          message: card,
          chat_instance: '1',
          data: card?.reply_markup.inline_keyboard[0]?.[0]?.callback_data,
        },
      }
      return post(`${address}/telegram/webhook`, update, {
        'x-telegram-bot-api-secret-token': secret,
      })
    },
  }
}

async function waitForCards(
  { apiRoot, post }: Bench,
  reviewer: number,
  ids: readonly string[],
): Promise<Map<string, Card>> {
  await post(`${apiRoot}/sim/waitForMessage`, {
    chat: reviewer,
    textIncludes: ids.at(-1),
    timeoutMs: 60_000,
  })
  for (;;) {
    const answer = await post(`${apiRoot}/sim/messages`, { chat: reviewer })
    const { result } = JSON.parse(answer) as { result: Card[] }
    const cards = new Map(
      result.map((card) => [/([0-9a-f-]{36})\.[\w-]{16}$/.exec(card.text)?.[1] ?? '', card]),
    )
    if (ids.every((id) => cards.has(id))) return cards
  }
}

async function webSocketWay({ bench, sessionId, press }: Asked): Promise<Way> {
  const arrival = new Arrival()
  const url = `${bench.address.replace('http', 'ws')}/ws?session_id=${sessionId}`
  const socket = new WebSocket(url)
  const subscribed = Promise.withResolvers<void>()
  socket.on('message', (data) => {
    const { type } = JSON.parse(data.toString()) as { type: string }
    if (type === 'subscribed') subscribed.resolve()
    if (type === 'request.decided') arrival.now()
  })
  await subscribed.promise
  return {
    name: 'WebSocket',
    prepare: () => arrival.next(),
    press,
    close: () => socket.close(),
  }
}

/** Pressed at the one process, received from the other one. */
async function otherProcessWay({ bench, ...asked }: Asked): Promise<Way> {
  const way = await webSocketWay({ bench: { ...bench, address: bench.otherAddress }, ...asked })
  return { ...way, name: 'WebSocket, other process' }
}

async function sseWay({ bench, sessionId, press }: Asked): Promise<Way> {
  const arrival = new Arrival()
  const hello = Promise.withResolvers<void>()
  const parser = createParser({
    onEvent: ({ event, data }) => {
      JSON.parse(data)
      if (event === 'hello') hello.resolve()
      if (event === 'request.decided') arrival.now()
    },
  })
  const call = get(`${bench.address}/hitl/stream?session_id=${sessionId}`, (response) => {
    response.setEncoding('utf8').on('data', (text: string) => parser.feed(text))
  })
  // Closing our own end is how the measurement ends.
  call.on('error', () => undefined)
  await hello.promise
  return {
    name: 'SSE',
    prepare: () => arrival.next(),
    press,
    close: () => call.destroy(),
  }
}

async function socketIoWay({ bench, sessionId, press }: Asked): Promise<Way> {
  const arrival = new Arrival()
  const socket = io(bench.address, { transports: ['websocket'] })
  socket.on('request.decided', () => arrival.now())
  await socket.emitWithAck('subscribe', { session_id: sessionId })
  return {
    name: 'Socket.IO',
    prepare: () => arrival.next(),
    press,
    close: () => socket.disconnect(),
  }
}

async function longPollWay({ bench, sessionId, press }: Asked): Promise<Way> {
  const agent = new Agent({ keepAlive: true })
  let cursor: string | undefined
  const poll = async (wait: number) => {
    const since = cursor === undefined ? '' : `&since=${cursor}`
    const url = `${bench.address}/hitl/poll?session_id=${sessionId}${since}&wait=${wait}`
    const { promise, resolve } = Promise.withResolvers<string>()
    get(url, { agent }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () => resolve(text))
    })
    const page = JSON.parse(await promise) as { cursor: string; events: { type: string }[] }
    cursor = page.cursor
    return page.events.some(({ type }) => type === 'request.decided')
  }
  const decided = async () => {
    while (!(await poll(30)));
    return performance.now()
  }
  await poll(0)
  return {
    name: 'long-poll',
    prepare: decided,
    press,
    close: () => agent.destroy(),
  }
}

/** A tool call that waits for the answer, held open; by the SDK's client, as agents make it. */
async function mcpWay({ bench, ids, press }: Asked): Promise<Way> {
  const client = new Client({ name: 'bench', version: '1.0.0' })
  // With this project's strictest option, the SDK's transport is no Transport of its own.
  const url = new URL(`${bench.address}/mcp`)
  await client.connect(new StreamableHTTPClientTransport(url) as Transport)
  return {
    name: 'MCP tool call',
    prepare: async (round) => {
      const input = { request_id: ids[round], wait_seconds: 45 }
      const { structuredContent } = await client.callTool({
        name: 'check_request_status',
        arguments: input,
      })
      const at = performance.now()
      const { status } = structuredContent as { status: string }
      if (status !== 'completed') throw new Error(`the call was answered with ${status}`)
      return at
    },
    press,
    close: () => void client.close(),
  }
}

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FaultOptions } from './faults.ts'
import type { FakePress, FakeTelegram, Pressing, RouteHandler, Writing } from './telegram.ts'
import type { Fields } from './values.ts'

type Replying = Writing & { readonly replyTo: number }
type Action = (fake: FakeTelegram, body: Fields, presses: Map<string, FakePress>) => unknown

/**
 * `POST /sim/<action>` with a JSON body: plays people when the fake runs as its own process.
 * Bodies are the arguments of the FakeTelegram method of that name as one object.
 */
const ACTIONS: Record<string, Action> = {
  privateChat: (fake, body) => fake.privateChat(body['user'] as number),
  group: (fake, body) => fake.group(body),
  press: (fake, body, presses) => {
    return remember(presses, fake.press(body as unknown as Pressing & { data: string }))
  },
  pressButton: (fake, body, presses) => {
    return remember(presses, fake.pressButton(body as unknown as Pressing & { label: string }))
  },
  /** Waits for the answer of a press; `{id, timeoutMs?}`. */
  answer: (_, body, presses) => {
    const press = presses.get(String(body['id']))
    if (!press) throw new Error(`no press ${body['id']}`)
    return press.answerWithin(Number(body['timeoutMs'] ?? 10_000))
  },
  reply: (fake, body) => fake.reply(body as unknown as Replying).message,
  send: (fake, body) => fake.send(body as unknown as Writing).message,
  block: (fake, body) => fake.block(Number(body['user'])),
  unblock: (fake, body) => fake.unblock(Number(body['user'])),
  deactivate: (fake, body) => fake.deactivate(Number(body['user'])),
  migrate: (fake, body) => fake.migrate(Number(body['chat'])),
  advance: (fake, body) => fake.advance(Number(body['ms'])),
  conflict: (fake, body) => fake.conflict(Number(body['ms'])),
  failNext: (fake, body) => {
    fake.failNext(String(body['method']), body as unknown as FaultOptions)
  },
  messages: (fake, body) => fake.messages(Number(body['chat'])),
  calls: (fake, body) => fake.calls(body['method'] as string | undefined),
  /** Waits for a message of the bot; `{chat, textIncludes?, timeoutMs?}`. */
  waitForMessage: (fake, body) => {
    const part = String(body['textIncludes'] ?? '')
    const timeoutMs = Number(body['timeoutMs'] ?? 10_000)
    const chat = Number(body['chat'])
    return fake.waitForMessage(chat, ({ text }) => (text ?? '').includes(part), { timeoutMs })
  },
  status: (fake) => ({
    pendingUpdates: fake.pendingUpdates,
    vanished: fake.vanished.length,
    violations: fake.violations,
  }),
}

function remember(presses: Map<string, FakePress>, press: FakePress): object {
  presses.set(press.query.id, press)
  return { id: press.query.id, updateId: press.updateId }
}

export function createControl(fake: FakeTelegram): RouteHandler {
  const presses = new Map<string, FakePress>()
  return async (request, response) => {
    const name = (request.url ?? '').replace(/^\/sim\//, '').replace(/\?.*$/, '')
    try {
      const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined
      if (!action) throw new Error(`no action "${name}"`)
      const result = await action(fake, await readJson(request), presses)
      answer(response, 200, { ok: true, result })
    } catch (error) {
      answer(response, 400, { ok: false, error: String(error) })
    }
  }
}

async function readJson(request: IncomingMessage): Promise<Fields> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString()
  return text === '' ? {} : JSON.parse(text)
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'Content-Type': 'application/json' })
  response.end(JSON.stringify(body))
}

import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import type { Update } from '@grammyjs/types'
import { describe, expect, test } from 'vitest'
import { ConfigError, readConfig } from '../../src/config.ts'
import {
  type Asked,
  postUpdate,
  type Somebody,
  WEBHOOK_ROUTE,
  WEBHOOK_SECRET,
  webhookEnv,
} from '../integration/telegram/scene.ts'
import { dataAt, stage } from '../support/telegram-attacks.ts'

/** A26, A27, A28, A29 and A30: whatever is posted to the webhook, by whomever. */

const OPTIONS = ['🚀 Deploy', '⏸️ Hold']

const here = stage(async () => ({ env: await webhookEnv(), telegram: { timeScale: 0.1 } }))
const ask = (fields: object = {}) => here().scene.ask(here().line, { options: OPTIONS, ...fields })

const post = (body: unknown, headers?: Record<string, string>) =>
  postUpdate(here().scene, body, headers)

const SECRET_HEADER = 'X-Telegram-Bot-Api-Secret-Token'

let lastUpdate = 900_000_000

/** A press as an update that Telegram would send, and has not. */
function pressUpdate(user: Somebody, asked: Asked, i = 0): Update {
  const { chat, message_id } = asked.card
  const message = { ...asked.card, chat, message_id }
  const query = { id: String(++lastUpdate), from: user, message, chat_instance: '1' }
  return {
    update_id: lastUpdate,
    callback_query: { ...query, data: dataAt(asked, i) },
  } as unknown as Update
}

/** Sends the head of a request and then, until it is answered, pieces of a body without an end. */
async function pour(
  headers: readonly string[],
  piece: Buffer,
): Promise<{ status: number; sent: number }> {
  const { hostname, port } = new URL(here().scene.app.url)
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const socket = connect(Number(port), hostname)
  let answer = ''
  let sent = 0
  socket.write(
    [`POST ${WEBHOOK_ROUTE} HTTP/1.1`, `Host: ${hostname}:${port}`, ...headers, '', ''].join(
      '\r\n',
    ),
  )
  const more = () => {
    while (answer === '' && !socket.destroyed && sent < 60_000_000) {
      sent += piece.length
      if (!socket.write(piece)) return
    }
  }
  socket.on('drain', more)
  socket.on('data', (data) => {
    answer += data.toString()
    resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]))
  })
  // What we still send after the answer is refused by a reset.
  socket.on('error', () => reject(new Error(`cut after ${sent} bytes without an answer`)))
  socket.on('close', () => reject(new Error(`closed after ${sent} bytes without an answer`)))
  more()
  try {
    return { status: await promise, sent }
  } finally {
    socket.destroy()
  }
}

const chunk = (bytes: number) => Buffer.from(`${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`)

describe('A26: without the secret nothing is taken,', () => {
  test.for([
    ['none', undefined],
    ['a blank one', ''],
    ['a blank in it', ' '],
    ['a wrong one', 'x'.repeat(WEBHOOK_SECRET.length)],
    ['its beginning', WEBHOOK_SECRET.slice(0, -1)],
    ['more than it', `${WEBHOOK_SECRET}x`],
    ['another case', WEBHOOK_SECRET.toUpperCase()],
    ['a list with it', `${WEBHOOK_SECRET}, ${WEBHOOK_SECRET}`],
  ])('given %s', async ([, secret]) => {
    const { scene, server, ann } = here()
    const asked = await ask()
    const body = JSON.stringify(pressUpdate(ann, asked))
    await server.attack(async () => {
      const answer = await fetch(scene.app.url + WEBHOOK_ROUTE, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(secret === undefined ? {} : { [SECRET_HEADER]: secret }),
        },
        body,
      })
      expect(answer.status).toBe(401)
      expect(await answer.text()).not.toContain(WEBHOOK_SECRET)
    })
  })

  test.for([
    ['twice the right one', [WEBHOOK_SECRET, WEBHOOK_SECRET]],
    ['the right one and a wrong one', [WEBHOOK_SECRET, 'wrong']],
    ['a wrong one and the right one', ['wrong', WEBHOOK_SECRET]],
    ['none', []],
  ] as const)('given %s, and the body is not waited for', async ([, secrets]) => {
    const headers = secrets.map((secret) => `${SECRET_HEADER}: ${secret}`)
    const { status, sent } = await here().server.attack(() =>
      pour(
        ['Content-Type: application/json', 'Content-Length: 50000000', ...headers],
        Buffer.from('{'),
      ),
    )
    expect(status).toBe(401)
    expect(sent).toBeLessThan(50_000_000)
  })

  test('given as a query, a cookie or a credential', async () => {
    const { scene, server, ann } = here()
    const asked = await ask()
    const body = JSON.stringify(pressUpdate(ann, asked))
    const places: readonly (readonly [string, Record<string, string>])[] = [
      [`?secret=${WEBHOOK_SECRET}&secret_token=${WEBHOOK_SECRET}`, {}],
      ['', { cookie: `${SECRET_HEADER}=${WEBHOOK_SECRET}` }],
      ['', { authorization: `Bearer ${WEBHOOK_SECRET}` }],
      ['', await scene.app.person()],
    ]
    await server.attack(async () => {
      for (const [query, headers] of places) {
        const { status } = await fetch(scene.app.url + WEBHOOK_ROUTE + query, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body,
        })
        expect(status).toBe(401)
      }
    })
  })
})

describe('A27: a body without measure is cut off, and takes no memory:', () => {
  const secret = `${SECRET_HEADER}: ${WEBHOOK_SECRET}`
  const json = 'Content-Type: application/json'

  test('one that says it is 50 MB', async () => {
    const headers = [secret, json, 'Content-Length: 50000000']
    const { status, sent } = await here().server.attack(() => pour(headers, Buffer.from('{')))
    expect(status).toBe(413)
    expect(sent).toBeLessThan(5_000_000)
  })

  test('one in chunks that never ends', async () => {
    const before = process.memoryUsage().rss
    const headers = [secret, json, 'Transfer-Encoding: chunked']
    const { status, sent } = await here().server.attack(() => pour(headers, chunk(16_384)))
    expect(status).toBe(413)
    expect(sent).toBeLessThan(20_000_000)
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024)
  })

  test('one that is small only because it is packed', async () => {
    const { scene, server } = here()
    const bomb = gzipSync(Buffer.alloc(50_000_000, ' '))
    const before = process.memoryUsage().rss
    await server.attack(async () => {
      const { status } = await fetch(scene.app.url + WEBHOOK_ROUTE, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'content-encoding': 'gzip',
          [SECRET_HEADER]: WEBHOOK_SECRET,
        },
        body: new Uint8Array(bomb),
      })
      expect([400, 413, 415]).toContain(status)
    })
    expect(process.memoryUsage().rss - before).toBeLessThan(40 * 1024 * 1024)
  })
})

describe('A28: an update that is none is refused or passed by, and the next ones count:', () => {
  const deep = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
  test.for([
    ['a text', '"x"', 400],
    ['null', 'null', 400],
    ['a list', '[{"update_id":1}]', 400],
    ['half of one', '{"update_id":1', 400],
    ['no number', '{"message":{}}', 400],
    ['a number as text', '{"update_id":"1"}', 400],
    ['a number below zero', '{"update_id":-1}', 200],
    ['a number that JSON does not carry', '{"update_id":9007199254740993}', 400],
    ['a number beyond all', '{"update_id":1e400}', 400],
    ['a kind that nobody knows', '{"update_id":11,"hologram":{"id":1}}', 200],
    ['a kind we did not ask for', '{"update_id":12,"guest_message":{"message_id":1}}', 200],
    ['a poll', '{"update_id":13,"poll":{"id":"1"}}', 200],
    ['a prototype', '{"update_id":14,"__proto__":{"callback_query":{"data":"x"}}}', 200],
    ['a constructor', '{"update_id":15,"constructor":{"prototype":{"isAdmin":true}}}', 200],
    ['very deep', `{"update_id":16,"x":${deep(100_000)}}`, 200],
    ['too deep for a stack', `{"update_id":17,"x":${deep(400_000)}}`, 200],
    ['in UTF-16', '\ufffe{\u0000}\u0000', 400],
  ] as const)('%s', async ([, body, status]) => {
    await here().server.attack(async () => expect(await post(body)).toBe(status))
    expect(({} as Record<string, unknown>)['isAdmin']).toBeUndefined()
  })

  test.for([
    ['a message of null', { message: null }],
    ['a message without a chat', { message: { message_id: 1, text: '/start' } }],
    ['a press of nothing', { callback_query: {} }],
    ['a membership of nobody', { my_chat_member: {} }],
    ['a text that is a number', { message: { message_id: 1, text: 5, chat: { id: 1 } } }],
  ] as const)('%s, which is set aside after three tries', async ([, fields]) => {
    const { server } = here()
    const update = { update_id: ++lastUpdate, ...fields }
    await server.attack(
      async () => {
        const statuses: number[] = []
        while (statuses.at(-1) !== 200 && statuses.length < 5) statuses.push(await post(update))
        expect(statuses.at(-1)).toBe(200)
        expect(statuses.length).toBeLessThanOrEqual(3)
      },
      { maySendAway: true, mayComplain: true },
    )
  })
})

describe('A29: a server that would believe everybody does not start:', () => {
  const webhook = {
    TELEGRAM_BOT_TOKEN: `123456:${'a'.repeat(35)}`,
    TELEGRAM_MODE: 'webhook',
    PUBLIC_URL: 'https://gate.example.com',
  }
  test.for([
    ['no secret', webhook, 'TELEGRAM_WEBHOOK_SECRET'],
    ['an empty one', { ...webhook, TELEGRAM_WEBHOOK_SECRET: '' }, 'TELEGRAM_WEBHOOK_SECRET'],
    ['a short one', { ...webhook, TELEGRAM_WEBHOOK_SECRET: 'tiny-one' }, 'TELEGRAM_WEBHOOK_SECRET'],
    [
      'one that Telegram does not carry',
      { ...webhook, TELEGRAM_WEBHOOK_SECRET: `${'ä'.repeat(40)}` },
      'TELEGRAM_WEBHOOK_SECRET',
    ],
    ['no address', { ...webhook, PUBLIC_URL: '' }, 'PUBLIC_URL'],
    ['a short signing secret', { JWT_SECRET: 'tiny-one' }, 'JWT_SECRET'],
  ] as const)('%s', ([, env, name]) => {
    try {
      readConfig(env)
      expect.unreachable('it was taken')
    } catch (error) {
      const { mistakes } = error as ConfigError
      expect(error).toBeInstanceOf(ConfigError)
      expect(mistakes.filter((mistake) => mistake.startsWith(`${name}:`))).toHaveLength(1)
      // What is wrong is said without saying what it was.
      expect(mistakes.join()).not.toContain('tiny-one')
    }
  })
})

describe('A30: an update that comes again, an hour later, decides nothing,', () => {
  test('neither this question again nor the next one', async () => {
    const { scene, server, ann } = here()
    const asked = await ask()
    const yes = pressUpdate(ann, asked)
    expect(await post(yes)).toBe(200)
    expect(await scene.settled(asked.id)).toMatchObject({ outcome: 'approved' })
    const next = await ask()
    await server.attack(async () => {
      for (let i = 0; i < 3; i++) expect(await post(yes)).toBe(200)
      expect(await post({ ...yes, update_id: ++lastUpdate })).toBe(200)
    })
    expect(await scene.view(next.id)).toMatchObject({ status: 'pending' })
  })

  test('also when the question was taken back in between', async () => {
    const { scene, server, ann } = here()
    const asked = await ask()
    const yes = pressUpdate(ann, asked)
    await scene.app.post('/hitl/cancel', { request_id: asked.id })
    await scene.settled(asked.id)
    await server.attack(async () => expect(await post(yes)).toBe(200))
    expect(await scene.view(asked.id)).toMatchObject({ outcome: 'canceled', approved: false })
  })
})

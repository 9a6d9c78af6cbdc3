import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WatchedServer } from '../support/hardening.ts'
import { ask, problemOf } from '../support/readers/http.ts'
import { openSocketIo } from '../support/readers/socketio.ts'
import { FrameSocket } from '../support/readers/websocket.ts'

/** JSON that is none, is too much, or says what can not be kept. */

let server: WatchedServer
beforeAll(async () => {
  server = await WatchedServer.start()
  await server.app.register()
})
afterAll(() => server[Symbol.asyncDispose]())

const question = (fields = '') =>
  `{"session_id":"s1","client_id":"c1","message":"Deploy?"${fields}}`
const nested = (open: string, close: string, depth: number) =>
  open.repeat(depth) + close.repeat(depth)
const padded = (bytes: number) => question().padEnd(bytes)

const post = async (body: string | Uint8Array, path = '/hitl/request') => {
  const headers = { 'content-type': 'application/json' }
  const answer = await ask(server.app.url + path, { method: 'POST', headers, body })
  return { ...answer, code: answer.status === 200 ? 'none' : problemOf(answer).code }
}

const MALFORMED: Readonly<Record<string, string | Uint8Array>> = {
  'depth 33': question(`,"metadata":${nested('{"a":', '', 32)}1${'}'.repeat(32)}`),
  'depth 5,000': nested('[', ']', 5_000),
  'depth 5,000, never closed': '['.repeat(5_000),
  'depth 125,000, never closed': '{"a":['.repeat(40_000),
  nothing: '',
  'a byte order mark': `\u{feff}${question()}`,
  'half of it': question().slice(0, -1),
  'two of it': question() + question(),
  'a comma too many': '{"session_id":"s1",}',
  'no quotes': '{session_id:"s1"}',
  'a comment': `/* x */${question()}`,
  'UTF-16': Buffer.from(question(), 'utf16le'),
  'UTF-16 with its mark': Buffer.concat([
    Buffer.from([0xff, 0xfe]),
    Buffer.from(question(), 'utf16le'),
  ]),
  'a byte that is no UTF-8': Buffer.concat([
    Buffer.from('"'),
    Buffer.from([0xff]),
    Buffer.from('"'),
  ]),
  'UTF-8 cut in the middle': Buffer.from(question(',"metadata":{"a":"😀"}')).subarray(0, -7),
  'a number of 200,000 digits': question(`,"timeout_seconds":${'1'.repeat(200_000)}`),
  NaN: question(',"timeout_seconds":NaN'),
  'a list': `[${question()}]`,
  null: 'null',
  text: JSON.stringify(question()),
  'a control character in a text': question().replace('Deploy', 'De\nploy'),
}

test.for(Object.entries(MALFORMED))('A64: %s is 400, and costs next to nothing', ([, body]) =>
  server.attack(async () => {
    const start = performance.now()
    expect(await post(body)).toMatchObject({ status: 400, code: 'INVALID_INPUT' })
    // A hundred milliseconds, and what a machine that does other things needs.
    expect(performance.now() - start).toBeLessThan(1_000)
  }),
)

test.for([
  ['a byte more than 256 KiB', padded(256 * 1024 + 1)],
  ['1 MiB and a byte', padded(1024 * 1024 + 1)],
  ['depth 400,000', nested('[', ']', 400_000)],
  ['a number of a million digits', question(`,"timeout_seconds":${'1'.repeat(1_000_000)}`)],
] as const)('A64: %s is 413 before anything reads it', ([, body]) =>
  server.attack(async () => {
    expect(await post(body)).toMatchObject({ status: 413, code: 'PAYLOAD_TOO_LARGE' })
  }),
)

test('A64: of a key that is there twice the last counts, for whoever signs and whoever shows', () =>
  server.attack(
    async () => {
      const { text, status } = await post(question(',"message":"Really?"'))
      const view = JSON.parse(text)
      expect({ status, message: view.message }).toEqual({ status: 200, message: 'Really?' })
      expect((await server.app.view(view.request_id)).message).toBe('Really?')
    },
    { mayAdd: true },
  ))

test('A64: on the sockets the same is an error, and the socket lives', () =>
  server.attack(async () => {
    await using frames = await FrameSocket.open(server.app.url)
    const texts = Object.values(MALFORMED).filter((body) => typeof body === 'string')
    for (const text of texts) frames.send(text)
    const errors = (await frames.frames.take(1 + texts.length)).slice(1)
    expect(errors.map(({ type, code }) => `${type} ${code}`)).toEqual(
      texts.map(() => 'error INVALID_INPUT'),
    )
    frames.send({ type: 'cancel', id: 'alive', request_id: 'nobody' })
    expect(await frames.answer('alive')).toMatchObject({ code: 'REQUEST_NOT_FOUND' })
  }))

/** Fields with what can not be kept, or not be meant. */
const UNKEEPABLE: readonly string[] = [
  ...[
    '"message":"a\\u0000b"',
    '"message":"\\ud800"',
    '"message":"\\udc00x"',
    '"message":" \\u200b "',
  ],
  ...['"message":""', '"message":1', '"message":null', '"message":["x"]', '"message":{"a":1}'],
  ...['"session_id":"\\u0000"', '"session_id":"a\\u202eb"', '"session_id":["s1"]', '"client_id":1'],
  ...['"options":["a\\u0000"]', '"options":["\\ud83d"]', '"options":[null]', '"options":{"0":"a"}'],
  ...['"options":["Yes","Ye\\u200bs"]', '"options":[{"label":"No","effect":"approve"}]'],
  ...['"metadata":{"a\\u0000b":1}', '"metadata":{"a":"\\u0000"}', '"metadata":{"\\ud800":1}'],
  ...['"metadata":{"a":1e400}', '"metadata":{"a":-1e400}', '"metadata":{"a":9007199254740993}'],
  ...[
    '"metadata":{"__proto__":{"approved":true}}',
    '"metadata":[]',
    '"metadata":"x"',
    '"metadata":1',
  ],
  ...[
    '"timeout_seconds":-1',
    '"timeout_seconds":0',
    '"timeout_seconds":1e12',
    '"timeout_seconds":"5m"',
  ],
  ...[
    '"timeout_seconds":null',
    '"timeout_seconds":1.5',
    '"timeout_seconds":1e400',
    '"timeout_seconds":-0',
  ],
  ...['"timeout_seconds":2592001', '"timeout_seconds":true', '"timeout_seconds":[5]'],
  ...['"approval_ttl_seconds":0', '"approval_ttl_seconds":-1', '"approval_ttl_seconds":1e400'],
  ...['"idempotency_key":""', '"idempotency_key":"a\\u0000"', '"idempotency_key":{}'],
  ...['"request_type":"approve"', '"request_type":"choice"', '"request_type":["input"]'],
  ...['"callback_url":null', '"callback_url":1', '"__proto__":{"message":"x"}'],
]

/** The field replaces the one that is there: the last one counts. */
const withField = (field: string) => question(`,${field}`)

describe('A65: what can not be kept is 400', () => {
  test.for(UNKEEPABLE)('over HTTP: %s', (field) =>
    server.attack(async () => {
      expect(await post(withField(field))).toMatchObject({ status: 400, code: 'INVALID_INPUT' })
    }),
  )

  test('on a WebSocket', () =>
    server.attack(async () => {
      await using frames = await FrameSocket.open(server.app.url)
      for (const [i, field] of UNKEEPABLE.entries()) {
        frames.send(`{"type":"request","id":"f${i}","body":${withField(field)}}`)
        expect([field, (await frames.answer(`f${i}`)).code]).toEqual([field, 'INVALID_INPUT'])
      }
    }))

  test('on Socket.IO', () =>
    server.attack(async () => {
      const socket = await openSocketIo(server.app.url, { transports: ['websocket'] })
      const { engine } = socket.io
      const answers = new Map<string, string>()
      engine.on('data', (data: unknown) => {
        const [, id = '', json = ''] = /^3(\d+)\[([\s\S]*)\]$/.exec(String(data)) ?? []
        if (id !== '') answers.set(id, JSON.parse(json).code)
      })
      for (const [i, field] of UNKEEPABLE.entries()) {
        // By hand: the client's own JSON would mend the numbers.
        engine.write(`2${1_000 + i}["request",${withField(field)}]`)
      }
      await expect.poll(() => answers.size, { timeout: 10_000 }).toBe(UNKEEPABLE.length)
      expect([...answers.values()].filter((code) => code !== 'INVALID_INPUT')).toEqual([])
      socket.disconnect()
    }))

  test.for(['telegram_id', 'approvers'])('at registration: %s', (name) =>
    server.attack(async () => {
      const values = [
        '0',
        '1.5',
        '"1"',
        '9007199254740993',
        '1e400',
        'true',
        '{}',
        '[0]',
        '[-1]',
        '["1"]',
      ]
      for (const value of values) {
        const body = `{"session_id":"odd","client_id":"c1","${name}":${value}}`
        const { status } = await post(body, '/hitl/register')
        expect([value, status]).toEqual([value, 400])
      }
    }),
  )
})

test('A65: a key that names what every object has is kept as a name', () =>
  server.attack(
    async () => {
      const metadata = {
        constructor: 1,
        prototype: 2,
        toString: 3,
        hasOwnProperty: 4,
        valueOf: 5,
        '': 6,
      }
      const view = await server.app.ask({ metadata })
      expect((await server.app.view(view.request_id)).metadata).toEqual(metadata)
      expect(({} as Record<string, unknown>)['approved']).toBeUndefined()
    },
    { mayAdd: true },
  ))

const ODD_IDS: readonly string[] = [
  ...[
    "' OR 1=1--",
    "'; DROP TABLE requests; --",
    '%00',
    '\0',
    '__proto__',
    'constructor',
    '*',
    '%25',
  ],
  ...[
    '../../etc/passwd',
    'x'.repeat(10_000),
    '\n',
    '😀'.repeat(101),
    '$1',
    '{"$ne":null}',
    '\u{202e}',
  ],
  ...[
    '0',
    '-1',
    'null',
    'undefined',
    '00000000-0000-0000-0000-000000000000',
    'ffffffff',
    '[object Object]',
  ],
]

test.for(ODD_IDS)('A66: the id %j names nothing, wherever it is given', (id) =>
  server.attack(async () => {
    const text = encodeURIComponent(id)
    const person = await server.app.person()
    const statuses: [string, number][] = []
    for (const path of [
      ...[
        `/hitl/poll?request_id=${text}`,
        `/hitl/poll?session_id=${text}`,
        `/hitl/status?session_id=${text}`,
      ],
      ...[`/hitl/stream?request_id=${text}`, `/hitl/stream?session_id=${text}`],
      ...[`/hitl/pending?session_id=${text}`, `/api/requests/${text}/callbacks`],
    ]) {
      statuses.push([path, (await ask(server.app.url + path, { headers: person })).status])
    }
    const bodies = [
      ...[
        ['/hitl/cancel', { request_id: id }] as const,
        ['/hitl/deactivate', { session_id: id }] as const,
      ],
      ['/hitl/request', { session_id: id, client_id: 'c1', message: 'x' }] as const,
      [`/api/requests/${text}/decision`, { option: 'Yes' }] as const,
      [`/api/requests/${text}/callbacks/resend`, {}] as const,
    ]
    for (const [path, body] of bodies) {
      statuses.push([path, (await server.app.post(path, body, person)).status])
    }
    const found = statuses.filter(([path, status]) => !isNothing(path, status))
    expect(found).toEqual([])
    await using frames = await FrameSocket.open(server.app.url)
    for (const frame of [
      { type: 'subscribe', session_id: id },
      { type: 'cancel', request_id: id },
    ]) {
      frames.send(frame)
    }
    const codes = (await frames.frames.take(3)).slice(1).map(({ code }) => String(code))
    for (const code of codes) {
      expect(code).toBeOneOf(['INVALID_INPUT', 'SESSION_NOT_FOUND', 'REQUEST_NOT_FOUND'])
    }
  }),
)

/** 400 or 404. An address of 10 kB may be too long for a head; an unknown session has no questions. */
const isNothing = (path: string, status: number): boolean =>
  [400, 404, 431].includes(status) || (path.startsWith('/hitl/pending') && status === 200)

test('A66: an id is the same in small letters alone', () =>
  server.attack(
    async () => {
      const { request_id } = await server.app.ask()
      const { status, body } = await server.app.get(
        `/hitl/poll?request_id=${request_id.toUpperCase()}`,
      )
      // PostgreSQL reads a UUID either way: it is the same request, or none, and never another.
      expect(status === 404 || body.request_id === request_id).toBe(true)
    },
    { mayAdd: true },
  ))

const keyed = (key: string, fields: object = {}) =>
  ask(`${server.app.url}/hitl/request`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify({ session_id: 's1', client_id: 'c1', message: 'Once?', ...fields }),
  })

test.for(['', ' ', 'x'.repeat(201), 'a\tb', '\xff\xad', '\x85'])(
  'A67: the Idempotency-Key %j is 400, and asks nobody',
  (key) =>
    server.attack(async () => {
      expect((await keyed(key)).status).toBe(400)
    }),
)

test('A67: one key and one body, fifty times at once, is one question', () =>
  server.attack(
    async () => {
      const answers = await Promise.all(Array.from({ length: 50 }, () => keyed('fifty')))
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
      const views = answers.map(({ text }) => JSON.parse(text).request_id)
      expect(new Set(views).size).toBe(1)
      expect(
        answers.filter(({ headers }) => headers['idempotent-replayed'] === 'true'),
      ).toHaveLength(49)
    },
    { mayAdd: true },
  ))

test('A67: one key with another body is 422, and asks nobody', async () => {
  await keyed('mine')
  await server.attack(async () => {
    for (const fields of [{ message: 'Twice?' }, { metadata: { a: 1 } }, { options: ['Yes'] }]) {
      const answer = await keyed('mine', fields)
      expect([answer.status, problemOf(answer).code]).toEqual([422, 'IDEMPOTENCY_MISMATCH'])
    }
  })
})

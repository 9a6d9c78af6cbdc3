import { io } from 'socket.io-client'
import { describe, expect, test } from 'vitest'
import { labelsOf } from '../integration/telegram/scene.ts'
import { stage } from '../support/telegram-attacks.ts'

/** A36, A37, A38 and A42, and defect 1 of the old server: what an agent offers and attaches. */

const here = stage()

/** Posts a request that must be refused, and returns where the mistake is said to be. */
async function refused(fields: object, status = 400): Promise<string[]> {
  const { scene, server, line } = here()
  const { session_id, client_id } = line
  const { body, ...answer } = await server.attack(() =>
    scene.app.post('/hitl/request', { session_id, client_id, message: 'Deploy?', ...fields }),
  )
  expect({ status: answer.status, body }).toMatchObject({ status })
  return (body.errors ?? []).map(({ path }) => path)
}

const ask = (fields: object) =>
  here().server.attack(() => here().scene.ask(here().line, fields), { mayAdd: true })

const numbered = (count: number) => Array.from({ length: count }, (_, i) => `Option ${i}`)

describe('A36 and defect 40: options that can not be told apart, or are too many, are refused:', () => {
  test.for([
    ['21', numbered(21), '/options'],
    ['100', numbered(100), '/options'],
    ['101', numbered(101), '/options'],
    ['an empty label', ['Yes', ''], '/options/1'],
    ['a blank label', ['Yes', ' \u3000\t'], '/options/1'],
    ['a label that nobody sees', ['Yes', '\u200b\u2060'], '/options/1'],
    ['a label of 10 kB', ['Yes', 'x'.repeat(10_000)], '/options/1'],
    ['two that are the same', ['Deploy', 'Deploy'], '/options/1'],
    ['two that differ in what is not seen', ['Deploy', 'Dep\u200bloy'], '/options/1'],
    ['two that differ in case and blanks', ['Deploy', 'Deploy '], '/options/1'],
    ['two that look alike', ['Deploy', 'D\u0435ploy'], '/options/1'],
    ['a label with half a character', ['Yes', 'a\ud83d'], '/options/1'],
    ['a label with NUL', ['Yes', 'a\u0000'], '/options/1'],
    ['a no that approves', [{ label: 'Deny', effect: 'approve' }, 'Other'], '/options/0'],
    ['a no in disguise that approves', [{ label: 'D\u200beny', effect: 'approve' }], '/options/0'],
    [
      'a no of other letters that approves',
      [{ label: 'D\u0435ny', effect: 'approve' }],
      '/options/0',
    ],
    ['an effect that nobody knows', [{ label: 'Yes', effect: 'execute' }], '/options/0'],
    ['a number', ['Yes', 5], '/options/1'],
    ['a nested list', [['Yes']], '/options/0'],
    ['no list', 'Yes', '/options'],
    ['a list that is an object', { 0: 'Yes', length: 1 }, '/options'],
  ] as const)('%s', async ([, options, place]) => {
    const places = await refused({ options })
    expect(places.filter((path) => path.startsWith(place))).not.toEqual([])
  })

  test.for([
    ['none', []],
    ['one', ['Acknowledge']],
    ['twenty', numbered(20)],
  ] as const)('%s is delivered', async ([, options]) => {
    const { card } = await ask({ options })
    expect(labelsOf(card)).toEqual(options)
  })

  test('an effect that was declared is said on the card in words, and where none approves, that too', async () => {
    const declared = await ask({
      options: [
        { label: 'Later', effect: 'approve' },
        { label: 'Splendid', effect: 'reject' },
      ],
    })
    expect(declared.card.text).toContain('Press a button: 1 approves (green), 2 refuses (red).')
    const none = await ask({ options: ['Nein', 'Ja'] })
    expect(none.card.text).toContain('none approves')
  })
})

describe('A37 and defect 1: a button that reads as a refusal never approves:', () => {
  test.for<readonly [readonly string[], Readonly<Record<string, string>>]>([
    [['No', 'Yes'], { No: 'rejected', Yes: 'approved' }],
    [['⏸️ Hold'], { '⏸️ Hold': 'rejected' }],
    [['Reject '], { 'Reject ': 'rejected' }],
    [['❌ No', 'Decline'], { '❌ No': 'rejected', Decline: 'rejected' }],
    [["Don't deploy", 'Abort'], { "Don't deploy": 'rejected', Abort: 'rejected' }],
    [['Never', 'Do not proceed'], { Never: 'rejected', 'Do not proceed': 'rejected' }],
    [['CANCEL', 'ＳＴＯＰ'], { CANCEL: 'rejected', ＳＴＯＰ: 'rejected' }],
    [['Flag', 'Approve', 'Needs Review'], { Flag: 'answered', 'Needs Review': 'answered' }],
    [['🚀 Deploy', '🔍 Review First'], { '🔍 Review First': 'answered' }],
    [['Nein', 'Ja'], { Nein: 'answered', Ja: 'answered' }],
    [['👍', '👎'], { '👍': 'answered', '👎': 'answered' }],
  ])('%j', async ([options, outcomes]) => {
    const { scene, ann, line } = here()
    for (const [label, outcome] of Object.entries(outcomes)) {
      const asked = await scene.ask(line, { options })
      const shown = labelsOf(asked.card)[options.indexOf(label)] ?? ''
      const view = await scene.decide(ann, asked, shown)
      expect(view).toMatchObject({ outcome, approved: outcome === 'approved', response: label })
    }
  })
})

describe('A38: what was asked does not change:', () => {
  test.for<readonly [string, object]>([
    ['the message', { message: 'Delete everything' }],
    ['the options', { options: ['Yes', 'No', 'Maybe'] }],
    ['what an option does', { options: [{ label: 'No', effect: 'other' }, 'Yes'] }],
    ['the metadata', { metadata: { amount: 1_000_000 } }],
    ['the type', { request_type: 'input' }],
    ['the time', { timeout_seconds: 1_000_000 }],
    ['where its answer goes', { callback_url: 'https://example.com/other' }],
  ])('%s, by the same key with another body', async ([, change]) => {
    const { scene, server, line } = here()
    const { session_id, client_id } = line
    const body = { session_id, client_id, message: 'Read a file', options: ['Yes', 'No'] }
    const key = { 'idempotency-key': `key ${JSON.stringify(change)}` }
    const asked = await scene.app.post('/hitl/request', body, key)
    const card = await scene.card(line.chat, asked.body.request_id)
    await server.attack(async () => {
      const again = await scene.app.post('/hitl/request', { ...body, ...change }, key)
      expect(again).toMatchObject({ status: 422, body: { code: 'IDEMPOTENCY_MISMATCH' } })
    })
    expect(scene.cards(line.chat, asked.body.request_id)).toEqual([card])
  })

  test('by a request that names its id', async () => {
    const { scene, line } = here()
    const { view } = await ask({ options: ['Yes', 'No'] })
    const { session_id, client_id } = line
    const { request_id } = view
    const body = { session_id, client_id, request_id, message: 'Delete everything' }
    await here().server.attack(
      async () => {
        const answer = await scene.app.post('/hitl/request', { ...body, id: request_id })
        expect(answer.body.request_id).not.toBe(request_id)
      },
      { mayAdd: true },
    )
  })

  test.for(['PUT', 'PATCH', 'POST', 'DELETE'])('by %s on any address of it', async (method) => {
    const { scene, server } = here()
    const { id } = await ask({ options: ['Yes', 'No'] })
    const paths = [`/hitl/request/${id}`, `/api/requests/${id}`, `/hitl/poll?request_id=${id}`]
    await server.attack(async () => {
      for (const path of paths) {
        const answer = await fetch(scene.app.url + path, {
          method,
          headers: { 'content-type': 'application/json', ...(await scene.app.person()) },
          body: JSON.stringify({ message: 'Delete everything', status: 'completed' }),
        })
        expect([404, 405]).toContain(answer.status)
      }
    })
  })
})

const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: nested(depth - 1) })

describe('A42: metadata is small, flat and only data:', () => {
  test.for([
    ['1 MB of it', { a: 'x'.repeat(1_000_000) }, 413],
    ['33 KiB of it', { a: 'x'.repeat(33 * 1024) }, 400],
    ['33 KiB in few characters', { a: '字'.repeat(11 * 1024) }, 400],
    ['10,000 keys', Object.fromEntries(numbered(10_000).map((key) => [key, 1])), 400],
    ['100 levels', nested(100), 400],
    ['a list', [1, 2], 400],
    ['a text', 'x', 400],
    ['half a character', { a: '\ud83d' }, 400],
    ['NUL in a key', { 'a\u0000': 1 }, 400],
  ] as const)('%s is refused', async ([, metadata, status]) => {
    await refused({ metadata }, status)
  })

  /** As JSON text, because a literal with `__proto__` sets the prototype instead. */
  const HOSTILE = [
    '{"__proto__":{"isAdmin":true}}',
    '{"a":{"__proto__":{"isAdmin":true}}}',
    '{"constructor":{"prototype":{"isAdmin":true}}}',
    '{"toString":"x","valueOf":1,"hasOwnProperty":null}',
    '{"":"no name"}',
    '{"toJSON":"x","then":"y","length":-1}',
  ]

  async function expectHarmless(answer: { refused: boolean; metadata?: unknown }, text: string) {
    expect(({} as Record<string, unknown>)['isAdmin']).toBeUndefined()
    if (!answer.refused) expect(JSON.stringify(answer.metadata)).toBe(text)
  }

  test.for(HOSTILE)('over HTTP %s is refused, or kept as it is', async (metadata) => {
    const { scene, server, line } = here()
    const { session_id, client_id } = line
    const body = JSON.stringify({ session_id, client_id, message: 'x', metadata: 0 })
    const { status, body: view } = await server.attack(
      () => scene.app.post('/hitl/request', body.replace('0}', `${metadata}}`)),
      { mayAdd: true },
    )
    expect([200, 400]).toContain(status)
    await expectHarmless({ refused: status === 400, metadata: view.metadata }, metadata)
  })

  test('over Socket.IO each is refused, or kept as it is', async () => {
    const { scene, server, line } = here()
    const { session_id, client_id } = line
    const socket = io(scene.app.url, { transports: ['websocket'], forceNew: true })
    try {
      await server.attack(
        async () => {
          for (const metadata of HOSTILE) {
            const answer = await socket.timeout(5_000).emitWithAck('request', {
              ...{ session_id, client_id, message: 'x' },
              metadata: JSON.parse(metadata),
            })
            await expectHarmless({ refused: !answer.ok, metadata: answer.metadata }, metadata)
          }
        },
        { mayAdd: true },
      )
    } finally {
      socket.close()
    }
  })
})

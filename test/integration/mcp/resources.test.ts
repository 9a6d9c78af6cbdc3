import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TestApp } from '../../support/app.ts'
import type { Exchange } from '../../support/readers/mcp-wire.ts'
import { type OpenServer, openServer, startOn } from '../../support/readers/server.ts'
import { NOWHERE } from '../../support/tenants.ts'
import { OPTIONS, Seat } from './seat.ts'

/** Requests as resources, which can be followed. */

let server: OpenServer
let app: TestApp
let seat: Seat
let stranger: Seat

beforeAll(async () => {
  server = await openServer('pglite')
  app = server.app
  stranger = await Seat.open(app)
}, 30_000)
afterAll(() => server[Symbol.asyncDispose]())

beforeEach(async () => {
  seat = await Seat.open(app)
  await seat.register('one')
})

const UPDATED = 'notifications/resources/updated'
const uriOf = ({ request_id }: { request_id: string }) => `loopgate://requests/${request_id}`

async function ask(message = 'Deploy?', of = seat) {
  const question = { session_id: 'one', client_id: 'agent', message, options: OPTIONS }
  return (await of.app.post('/hitl/request', question, of.key.headers)).body
}

const urisIn = (stream: Exchange) =>
  stream.notifications(UPDATED).map(({ params }) => params?.['uri'])

interface Read {
  readonly contents: readonly { uri: string; mimeType: string; text: string }[]
}

const UNKNOWN = [
  `loopgate://requests/${NOWHERE}`,
  'loopgate://requests/',
  'file:///etc/passwd',
  'x',
]

describe.each(['2025-11-25', '2026-07-28'])('by %s', (revision) => {
  const open = async (of = seat) => (revision === '2025-11-25' ? await of.client() : of.modern())
  const notFound = revision === '2025-11-25' ? -32_002 : -32_602

  test('what is open is listed, the template named, and a request read as its view', async () => {
    const client = await open()
    const asked = await ask()
    const { resources } = await client.request('resources/list').answer<{ resources: object[] }>()
    expect(resources).toEqual([
      {
        ...{ uri: uriOf(asked), name: asked.request_id },
        ...{ title: 'Deploy?', mimeType: 'application/json' },
      },
    ])
    const templates = await client.request('resources/templates/list').answer()
    expect(templates['resourceTemplates']).toEqual([
      expect.objectContaining({ uriTemplate: 'loopgate://requests/{request_id}' }),
    ])
    const decided = await seat.decide(asked, { option: 'Yes' })
    const { contents } = await client
      .request('resources/read', { uri: uriOf(asked) })
      .answer<Read>()
    expect(contents).toHaveLength(1)
    expect(contents[0]).toMatchObject({ uri: uriOf(asked), mimeType: 'application/json' })
    expect(JSON.parse(contents[0]?.text ?? '')).toEqual(decided)
    expect((await client.request('resources/list').answer())['resources']).toEqual([])
  })

  test("what is not this tenant's is not there, as what nobody has", async () => {
    const foreign = uriOf(await ask())
    const client = await open(stranger)
    for (const uri of [foreign, ...UNKNOWN]) {
      const error = { code: notFound, data: { uri } }
      await expect(client.request('resources/read', { uri }).answer()).rejects.toMatchObject(error)
    }
    expect((await client.request('resources/list').answer())['resources']).toEqual([])
  })
})

describe('a resource that is subscribed to', () => {
  test('is told of on the standing stream when it changes', async () => {
    await using client = await seat.client()
    const [asked, other] = [await ask(), await ask('Other?')]
    const standing = await client.listen()
    await client.request('resources/subscribe', { uri: uriOf(asked) }).answer()
    await seat.decide(other, { option: 'Yes' })
    await seat.decide(asked, { option: 'Yes' })
    const [told] = await standing.notified(UPDATED)
    expect(told).toEqual({ jsonrpc: '2.0', method: UPDATED, params: { uri: uriOf(asked) } })
    expect(urisIn(standing)).toEqual([uriOf(asked)])
  })

  test('is told of when the stream is opened later', async () => {
    await using client = await seat.client()
    const asked = await ask()
    await client.request('resources/subscribe', { uri: uriOf(asked) }).answer()
    await seat.decide(asked, { option: 'Yes' })
    const standing = await client.listen()
    await standing.notified(UPDATED)
  })

  test('is told of at once, and each time it is subscribed to, when it is settled already', async () => {
    await using client = await seat.client()
    const asked = await ask()
    await seat.decide(asked, { option: 'Yes' })
    const standing = await client.listen()
    for (const times of [1, 2]) {
      await client.request('resources/subscribe', { uri: uriOf(asked) }).answer()
      await standing.notified(UPDATED, times)
    }
  })

  test('is not told of any more after unsubscribe', async () => {
    await using client = await seat.client()
    const [asked, other] = [await ask(), await ask('Other?')]
    for (const view of [asked, other]) {
      await client.request('resources/subscribe', { uri: uriOf(view) }).answer()
    }
    const standing = await client.listen()
    await standing.notified(UPDATED, 2)
    await client.request('resources/unsubscribe', { uri: uriOf(asked) }).answer()
    await seat.decide(asked, { option: 'Yes' })
    await seat.decide(other, { option: 'Yes' })
    await standing.notified(UPDATED, 3)
    expect(urisIn(standing).at(-1)).toBe(uriOf(other))
    await client.request('resources/unsubscribe', { uri: 'loopgate://requests/never' }).answer()
  })

  test('must be there for who subscribes', async () => {
    const foreign = uriOf(await ask())
    await using client = await stranger.client()
    for (const uri of [foreign, ...UNKNOWN]) {
      const subscribed = client.request('resources/subscribe', { uri }).answer()
      await expect(subscribed).rejects.toMatchObject({ code: -32_002, data: { uri } })
    }
  })

  test('is one of a hundred that are open at most: one more is refused, and they stay', async () => {
    await using client = await seat.client()
    const asked = []
    for (let i = 0; i < 100; i++) asked.push(await ask(`${i}?`))
    for (const view of asked) {
      await client.request('resources/subscribe', { uri: uriOf(view) }).answer()
    }
    await seat.decide(asked[0] as { request_id: string }, { option: 'Yes' })
    // What is settled makes room.
    await client.request('resources/subscribe', { uri: uriOf(await ask('next?')) }).answer()
    const more = client.request('resources/subscribe', { uri: uriOf(await ask('more?')) }).answer()
    await expect(more).rejects.toMatchObject({
      ...{ code: -32_602, message: expect.stringMatching(/at most 100/) },
    })
    await client
      .request('resources/subscribe', { uri: uriOf(asked[1] as { request_id: string }) })
      .answer()
  })
})

describe('subscriptions/listen of 2026-07-28', () => {
  const ACKNOWLEDGED = 'notifications/subscriptions/acknowledged'

  function listen(resourceSubscriptions: readonly string[], of = seat) {
    return of.modern().request('subscriptions/listen', { notifications: { resourceSubscriptions } })
  }

  test('tells of what it names when it changes, and of nothing else', async () => {
    const [asked, other] = [await ask(), await ask('Other?')]
    const stream = listen([uriOf(asked)])
    await stream.notified(ACKNOWLEDGED)
    await seat.decide(other, { option: 'Yes' })
    await seat.decide(asked, { option: 'Yes' })
    await stream.notified(UPDATED)
    expect(urisIn(stream)).toEqual([uriOf(asked)])
    stream.leave()
  })

  test('says that it follows the first hundred of more', async () => {
    const uris = Array.from({ length: 101 }, (_, i) => `loopgate://requests/${i}`)
    const stream = listen([...uris, ...uris])
    const [acknowledged] = await stream.notified(ACKNOWLEDGED)
    expect(acknowledged?.params?.['notifications']).toEqual({
      resourceSubscriptions: uris.slice(0, 100),
    })
    stream.leave()
  })

  test('tells of what is settled already, and once, however often it is named', async () => {
    const [asked, later] = [await ask(), await ask('Later?')]
    await seat.decide(asked, { option: 'Yes' })
    const stream = listen([...Array.from({ length: 99 }, () => uriOf(asked)), uriOf(later)])
    await stream.notified(UPDATED)
    await seat.decide(later, { option: 'Yes' })
    await stream.notified(UPDATED, 2)
    expect(urisIn(stream)).toEqual([uriOf(asked), uriOf(later)])
    stream.leave()
  })

  test("hears nothing of what is another tenant's", async () => {
    await stranger.register('one')
    const [ours, theirs] = [await ask(), await ask('Theirs?', stranger)]
    const stream = listen([uriOf(ours), ...UNKNOWN, uriOf(theirs)], stranger)
    await stream.notified(ACKNOWLEDGED)
    await seat.decide(ours, { option: 'Yes' })
    await stranger.decide(theirs, { option: 'Yes' })
    await stream.notified(UPDATED)
    expect(urisIn(stream)).toEqual([uriOf(theirs)])
    stream.leave()
  })
})

test('what a session follows is told of after a restart as well', async () => {
  const client = await seat.client()
  const [asked, later] = [await ask(), await ask('Later?')]
  for (const view of [asked, later]) {
    await client.request('resources/subscribe', { uri: uriOf(view) }).answer()
  }
  await app.app.stop()
  await using next = await startOn(server.place)
  await using same = client.at(next)
  // What may have changed while nobody could tell is told as soon as somebody listens.
  const standing = await same.listen()
  await standing.notified(UPDATED, 2)
  const path = `/api/requests/${later.request_id}/decision`
  await next.post(path, { option: 'Yes' }, seat.account.headers)
  await standing.notified(UPDATED, 3)
  expect(urisIn(standing)).toEqual([uriOf(asked), uriOf(later), uriOf(later)])
}, 30_000)

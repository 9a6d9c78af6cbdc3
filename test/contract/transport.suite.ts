import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import { describe, expect, test } from 'vitest'
import type { Envelope, RequestView } from '../../src/protocol/types.ts'
import { READERS } from '../support/readers/index.ts'
import type { Line } from '../support/readers/line.ts'
import { type Connect, type Reader, Refused, type Target } from '../support/readers/reader.ts'
import { personOf } from '../support/readers/server.ts'
import { DATABASES, type Scene, stage } from './transport-scene.ts'

/** What a transport does not do, with the reason. */
export interface Cannot {
  readonly readRequests?: string
}

const NOWHERE = '00000000-0000-4000-8000-000000000000'

/** What every way to receive must do, on every database. */
export function transportContract(
  name: string,
  connect: Connect,
  cannot: Cannot = {},
  databases = DATABASES,
): void {
  describe.each(databases)(`${name} keeps the transport contract on %s`, (kind) => {
    const scene = stage(kind)
    const read = (target: Target, since?: string, token?: string) =>
      connect(scene().app.url, { target, since, token })

    readsSessions(scene, read)
    resumes(scene, read)
    tellsWhatIsGone(scene, read)
    losesNothingInBetween(scene, read)
    keepsOthersOut(scene, read, cannot)
    const reason = cannot.readRequests
    describe.skipIf(reason !== undefined)(`one request${reason ? ` (${reason})` : ''}`, () => {
      readsRequests(scene, read)
      endsRequests(scene, read)
    })
  })
}

type Read = (target: Target, since?: string, token?: string) => Promise<Reader>

const idsOf = (events: readonly Envelope[]): string[] => events.map(({ id }) => id)
const typesOf = (events: readonly Envelope[]): string[] => events.map(({ type }) => type)

function readsSessions(scene: () => Scene, read: Read): void {
  test('events come in order, with the cursor, the time and the view that the log has', async () => {
    const line = await scene().lineToAnn()
    await using reader = await read(line.target)
    const asked = await line.ask({ metadata: { 'ключ\n': ['☃', 1.5, null, { deep: true }] } })
    await reader.first('request.delivered')
    const decided = await line.decide(asked, { option: 'No', comment: 'not on\na Friday 🙅' })
    const events = await reader.upTo(decided.cursor)
    expect(typesOf(events)).toEqual(['request.created', 'request.delivered', 'request.decided'])
    expect(events).toEqual(await line.log())
    expect(asked).toEqual({ success: true, ...events.at(0)?.data })
    expect(events.at(-1)?.data).toEqual(decided)
    expect(events.at(-1)?.timestamp).toBe(decided.responded_at)
    for (const { id, session_id, request_id, data } of events) {
      expect({ id, session_id, request_id }).toEqual({
        id: data.cursor,
        session_id: data.session_id,
        request_id: asked.request_id,
      })
    }
  })

  test('a card that can not be delivered, a cancellation and a second request are heard', async () => {
    const line = await scene().line()
    await using reader = await read(line.target)
    const first = await line.ask()
    await line.settled()
    await line.cancel(first)
    const events = await reader.upTo(await line.end())
    expect(typesOf(events)).toEqual([
      ...['request.created', 'request.undelivered'],
      ...['request.created', 'request.undelivered', 'request.decided', 'request.canceled'],
    ])
    expect(events.at(-1)?.data).toMatchObject({ outcome: 'canceled', decided_by: null })
    expect(events).toEqual(await line.log())
  })

  test('what settles a request comes with its receipt, the same bytes as in the view', async () => {
    const line = await scene().line()
    await using reader = await read(line.target)
    const first = await line.ask()
    const decided = await line.settled()
    await line.cancel(first)
    const events = await reader.upTo(await line.end())
    const receipts = events.flatMap(({ data }) => data.receipt ?? [])
    const canceled = await scene().app.view(first.request_id)
    expect(receipts).toEqual([decided.receipt, canceled.receipt])
    expect(events.filter(({ data }) => data.completed)).toHaveLength(2)
    const { body } = await scene().app.get<JSONWebKeySet>('/.well-known/jwks.json')
    const options = { typ: 'loopgate-decision+jwt', audience: line.clientId }
    for (const [i, { request_id }] of [decided, canceled].entries()) {
      const { payload } = await jwtVerify(receipts[i] ?? '', createLocalJWKSet(body), options)
      expect(payload).toMatchObject({ sub: request_id, approved: i === 0 })
    }
  })

  test('without a cursor a reader hears what comes from now on, and nothing of before', async () => {
    const line = await scene().line()
    const before = await line.settled()
    await using reader = await read(line.target)
    expect(reader.place).toEqual({ cursor: before.cursor, recovered: true })
    const after = await line.settled()
    expect(idsOf(await reader.upTo(after.cursor))).toEqual(idsOf((await line.log()).slice(3)))
  })

  test('a session in which nothing has happened yet has a place, which is continued', async () => {
    const line = await scene().line()
    await using early = await read(line.target)
    const cursor = early.place?.cursor ?? ''
    await line.settled()
    await using late = await read(line.target, cursor)
    expect(late.place).toEqual({ cursor, recovered: true })
    expect(await late.upTo(await line.end())).toEqual(await line.log())
  })

  test('since=earliest replays everything, and goes on', async () => {
    const line = await scene().line()
    await line.settled()
    await using reader = await read(line.target, 'earliest')
    expect(reader.place?.recovered).toBe(true)
    const after = await line.settled()
    expect(await reader.upTo(after.cursor)).toEqual(await line.log())
  })

  test('two readers of a session both hear everything, and nothing of another session', async () => {
    const [line, other] = [await scene().line(), await scene().line()]
    await using one = await read(line.target)
    await using two = await read(line.target)
    await other.settled()
    const { cursor } = await line.settled()
    const log = await line.log()
    expect(await one.upTo(cursor)).toEqual(log)
    expect(await two.upTo(cursor)).toEqual(log)
  })

  test('a session that is deactivated is still heard to its last answer', async () => {
    const line = await scene().line()
    const open = await line.ask()
    await using before = await read(line.target)
    await scene().app.post('/hitl/deactivate', line.target)
    await using after = await read(line.target)
    const { cursor } = await line.decide(open)
    expect(idsOf(await before.upTo(cursor))).toEqual([cursor])
    expect(idsOf(await after.upTo(cursor))).toEqual([cursor])
  })
}

function resumes(scene: () => Scene, read: Read): void {
  test.each(Object.entries(READERS))(
    'a cursor that came by %s is continued, each event once',
    async (_, connectOther) => {
      const line = await scene().line()
      await using other = await connectOther(scene().app.url, { target: line.target })
      const { cursor } = await line.ask()
      const [last] = (await other.upTo(cursor)).slice(-1)
      await other[Symbol.asyncDispose]()
      await line.settled()
      await using reader = await read(line.target, last?.id)
      expect(reader.place).toEqual({ cursor, recovered: true })
      const end = (await line.settled()).cursor
      expect(idsOf(await reader.upTo(end))).toEqual(idsOf((await line.log()).slice(2)))
    },
  )

  test('the cursor of a view and of an acknowledged place are continued as well', async () => {
    const line = await scene().line()
    const asked = await line.ask()
    await using live = await read(line.target)
    expect(live.place?.cursor).toBe(asked.cursor)
    const { cursor } = await line.decide(asked)
    await using late = await read(line.target, asked.cursor)
    expect(idsOf(await late.upTo(cursor))).toEqual([cursor])
  })
}

function tellsWhatIsGone(scene: () => Scene, read: Read): void {
  const strange: Readonly<Record<string, (own: string, other: string) => string>> = {
    'of another session': (_, other) => other,
    'of a history that was undone': (own) => own.replace(/^[^-]*/, 'deadbeef'),
    'that is ahead of the log': (own) => own.replace(/\d+$/, '4711'),
    'that is garbage': () => 'garbage, "quoted" & <so on>',
    'that is only a number': () => '1',
    'of PostgreSQL, not ours': () => '0/16B3748',
  }
  test.each(Object.entries(strange))(
    'a cursor %s is told first, and then everything comes',
    async (_, of) => {
      const [line, other] = [await scene().line(), await scene().line()]
      const { cursor } = await line.settled()
      await using reader = await read(line.target, of(cursor, (await other.settled()).cursor))
      expect(reader.place?.recovered).toBe(false)
      const next = await line.settled()
      expect(await reader.upTo(next.cursor)).toEqual(await line.log())
      // The place that was told is a cursor as good as any.
      await using again = await read(line.target, reader.place?.cursor)
      expect(again.place?.recovered).toBe(true)
      expect(idsOf(await again.upTo(next.cursor))).toEqual(idsOf(await line.log()))
    },
  )
}

function losesNothingInBetween(scene: () => Scene, read: Read): void {
  test('what is committed while readers come and go is neither lost nor repeated', async () => {
    const line = await scene().line()
    const first = await line.ask()
    let isDone = false
    // 156 events, and more: four at a time ask and decide, while others begin to read.
    const write = async () => {
      for (let i = 0; i < 13; i++) await line.settled()
    }
    const writing = Promise.all([write(), write(), write(), write()]).finally(() => {
      isDone = true
    })
    await using all = await read(line.target, 'earliest')
    await using rest = await read(line.target, first.cursor)
    const live: Reader[] = []
    while (!isDone && live.length < 4) live.push(await read(line.target))
    const patchwork = await readInPieces(line, first.cursor, read, () => isDone)
    await writing
    const log = await line.log()
    const end = log.at(-1)?.id ?? ''
    expect(log.length).toBeGreaterThanOrEqual(2 + 4 * 13 * 3)
    expect(log.map(({ id }) => Number(id.split('-')[1]))).toEqual(log.map((_, i) => i + 1))
    expect(await all.upTo(end)).toEqual(log)
    expect(idsOf(await rest.upTo(end))).toEqual(idsOf(log.slice(2)))
    expect(patchwork).toEqual(idsOf(log).slice(2, 2 + patchwork.length))
    for (const reader of live) {
      const at = log.findIndex(({ id }) => id === reader.place?.cursor)
      const heard = at === log.length - 1 ? reader.events : await reader.upTo(end)
      expect(idsOf(heard)).toEqual(idsOf(log.slice(at + 1)))
      await reader[Symbol.asyncDispose]()
    }
  }, 60_000)
}

/** Comes back again and again with the last cursor, after a few events each time. */
async function readInPieces(
  line: Line,
  from: string,
  read: Read,
  isDone: () => boolean,
): Promise<string[]> {
  const ids: string[] = []
  while (!isDone()) {
    await using piece = await read(line.target, ids.at(-1) ?? from)
    expect(piece.place?.recovered).toBe(true)
    await line.settled()
    await piece.first('request.decided')
    ids.push(...idsOf(piece.events))
  }
  return ids
}

function keepsOthersOut(scene: () => Scene, read: Read, { readRequests }: Cannot): void {
  test('a session that does not exist, or is of another tenant, is not found', async () => {
    const line = await scene().line()
    const stranger = await personOf(scene().app, 'elsewhere')
    const notFound = 'SESSION_NOT_FOUND'
    expect(await codeOf(read({ session_id: 'nobody' }))).toBe(notFound)
    expect(await codeOf(read(line.target, undefined, stranger))).toBe(notFound)
    expect(await codeOf(read(line.target, 'earliest', stranger))).toBe(notFound)
  })

  test.skipIf(readRequests !== undefined)(
    'a request that does not exist, or is of another tenant, is not found',
    async () => {
      const { request_id } = await (await scene().line()).ask()
      const stranger = await personOf(scene().app, 'elsewhere')
      const notFound = 'REQUEST_NOT_FOUND'
      expect(await codeOf(read({ request_id: NOWHERE }))).toBe(notFound)
      expect(await codeOf(read({ request_id: 'not-even-a-uuid' }))).toBe(notFound)
      expect(await codeOf(read({ request_id }, undefined, stranger))).toBe(notFound)
    },
  )

  test('two tenants may use one session id, and hear only their own', async () => {
    const line = await scene().line()
    const token = await personOf(scene().app, 'elsewhere')
    const headers = { authorization: `Bearer ${token}` }
    const body = { session_id: line.id, client_id: 'theirs', message: 'Ours?' }
    await scene().app.post('/hitl/register', body, headers)
    await using ours = await read(line.target)
    await using theirs = await read(line.target, undefined, token)
    const asked = await scene().app.post('/hitl/request', body, headers)
    const { cursor } = await line.settled()
    expect(await ours.upTo(cursor)).toEqual(await line.log())
    const { cursor: their }: RequestView = asked.body
    const heard = await theirs.upTo(their)
    expect(new Set(heard.map(({ data }) => data.client_id))).toEqual(new Set(['theirs']))
  })
}

/** The code of a refusal that is 404 where the transport has a status. */
async function codeOf(reading: Promise<Reader>): Promise<unknown> {
  try {
    await using reader = await reading
    return reader.place
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    expect(error.status ?? 404).toBe(404)
    return error.code
  }
}

function readsRequests(scene: () => Scene, read: Read): void {
  test('without a cursor it replays from its creation, and ends when it is settled', async () => {
    const line = await scene().line()
    await line.settled()
    const asked = await line.ask()
    await using reader = await read({ request_id: asked.request_id })
    expect(reader.place?.recovered).toBe(true)
    await line.settled()
    await line.decide(asked)
    const own = (await line.log()).filter(({ request_id }) => request_id === asked.request_id)
    expect(await reader.ended()).toEqual(own)
    expect(typesOf(own)).toEqual(['request.created', 'request.undelivered', 'request.decided'])
  })

  test('settled before anybody reads, it is replayed and ends', async () => {
    const line = await scene().line()
    const { request_id } = await line.settled()
    await line.settled()
    await using reader = await read({ request_id })
    const own = (await line.log()).filter((event) => event.request_id === request_id)
    expect(await reader.ended()).toEqual(own)
  })

  test('with a cursor it goes on from there', async () => {
    const line = await scene().line()
    const asked = await line.ask()
    await using reader = await read({ request_id: asked.request_id }, asked.cursor)
    expect(reader.place).toEqual({ cursor: asked.cursor, recovered: true })
    const { cursor } = await line.decide(asked)
    expect(idsOf(await reader.ended())).toEqual([cursor])
  })

  test('the place from which it is replayed is a cursor too', async () => {
    const line = await scene().line()
    await line.settled()
    const { request_id } = await line.settled()
    await using first = await read({ request_id })
    const events = await first.ended()
    await using again = await read({ request_id }, first.place?.cursor)
    expect(again.place?.recovered).toBe(true)
    expect(await again.ended()).toEqual(events)
  })

  test('a decision that is committed while readers connect reaches every one of them', async () => {
    const line = await scene().line()
    for (let round = 0; round < 5; round++) {
      const { request_id, cursor } = await line.ask()
      const connecting = Array.from({ length: 6 }, (_, i) =>
        read({ request_id }, i % 2 === 0 ? undefined : cursor),
      )
      const decided = await line.decide(await scene().app.view(request_id))
      for (const reader of await Promise.all(connecting)) {
        expect((await reader.ended()).at(-1)?.id).toBe(decided.cursor)
        await reader[Symbol.asyncDispose]()
      }
    }
  })
}

function endsRequests(scene: () => Scene, read: Read): void {
  test('a cursor at its end, or after it, ends at once', async () => {
    const line = await scene().line()
    const { request_id, cursor } = await line.settled()
    const later = (await line.settled()).cursor
    for (const since of [cursor, later]) {
      await using reader = await read({ request_id }, since)
      expect(await reader.ended()).toEqual([])
    }
  })

  test('a cursor that is gone is told, and then all of it comes, settled or not', async () => {
    const line = await scene().line()
    const other = (await (await scene().line()).settled()).cursor
    const asked = await line.ask()
    await using open = await read({ request_id: asked.request_id }, 'garbage')
    await line.decide(asked)
    await using settled = await read({ request_id: asked.request_id }, other)
    for (const reader of [open, settled]) {
      expect(reader.place?.recovered).toBe(false)
      expect(await reader.ended()).toEqual(await line.log())
    }
  })
}
